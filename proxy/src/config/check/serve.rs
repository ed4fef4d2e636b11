//! `[[listen.service]]` and `[[listen.datagram]]`.

use littoral_plugin_host::service::limits::CONNECTIONS_TOTAL;

use super::listen::{check_door, check_tls};
use super::{Wrong, error, some_time, wrong};
use crate::config::{AMPLIFICATION_MAX, Config, Serve};

impl Config {
    pub(super) fn check_services(&self) -> Result<(), Wrong> {
        for (at, serve) in self.listen.service.iter().enumerate() {
            let at = format!("listen.service.{at}");
            check_door(&at, &serve.bind, &serve.door())?;
            serve.check(&at)?;
            self.check_seat(&at, "listen.service", &serve.plugin)?;
        }
        for (at, datagram) in self.listen.datagram.iter().enumerate() {
            let at = format!("listen.datagram.{at}");
            self.check_seat(&at, "listen.datagram", &datagram.plugin)?;
            if !(1..=AMPLIFICATION_MAX).contains(&datagram.amplification) {
                let problem = format!("listen.datagram.amplification is 1 to {AMPLIFICATION_MAX}");
                return wrong(format!("{at}.amplification"), problem);
            }
        }
        Ok(())
    }

    pub(super) fn check_seat(&self, at: &str, listener: &str, name: &str) -> Result<(), Wrong> {
        if self.plugin.iter().any(|plugin| plugin.name == name) {
            return Ok(());
        }
        let near = error::nearest(name, self.plugin.iter().map(|plugin| plugin.name.as_str()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        wrong(format!("{at}.plugin"), format!("{listener}.plugin names no [[plugin]]: {name:?}{hint}"))
    }
}

impl Serve {
    fn check(&self, at: &str) -> Result<(), Wrong> {
        match self.https() {
            Some(https) => check_tls(at, &https)?,
            None if self.cert.is_some() || self.key.is_some() || !self.certs.is_empty() || self.client_ca.is_some() => {
                let problem = "certificates without TLS: add tls = \"implicit\" or \"starttls\", or remove them";
                return wrong(format!("{at}.bind"), problem);
            }
            None => {}
        }
        if !(1..=CONNECTIONS_TOTAL as usize).contains(&self.connections) {
            let problem = format!("listen.service.connections is 1 to {CONNECTIONS_TOTAL}");
            return wrong(format!("{at}.connections"), problem);
        }
        let times = [
            ("idle", self.idle),
            ("write_timeout", self.write_timeout),
            ("lifetime", self.lifetime),
            ("drain", self.drain),
        ];
        for (key, time) in times {
            some_time(format!("{at}.{key}"), &format!("listen.service.{key}"), time)?;
        }
        Ok(())
    }
}
