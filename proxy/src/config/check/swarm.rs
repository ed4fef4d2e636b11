//! `[[listen.swarm]]`, and what only swarms are granted.

use littoral_plugin_host::service::swarm::CONTENT_MAX;
use littoral_plugin_host::service::swarm::limits::{CONNECTIONS_MAX, SWARMS_MAX};

use super::listen::check_door;
use super::{Wrong, some_time, wrong};
use crate::config::{AMPLIFICATION_MAX, Bind, Config, Swarm};

impl Config {
    pub(super) fn check_swarms(&self) -> Result<(), Wrong> {
        if self.listen.swarm.len() > SWARMS_MAX {
            return wrong("listen.swarm", format!("{} swarms: at most {SWARMS_MAX}", self.listen.swarm.len()));
        }
        for (at, swarm) in self.listen.swarm.iter().enumerate() {
            let at = format!("listen.swarm.{at}");
            swarm.check(&at)?;
            self.check_seat(&at, "listen.swarm", &swarm.plugin)?;
        }
        for (at, plugin) in self.plugin.iter().enumerate() {
            if plugin.content.as_ref().is_some_and(|list| list.is_empty() || list.len() > CONTENT_MAX) {
                let problem =
                    format!("plugin.content has 1 to {CONTENT_MAX} entries, such as \"video.example/title/*\"");
                return wrong(format!("plugin.{at}.content"), format!("plugin {:?}: {problem}", plugin.name));
            }
        }
        Ok(())
    }
}

impl Swarm {
    fn check(&self, at: &str) -> Result<(), Wrong> {
        match &self.bind {
            Some(bind @ Bind::Inet(_)) => check_door(at, bind, &self.door())?,
            Some(Bind::Unix(_)) => return wrong(format!("{at}.bind"), "a swarm's peers come by TCP: give an address"),
            None if self.datagrams.is_none() => {
                return wrong(format!("{at}.plugin"), "a swarm that nobody reaches: give bind, datagrams or both");
            }
            None => {}
        }
        let bounds = [
            ("connections", self.connections as u64, CONNECTIONS_MAX as u64),
            ("cpu", self.cpu.into(), 100),
            ("amplification", self.amplification.into(), AMPLIFICATION_MAX.into()),
        ];
        if let Some((key, _, most)) = bounds.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return wrong(format!("{at}.{key}"), format!("listen.swarm.{key} is 1 to {most}"));
        }
        for (key, time) in [("idle", self.idle), ("write_timeout", self.write_timeout)] {
            some_time(format!("{at}.{key}"), &format!("listen.swarm.{key}"), time)?;
        }
        Ok(())
    }
}
