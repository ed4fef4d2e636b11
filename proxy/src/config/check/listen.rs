//! `[listen]`.

use super::{Wrong, is_file, unique, wrong};
use crate::config::Config;

impl Config {
    pub(super) fn check_listen(&self) -> Result<(), Wrong> {
        let listen = &self.listen;
        if listen.http.is_empty() && listen.https.is_empty() && listen.dns.is_empty() {
            return wrong("listen", "nothing to listen on: give [listen] http, https or dns");
        }
        if !listen.dns.is_empty() && self.zone.is_empty() {
            return wrong("listen.dns", "it listens for DNS but has no [[zone]]: add one");
        }
        let serves_http = !(listen.http.is_empty() && listen.https.is_empty());
        if serves_http && self.site.is_empty() {
            return wrong("listen", "it listens for HTTP but has no [[site]]: add one");
        }
        let plain = listen.http.iter().enumerate().map(|(at, address)| (format!("listen.http.{at}"), *address));
        let tls = listen.https.iter().enumerate().map(|(at, https)| (format!("listen.https.{at}.bind"), https.bind));
        let admin = listen.admin.iter().map(|address| ("listen.admin".to_owned(), *address));
        let dns = listen.dns.iter().enumerate().map(|(at, address)| (format!("listen.dns.{at}"), *address));
        let addresses = plain.chain(tls).chain(admin).chain(dns).filter(|(_, address)| address.port() != 0);
        unique("address", addresses)?;
        for (at, https) in listen.https.iter().enumerate() {
            is_file(format!("listen.https.{at}.cert"), "", &https.cert)?;
            is_file(format!("listen.https.{at}.key"), "", &https.key)?;
        }
        Ok(())
    }
}
