//! An exchange and a store for native tests of filters: they do what the host does, but check nothing.

use std::collections::BTreeMap;

use super::{Durable, Exchange, Outbound, Refused, Request, Response, Security, Store};
use crate::fetch::sketch::gave_up;

pub use crate::dial::sketch::Far;
pub use crate::durable::sketch::Vault;
pub use crate::fetch::sketch::Web;

/// Fields, in their order.
pub type Fields = Vec<(String, String)>;

/// A request, and where `status` is not 0 its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what the method of `Exchange` with its name says")]
pub struct Sketch {
    pub method: String,
    pub host: String,
    pub target: String,
    pub client: String,
    pub secure: bool,
    pub status: u16,
    pub request: Fields,
    pub response: Fields,
    pub kept: Vec<u8>,
    pub now_ms: u64,
    pub random: u64,
    pub country: Option<String>,
    pub asn: u32,
    /// Whom it may ask by HTTP.
    pub web: Web,
    /// What the filter keeps on disk.
    pub durable: Vault,
    /// Whom the filter may dial.
    pub dials: Vec<Far>,
}

impl Sketch {
    /// A GET of a target, with fields.
    pub fn get(target: &str, fields: &[(&str, &str)]) -> Self {
        let request = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, host, target) = ("GET".to_owned(), "site.example".to_owned(), target.to_owned());
        Self { method, host, target, client: "192.0.2.1".to_owned(), request, ..Self::default() }
    }

    /// The same with a response.
    #[must_use]
    pub fn answered(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        self.status = status;
        self.response = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    fn at_hand(&self) -> &Fields {
        if self.status == 0 { &self.request } else { &self.response }
    }

    fn at_hand_mut(&mut self) -> &mut Fields {
        if self.status == 0 { &mut self.request } else { &mut self.response }
    }
}

fn first(fields: &Fields, name: &str) -> Option<String> {
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

impl Exchange for Sketch {
    fn method(&self) -> String {
        self.method.clone()
    }
    fn host(&self) -> String {
        self.host.clone()
    }
    fn target(&self) -> String {
        self.target.clone()
    }
    fn client(&self) -> String {
        self.client.clone()
    }
    fn secure(&self) -> bool {
        self.secure
    }
    fn status(&self) -> u16 {
        self.status
    }
    fn request_field(&self, name: &str) -> Option<String> {
        first(&self.request, name)
    }
    fn field(&self, name: &str) -> Option<String> {
        first(self.at_hand(), name)
    }
    fn fields(&self, name: &str) -> Vec<String> {
        let of = self.at_hand().iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of.map(|(_, value)| value.clone()).collect()
    }
    fn set_field(&mut self, name: &str, value: &str) {
        self.remove_field(name);
        self.add_field(name, value);
    }
    fn add_field(&mut self, name: &str, value: &str) {
        self.at_hand_mut().push((name.to_owned(), value.to_owned()));
    }
    fn remove_field(&mut self, name: &str) {
        self.at_hand_mut().retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
    fn set_target(&mut self, target: &str) {
        target.clone_into(&mut self.target);
    }
    fn keep(&mut self, value: &[u8]) {
        self.kept = value.to_vec();
    }
    fn kept(&self) -> Vec<u8> {
        self.kept.clone()
    }
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn random(&self) -> u64 {
        self.random
    }
    fn country(&self) -> Option<String> {
        self.country.clone()
    }
    fn asn(&self) -> u32 {
        self.asn
    }
    fn fetch(&mut self, request: &Request) -> Result<Response, Refused> {
        self.web.fetch(request)
    }
    fn durable(&mut self) -> impl Durable {
        &mut self.durable
    }
    fn dial(
        &mut self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<impl Outbound + use<>, crate::dial::Refused> {
        Far::dialled(&self.dials, host, port, security)
    }
    fn give_up(&mut self, why: &str) -> ! {
        gave_up(why)
    }
}

/// Entries without an end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf(pub BTreeMap<Vec<u8>, Vec<u8>>);

/// Has a sketch that has a `shelf` be a store by it.
macro_rules! has_shelf {
    ($sketch:ty) => {
        impl Store for $sketch {
            fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
                self.shelf.get(key)
            }
            fn put(&mut self, key: &[u8], value: &[u8], ttl_ms: u64) {
                self.shelf.put(key, value, ttl_ms);
            }
            fn remove(&mut self, key: &[u8]) {
                self.shelf.remove(key);
            }
            fn swap(&mut self, key: &[u8], expected: Option<&[u8]>, value: &[u8], ttl_ms: u64) -> bool {
                self.shelf.swap(key, expected, value, ttl_ms)
            }
            fn add(&mut self, key: &[u8], delta: i64, ttl_ms: u64) -> i64 {
                self.shelf.add(key, delta, ttl_ms)
            }
        }
    };
}
pub(crate) use has_shelf;

impl Store for Shelf {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
    fn put(&mut self, key: &[u8], value: &[u8], _ttl_ms: u64) {
        self.0.insert(key.to_vec(), value.to_vec());
    }
    fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
    fn swap(&mut self, key: &[u8], expected: Option<&[u8]>, value: &[u8], ttl_ms: u64) -> bool {
        let is_as_expected = self.0.get(key).map(Vec::as_slice) == expected;
        if is_as_expected {
            self.put(key, value, ttl_ms);
        }
        is_as_expected
    }
    fn add(&mut self, key: &[u8], delta: i64, ttl_ms: u64) -> i64 {
        let counted = self.0.get(key).and_then(|value| value.as_slice().try_into().ok()).map_or(0, i64::from_le_bytes);
        let sum = counted.wrapping_add(delta);
        self.put(key, &sum.to_le_bytes(), ttl_ms);
        sum
    }
}
