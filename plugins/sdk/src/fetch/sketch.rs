//! Who is asked by HTTP, for native tests: what is answered is written down before, what was asked can be read afterwards.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Refused, Request, Response};

/// What is answered, by URL. A clone is the same one: a test keeps one to see what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Web {
    /// The answer to each URL; one that nobody has written down is not granted.
    pub answers: Vec<(String, Result<Response, Refused>)>,
    asked: Rc<RefCell<Vec<Request>>>,
}

impl Web {
    /// The same with an answer more.
    #[must_use]
    pub fn answering(mut self, url: &str, status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.answers.push((url.to_owned(), Ok(Response { status, fields, body: body.into() })));
        self
    }

    /// The same with somebody who is not reached.
    #[must_use]
    pub fn refusing(mut self, url: &str, why: Refused) -> Self {
        self.answers.push((url.to_owned(), Err(why)));
        self
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.borrow().clone()
    }

    pub(crate) fn fetch(&self, request: &Request) -> Result<Response, Refused> {
        self.asked.borrow_mut().push(request.clone());
        let known = self.answers.iter().find(|(url, _)| *url == request.url);
        known.map_or(Err(Refused::NotGranted), |(_, answer)| answer.clone())
    }
}

/// What giving up is natively.
#[allow(clippy::panic, reason = "a call that the host would end ends so in a native test")]
pub(crate) fn gave_up(why: &str) -> ! {
    panic!("it gave up: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_by_url_and_what_was_asked_is_kept() {
        let url = "http://a.example/";
        let web =
            Web::default().answering(url, 200, &[("X-A", "b")], "hi").refusing("http://b.example/", Refused::Timeout);
        let answer = web.clone().fetch(&Request::get(url).with("x", "y").within(5)).unwrap();
        assert_eq!(
            (answer.status, answer.field("x-a").unwrap(), answer.text()),
            (200, "b".to_owned(), "hi".to_owned())
        );
        assert_eq!(web.fetch(&Request::get("http://b.example/")), Err(Refused::Timeout));
        assert_eq!(web.fetch(&Request::post("http://c.example/", "x")), Err(Refused::NotGranted));
        let asked = web.asked();
        assert_eq!((asked.len(), asked[0].timeout_ms, asked[2].method.as_str()), (3, 5, "POST"));
    }
}
