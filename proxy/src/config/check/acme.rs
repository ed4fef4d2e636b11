//! `[acme]` and `listen.https.acme`.

use super::{Wrong, is_domain_name, is_file, wrong};
use crate::config::{ACME_NAMES_MAX, Acme, Config, Https};

impl Config {
    pub(super) fn check_acme(&self) -> Result<(), Wrong> {
        let ordered = || self.listen.https.iter().enumerate().filter(|(_, https)| !https.acme.is_empty());
        let Some(acme) = &self.acme else {
            return match ordered().next() {
                Some((at, _)) => wrong(
                    format!("listen.https.{at}.acme"),
                    "nobody to order this certificate from: add [acme] with terms_agreed = true",
                ),
                None => Ok(()),
            };
        };
        acme.check().map_err(|(key, problem)| (format!("acme.{key}"), problem))?;
        if self.acme_state().is_none() {
            return wrong("acme", "no place for keys and certificates: give acme.state, or node.data");
        }
        for (at, https) in ordered() {
            if self.listen.http.is_empty() {
                let fix = "the authority asks for proof over plain HTTP: add listen.http, reachable at port 80";
                return wrong(format!("listen.https.{at}.acme"), fix);
            }
            https.check_acme().map_err(|(key, problem)| (format!("listen.https.{at}.{key}"), problem))?;
            let clash =
                |(other, its): (usize, &Https)| other < at && its.acme[0] == https.acme[0] && its.acme != https.acme;
            if ordered().any(clash) {
                let fix = "listeners whose first name is the same share a certificate: give them the same names";
                return wrong(format!("listen.https.{at}.acme"), fix);
            }
        }
        Ok(())
    }
}

impl Acme {
    /// The key is one of this section.
    fn check(&self) -> Result<(), Wrong> {
        if !self.directory.starts_with("https://") || url::Url::parse(&self.directory).is_err() {
            return wrong("directory", "acme.directory is the https:// URL that your authority names");
        }
        if let Some(at) = self.contact.iter().position(|contact| !contact.starts_with("mailto:")) {
            return wrong(format!("contact.{at}"), "a contact is written \"mailto:admin@example.org\"");
        }
        if !self.terms_agreed {
            return wrong("terms_agreed", "read the terms of your authority and write terms_agreed = true");
        }
        self.ca.as_ref().map_or(Ok(()), |ca| is_file("ca".into(), "", ca))
    }
}

impl Https {
    fn check_acme(&self) -> Result<(), Wrong> {
        if self.acme.len() > ACME_NAMES_MAX {
            return wrong("acme", format!("{} names: at most {ACME_NAMES_MAX} a certificate", self.acme.len()));
        }
        let is_name = |name: &String| {
            let dotted = name.contains('.') && !name.ends_with('.') && name.parse::<std::net::IpAddr>().is_err();
            dotted && !name.contains('*') && *name == name.to_ascii_lowercase() && is_domain_name(&format!("{name}."))
        };
        match self.acme.iter().position(|name| !is_name(name)) {
            Some(at) => {
                let fix = "write whole names in lower case, such as \"www.example.org\"; wildcards cannot be proven over HTTP";
                wrong(format!("acme.{at}"), format!("{:?}: {fix}", self.acme[at]))
            }
            None => Ok(()),
        }
    }
}
