//! `[[warm]]`.

use std::time::SystemTime;

use littoral_cache::popularity::Figures;

use super::{Wrong, at_most, unique, wrong};
use crate::config::Config;
use crate::config::warm::{WARM_MAX, WARM_NAME_BYTES_MAX};
use crate::warm::LOGS_MAX;

impl Config {
    pub(super) fn check_warm(&self) -> Result<(), Wrong> {
        at_most("warm", self.warm.len(), WARM_MAX)?;
        let names = self.warm.iter().enumerate().map(|(at, warm)| (format!("warm.{at}.name"), warm.name.as_str()));
        unique("warm.name", names)?;
        for (at, warm) in self.warm.iter().enumerate() {
            if !(1..=WARM_NAME_BYTES_MAX).contains(&warm.name.len()) {
                return wrong(
                    format!("warm.{at}.name"),
                    format!("warm.name is 1 to {WARM_NAME_BYTES_MAX} bytes, such as \"films\""),
                );
            }
            if self.listen.http.is_empty() {
                let fix = "[[warm]] needs listen.http, by which the node asks itself: add \"127.0.0.1:0\" to it";
                return wrong(format!("warm.{at}.name"), fix);
            }
            if warm.by_popularity.len() > LOGS_MAX {
                return wrong(
                    format!("warm.{at}.by_popularity"),
                    format!("warm.by_popularity has at most {LOGS_MAX} logs"),
                );
            }
            // What is in its files is seen when they are read.
            let list = warm.list.as_ref().map(|_| "http://list.invalid/\n".to_owned());
            let popularity = (!warm.by_popularity.is_empty()).then(Figures::default);
            let parsed = warm.order(list, popularity).parsed(SystemTime::UNIX_EPOCH);
            parsed.map_err(|problem| (format!("warm.{at}.name"), format!("[[warm]] {:?}: {problem}", warm.name)))?;
        }
        Ok(())
    }
}
