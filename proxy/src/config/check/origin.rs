//! Keys of a `[[site]]` about its origins. A key of an error is one of that site.

use super::{Wrong, some_time, wrong};
use crate::config::origin::{Origin, OriginHealth, Retry, Shield};
use crate::config::{AT_A_TIME_MAX, ORIGINS_MAX, RETRIES_MAX, Site, WEIGHT_MAX};

impl Site {
    pub(super) fn check_origins(&self) -> Result<(), Wrong> {
        if self.origin.len() > ORIGINS_MAX {
            return wrong(format!("origin.{ORIGINS_MAX}"), format!("a site has at most {ORIGINS_MAX} origins"));
        }
        for (place, origin) in self.origin.iter().enumerate() {
            origin.check().map_err(|(key, problem)| (format!("origin.{place}.{key}"), problem))?;
        }
        if let Some(place) = self.origin.iter().position(|origin| origin.name.is_some()) {
            return wrong(format!("origin.{place}.name"), "only the nodes of a shield have names: remove it");
        }
        self.shield.as_ref().map_or(Ok(()), Shield::check)?;
        if self.origin.iter().all(|origin| origin.backup) {
            return wrong("origin", "every origin is a backup: one at least must not be");
        }
        self.retry.check()?;
        self.health.as_ref().map_or(Ok(()), OriginHealth::check)?;
        let times = &self.timeouts;
        for (key, time) in
            [("connect", times.connect), ("send", times.send), ("read", times.read), ("idle", times.idle)]
        {
            some_time(format!("timeouts.{key}"), &format!("site.timeouts.{key}"), time)?;
        }
        Ok(())
    }
}

impl Origin {
    fn check(&self) -> Result<(), Wrong> {
        crate::origin::Origin::of(self).map_err(|(key, problem)| (key.to_owned(), problem))?;
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return wrong(
                "weight",
                format!("an origin's weight is 1 to {WEIGHT_MAX}; leave one out that is not meant"),
            );
        }
        if self.max_connections.is_some_and(|most| !(1..=AT_A_TIME_MAX).contains(&most)) {
            let fix = "leave it out for any number";
            return wrong("max_connections", format!("an origin's max_connections is 1 to {AT_A_TIME_MAX}; {fix}"));
        }
        if self.queue > AT_A_TIME_MAX {
            return wrong("queue", format!("an origin's queue is at most {AT_A_TIME_MAX}"));
        }
        if self.queue > 0 && self.max_connections.is_none() {
            return wrong("queue", "nobody waits for an origin without max_connections: add it, or remove queue");
        }
        some_time("queue_timeout".to_owned(), "an origin's queue_timeout", self.queue_timeout)
    }
}

impl Shield {
    fn check(&self) -> Result<(), Wrong> {
        if !(1..=ORIGINS_MAX).contains(&self.nodes.len()) {
            return wrong("shield.nodes", format!("a shield has 1 to {ORIGINS_MAX} nodes"));
        }
        for (place, node) in self.nodes.iter().enumerate() {
            node.check().map_err(|(key, problem)| (format!("shield.nodes.{place}.{key}"), problem))?;
        }
        Ok(())
    }
}

impl Retry {
    fn check(&self) -> Result<(), Wrong> {
        if self.times > RETRIES_MAX {
            return wrong("retry.times", format!("site.retry.times is at most {RETRIES_MAX}"));
        }
        if self.budget_percent > 100 {
            return wrong("retry.budget_percent", "site.retry.budget_percent is 0 to 100");
        }
        Ok(())
    }
}

impl OriginHealth {
    fn check(&self) -> Result<(), Wrong> {
        if !self.path.starts_with('/') || !self.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("health.path", "site.health.path begins with / and has no blanks, such as \"/healthz\"");
        }
        for (key, count) in [("down_after", self.down_after), ("up_after", self.up_after)] {
            if count == 0 {
                return wrong(format!("health.{key}"), format!("site.health.{key} is at least 1"));
            }
        }
        for (key, time) in [("every", self.every), ("timeout", self.timeout)] {
            some_time(format!("health.{key}"), &format!("site.health.{key}"), time)?;
        }
        Ok(())
    }
}
