//! Two fields set and one removed on each response: what `filter-headers` is measured with, as a filter for Envoy.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

struct Headers;

impl Context for Headers {}

impl HttpContext for Headers {
    fn on_http_response_headers(&mut self, _fields: usize, _end: bool) -> Action {
        self.set_http_response_header("x-frame-options", Some("DENY"));
        self.set_http_response_header("x-served", Some("edge"));
        self.set_http_response_header("x-powered-by", None);
        Action::Continue
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_http_context(|_, _| Box::new(Headers));
}}
