//! `[[warm]]`.

use std::time::SystemTime;

use littoral_cache::popularity::Figures;
use url::Url;

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
            if !self.listen.has_sites() {
                let fix = "[[warm]] needs listen.http or listen.https: nothing asks this node for its sites";
                return wrong(format!("warm.{at}.name"), fix);
            }
            if warm.by_popularity.len() > LOGS_MAX {
                return wrong(
                    format!("warm.{at}.by_popularity"),
                    format!("warm.by_popularity has at most {LOGS_MAX} logs"),
                );
            }
            self.check_warm_site(&format!("warm.{at}.url"), &warm.url)?;
            // What is in its files is seen when they are read.
            let list = warm.list.as_ref().map(|_| "http://list.invalid/\n".to_owned());
            let popularity = (!warm.by_popularity.is_empty()).then(Figures::default);
            let parsed = warm.order(list, popularity).parsed(SystemTime::UNIX_EPOCH);
            parsed.map_err(|problem| (format!("warm.{at}.name"), format!("[[warm]] {:?}: {problem}", warm.name)))?;
        }
        Ok(())
    }

    /// What a URL names is on a site of this node; one that is none is told so elsewhere.
    fn check_warm_site(&self, at: &str, url: &str) -> Result<(), Wrong> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().and_then(crate::site::normalise_host));
        let Some(host) = host else { return Ok(()) };
        let hosts = || self.site.iter().flat_map(|site| &site.hosts);
        // As a site's hosts are read: in whatever case they are written.
        if hosts().any(|known| known == "*" || crate::site::normalise_host(known).as_deref() == Some(&host)) {
            return Ok(());
        }
        let known = hosts().next().map_or("video.example", String::as_str);
        let fix =
            format!("{host:?} is no [[site]] of this node: add one with that host, or name one, such as {known:?}");
        wrong(at.to_owned(), fix)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_standing_job_of_a_site_that_is_not_there_is_refused_with_one_that_is() {
        let said = |hosts: &str, url: &str| {
            let text = format!(
                "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [{hosts:?}]\norigin = [\"http://127.0.0.1:1\"]\n\
                 [[warm]]\nname = \"films\"\nwindow = \"02:00-06:00\"\nurl = {url:?}\n"
            );
            Config::parse(Path::new("node.toml"), &text).map_or_else(|error| error.to_string(), |_| String::new())
        };
        let refused = said("video.example", "http://vidoe.example/m.mpd");
        assert!(
            refused.contains("\"vidoe.example\" is no [[site]]") && refused.contains("\"video.example\""),
            "{refused}"
        );
        assert!(refused.contains("node.toml:9:"), "{refused}");
        for (hosts, url) in [("video.example", "http://VIDEO.example:8080/m.mpd"), ("*", "http://any.example/m.mpd")] {
            assert_eq!(said(hosts, url), "");
        }
    }
}
