//! The dashboard of one node: a page, its script, its style and a chart library, all in the binary.
//!
//! What it shows comes from the admin API of the listener it came from, above all from `/v1/events`. Invariants: it asks nobody else
//! (the page's policy forbids it), no script or style stands in the page, and whatever plugins, titles and hosts are called gets
//! there as text.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use littoral_cache::conditions::{self, Condition};
use littoral_cache::key::hash_bytes;
use littoral_cache::vary;

/// What the page may do: its own script, style and API. Neither frames nor forms that go elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");

const PAGE: &str = include_str!("dashboard/index.html");
/// The land of the Earth as a path of SVG: `dashboard/vendor/README.md`.
const LAND: &str = include_str!("dashboard/vendor/land.svgpath");
/// Name, type and text of what the page asks for. In the page stands `{{NAME}}` where its address belongs.
const PARTS: [(&str, &str, &str); 5] = [
    ("app.js", "text/javascript; charset=utf-8", include_str!("dashboard/app.js")),
    ("parts.js", "text/javascript; charset=utf-8", include_str!("dashboard/parts.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("dashboard/style.css")),
    ("uplot.js", "text/javascript; charset=utf-8", include_str!("dashboard/vendor/uPlot.iife.min.js")),
    ("uplot.css", "text/css; charset=utf-8", include_str!("dashboard/vendor/uPlot.min.css")),
];

/// Everything there is, made when the first asks: the page, and what it names.
static ALL: LazyLock<(Asset, Vec<Asset>)> = LazyLock::new(all);

/// A file as it is sent.
struct Asset {
    /// With a hash of its content, so that it never changes under its name; empty for the page.
    name: String,
    kind: &'static str,
    plain: Bytes,
    /// When that is shorter.
    gzip: Option<Bytes>,
    tag: String,
}

impl Asset {
    fn new(name: &str, kind: &'static str, text: &str) -> Self {
        let hash = format!("{:016x}", hash_bytes(text.as_bytes()) as u64);
        let name = match name.rsplit_once('.') {
            Some((stem, extension)) => format!("{stem}-{hash}.{extension}"),
            None => String::new(),
        };
        let gzip = gzip(text.as_bytes()).filter(|short| short.len() < text.len());
        Self { name, kind, plain: Bytes::copy_from_slice(text.as_bytes()), gzip, tag: hash }
    }

    fn respond(&self, asked: &HeaderMap) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(asked));
        // Two representations, two validators (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{}{}\"", self.tag, if gzip.is_some() { "-gzip" } else { "" });
        let keeps = if self.name.is_empty() { "no-cache" } else { "public, max-age=31536000, immutable" };
        let tag = HeaderValue::try_from(tag).expect("invariant: a hash in quotes");
        let own = HeaderMap::from_iter([(ETAG, tag.clone())]);
        let (mut response, is_whole) = match conditions::evaluate(asked, StatusCode::OK, &own) {
            Condition::Holds => (gzip.unwrap_or(&self.plain).clone().into_response(), true),
            Condition::NotModified => (StatusCode::NOT_MODIFIED.into_response(), false),
            Condition::Failed => (StatusCode::PRECONDITION_FAILED.into_response(), false),
        };
        let fields = response.headers_mut();
        let mut set = |name, value: &'static str| fields.insert(name, HeaderValue::from_static(value));
        set(CACHE_CONTROL, keeps);
        set(VARY, "Accept-Encoding");
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(CONTENT_SECURITY_POLICY, POLICY);
        set(REFERRER_POLICY, "no-referrer");
        if is_whole {
            set(CONTENT_TYPE, self.kind);
            if gzip.is_some() {
                set(CONTENT_ENCODING, "gzip");
            }
        }
        fields.insert(ETAG, tag);
        response
    }
}

/// The page, for `GET /` of the admin listener.
pub fn page(asked: &HeaderMap) -> Response {
    ALL.0.respond(asked)
}

/// What the page asks for; `None`: there is no such thing.
pub fn part(name: &str, asked: &HeaderMap) -> Option<Response> {
    ALL.1.iter().find(|asset| asset.name == name).map(|asset| asset.respond(asked))
}

fn all() -> (Asset, Vec<Asset>) {
    let parts: Vec<Asset> = PARTS.iter().map(|(name, kind, text)| Asset::new(name, kind, text)).collect();
    let named = PARTS.iter().zip(&parts);
    let page = named.fold(PAGE.replace("{{land}}", LAND.trim()), |page, ((name, ..), asset)| {
        page.replace(&format!("{{{{{name}}}}}"), &format!("/assets/{}", asset.name))
    });
    (Asset::new("", "text/html; charset=utf-8", &page), parts)
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether an asker takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    static GZIP: LazyLock<[String; 1]> = LazyLock::new(|| ["gzip".to_owned()]);
    vary::fold(asked, &ACCEPT_ENCODING, &*GZIP).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_everything_by_its_content_and_nothing_of_others() {
        let page = String::from_utf8(ALL.0.plain.to_vec()).unwrap();
        assert!(!page.contains("{{"), "an address was not filled in");
        for asset in &ALL.1 {
            assert!(page.contains(&format!("\"/assets/{}\"", asset.name)), "{}", asset.name);
        }
        let outside = |text: &str| text.contains("src=\"http") || text.contains("href=\"http") || text.contains("url(");
        assert!(!outside(&page) && !PARTS.iter().any(|(.., text)| outside(text)));
    }

    #[test]
    fn neither_script_nor_style_stands_in_the_page_and_no_text_becomes_markup() {
        let scripts = PAGE.match_indices("<script").count();
        assert_eq!(scripts, PAGE.match_indices("<script src=").count());
        for inline in ["<style", " style=", " onclick", " onload", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        for (name, _, text) in PARTS {
            for makes_markup in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!text.contains(makes_markup), "{name}: {makes_markup}");
            }
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |field: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(field))]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("identity;q=1, gzip ; q=1"));
        assert!(
            !takes("") && !takes("br") && !takes("gzip;q=0") && !takes("x-gzip-like") && !takes_gzip(&HeaderMap::new())
        );
    }
}
