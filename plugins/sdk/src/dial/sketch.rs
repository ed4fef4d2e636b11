//! Who is dialled, for native tests of services: what it says is written down before, what it hears can be read afterwards.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Outbound, Refused, Security};
use crate::service::sketch::Sketch;
use crate::service::{Connection, Trouble};

/// Somebody to dial. A clone is the same one: a test keeps one to see what was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Far {
    /// Its name or address as it is dialled, and the port.
    pub target: (String, u16),
    /// Why it is not reached.
    pub refuses: Option<Refused>,
    talk: Rc<RefCell<Sketch>>,
}

impl Far {
    /// One that says this, then no more.
    pub fn saying(host: &str, port: u16, text: &str) -> Self {
        Self { target: (host.to_owned(), port), refuses: None, talk: Rc::new(RefCell::new(Sketch::saying(text))) }
    }

    /// One that is not reached.
    pub fn refusing(host: &str, port: u16, why: Refused) -> Self {
        Self { target: (host.to_owned(), port), refuses: Some(why), ..Self::default() }
    }

    /// What it heard, as text.
    pub fn heard(&self) -> String {
        self.talk.borrow().heard()
    }

    /// The first of these that is meant; one that nobody has written down is not granted.
    pub(crate) fn dialled(all: &[Self], host: &str, port: u16, security: Security) -> Result<Self, Refused> {
        let far = all.iter().find(|far| far.target == (host.to_owned(), port)).ok_or(Refused::NotGranted)?;
        if let Some(why) = far.refuses {
            return Err(why);
        }
        let mut talk = far.talk.borrow_mut();
        (talk.secure, talk.may_start_tls) = (security == Security::Tls, security == Security::Starttls);
        drop(talk);
        Ok(far.clone())
    }
}

impl Outbound for Far {
    fn peer(&self) -> (String, u16) {
        self.target.clone()
    }
    fn secure(&self) -> bool {
        self.talk.borrow().secure
    }
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Trouble> {
        self.talk.borrow_mut().read(max)
    }
    fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, Trouble> {
        self.talk.borrow_mut().read_line(max)
    }
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.talk.borrow_mut().write(data)
    }
    fn finish(&mut self) -> Result<(), Trouble> {
        self.talk.borrow_mut().finish()
    }
    fn start_tls(&mut self) -> Result<(), Trouble> {
        self.talk.borrow_mut().start_tls()
    }
    fn idle_limit(&mut self, _ms: u32) {}
}
