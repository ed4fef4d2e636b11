//! Rewrites elements of HTML as it streams, before it is stored: chosen by CSS selectors, changed by rules.
//!
//! ```toml
//! [[plugin.config.rule]]
//! select = "a[href^='http://old.example/']"
//! rebase = { href = ["http://old.example/", "https://new.example/"] }
//! set = { rel = "nofollow" }
//!
//! [[plugin.config.rule]]
//! select = "head"
//! append = '<script src="/consent.js" defer></script>'
//!
//! [[plugin.config.rule]]
//! select = "script.tracker, iframe"
//! remove = true
//! ```
//!
//! A rule gives attributes another value (`set`), takes them away (`unset`) or replaces how their value begins (`rebase`); puts HTML `before` an element,
//! behind it (`after`), at the beginning of what it has inside (`prepend`), at the end (`append`) or in its place (`inner`); and takes it away whole
//! (`remove`) or without what it has inside (`unwrap`). All rules that select an element apply, in their order. What no rule selects goes past byte by byte.
//!
//! Selectors are those of lol_html: type, class, id, attribute, `:not`, `:nth-child`, `:first-child`, `:nth-of-type`, descendant and child. A body is never kept: the
//! parser holds one tag at a time, and of deep documents where it is, 1 MiB together; a body for which that is not enough, or a text whose meaning depends
//! on what a browser would do with a broken document, fails the filter where it comes. The encoding is that of `Content-Type`, else UTF-8; UTF-16 goes past as it is.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use littoral_plugin::filter::{Exchange, Filter, Piece, Point};
use lol_html::html_content::{ContentType, Element};
use lol_html::{
    AsciiCompatibleEncoding, ElementContentHandlers, HtmlRewriter, MemorySettings, OutputSink, Selector, Settings,
};
use serde::Deserialize;

/// Rules of one filter.
const RULES_MAX: usize = 64;
/// Bytes of a selector.
const SELECTOR_BYTES_MAX: usize = 1024;
/// Bytes that the parser may hold.
const HELD_BYTES_MAX: usize = 1 << 20;

/// The operator's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "types")]
    types: Vec<String>,
    rule: Vec<Rule>,
}

fn types() -> Vec<String> {
    ["text/html", "application/xhtml+xml"].map(String::from).into()
}

/// What is done to the elements that a selector chooses.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    select: String,
    set: BTreeMap<String, String>,
    unset: Vec<String>,
    rebase: BTreeMap<String, (String, String)>,
    before: Option<String>,
    after: Option<String>,
    prepend: Option<String>,
    append: Option<String>,
    inner: Option<String>,
    remove: bool,
    unwrap: bool,
}

impl Rule {
    /// # Errors
    /// What it cannot be asked.
    fn check(&self) -> Result<(), String> {
        let names = self.set.keys().chain(&self.unset).chain(self.rebase.keys());
        let is_name =
            |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "\"'>/=".contains(c));
        if let Some(name) = names.into_iter().find(|name| !is_name(name)) {
            return Err(format!("{:?}: {name:?} is no name of an attribute", self.select));
        }
        let texts = [&self.before, &self.after, &self.prepend, &self.append, &self.inner];
        let does_nothing = self.set.is_empty() && self.unset.is_empty() && self.rebase.is_empty();
        match does_nothing && texts.iter().all(|text| text.is_none()) && !self.remove && !self.unwrap {
            true => Err(format!(
                "{:?}: say what is done: set, unset, rebase, before, after, prepend, append, inner, remove or unwrap",
                self.select
            )),
            false => Ok(()),
        }
    }

    fn apply(&self, element: &mut Element<'_, '_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for (name, value) in &self.set {
            element.set_attribute(name, value)?;
        }
        self.unset.iter().for_each(|name| element.remove_attribute(name));
        for (name, (from, to)) in &self.rebase {
            let value = element.get_attribute(name);
            if let Some(rest) = value.as_ref().and_then(|value| value.strip_prefix(from)) {
                element.set_attribute(name, &format!("{to}{rest}"))?;
            }
        }
        let html = ContentType::Html;
        self.before.iter().for_each(|text| element.before(text, html));
        self.after.iter().for_each(|text| element.after(text, html));
        self.inner.iter().for_each(|text| element.set_inner_content(text, html));
        self.prepend.iter().for_each(|text| element.prepend(text, html));
        self.append.iter().for_each(|text| element.append(text, html));
        match (self.remove, self.unwrap) {
            (true, _) => element.remove(),
            (_, true) => element.remove_and_keep_content(),
            _ => {}
        }
        Ok(())
    }
}

/// Where what is rewritten goes, until it is handed over.
#[derive(Clone, Default)]
struct Out(Rc<RefCell<Vec<u8>>>);

impl OutputSink for Out {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.borrow_mut().extend_from_slice(chunk);
    }
}

/// The filter.
pub struct Html {
    types: Vec<String>,
    rules: Vec<(Selector, Rc<Rule>)>,
    out: Out,
    /// Of the body that comes now.
    rewriter: Option<HtmlRewriter<'static, Out>>,
}

impl Html {
    fn rewriter(&self, encoding: AsciiCompatibleEncoding) -> HtmlRewriter<'static, Out> {
        let memory = MemorySettings::new().with_max_allowed_memory_usage(HELD_BYTES_MAX);
        let settings = Settings::new().with_encoding(encoding).with_memory_settings(memory);
        let settings = self.rules.iter().fold(settings, |settings, (selector, rule)| {
            let rule = rule.clone();
            let handlers =
                ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| rule.apply(element));
            settings.append_element_content_handler((Cow::Owned(selector.clone()), handlers))
        });
        HtmlRewriter::new(settings, self.out.clone())
    }
}

/// The encoding that a media type names; `None` for one in which tags are not ASCII.
fn encoding(media: &str) -> Option<AsciiCompatibleEncoding> {
    let parameter = media.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    match parameter {
        Some(label) => encoding_rs::Encoding::for_label(label.as_bytes()).and_then(AsciiCompatibleEncoding::new),
        None => Some(AsciiCompatibleEncoding::utf_8()),
    }
}

impl Filter for Html {
    const POINTS: &'static [Point] = &[Point::Origin];
    const BODIES: bool = true;

    fn new(config: &str) -> Result<Self, String> {
        let Config { types, rule: rules } = littoral_plugin::config(config)?;
        if !(1..=RULES_MAX).contains(&rules.len()) {
            return Err(format!("rule: {} of them, it is 1 to {RULES_MAX}", rules.len()));
        }
        let of = |rule: Rule| {
            rule.check()?;
            if rule.select.len() > SELECTOR_BYTES_MAX {
                return Err(format!("a selector has at most {SELECTOR_BYTES_MAX} bytes"));
            }
            let selector: Selector = rule.select.parse().map_err(|error| format!("{:?}: {error}", rule.select))?;
            Ok((selector, Rc::new(rule)))
        };
        let rules = rules.into_iter().map(of).collect::<Result<_, String>>()?;
        Ok(Self { types, rules, out: Out::default(), rewriter: None })
    }

    fn on_origin(&mut self, x: &mut impl Exchange) -> bool {
        let media = x.field("content-type").unwrap_or_default();
        let essence = media.split(';').next().unwrap_or("").trim();
        self.out.0.borrow_mut().clear();
        self.rewriter = self
            .types
            .iter()
            .any(|known| known.eq_ignore_ascii_case(essence))
            .then(|| encoding(&media))
            .flatten()
            .map(|encoding| self.rewriter(encoding));
        self.rewriter.is_some()
    }

    fn on_body(&mut self, data: &[u8], last: bool) -> Piece {
        let written = self.rewriter.as_mut().map_or(Ok(()), |rewriter| rewriter.write(data));
        let written = written.and_then(|()| match self.rewriter.take_if(|_| last) {
            Some(rewriter) => rewriter.end(),
            None => Ok(()),
        });
        // A fault, so that the operator's `on_fault` says what becomes of the rest.
        assert!(written.is_ok(), "{}", written.err().map(|error| error.to_string()).unwrap_or_default());
        Piece { out: self.out.0.take(), hold: 0 }
    }
}

littoral_plugin::export_filter!(Html, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::Sketch;

    use super::*;

    fn through(rules: &str, media: &str, body: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut filter = Html::new(&format!("{{\"rule\": {rules}}}")).unwrap();
        let mut x = Sketch::get("/", &[]).answered(200, &[("content-type", media)]);
        filter.on_origin(&mut x).then(|| {
            let pieces = body.chunks(size).enumerate();
            pieces.flat_map(|(at, piece)| filter.on_body(piece, (at + 1) * size >= body.len()).out).collect()
        })
    }

    fn html(rules: &str, body: &str) -> String {
        String::from_utf8(through(rules, "text/html", body.as_bytes(), body.len()).unwrap()).unwrap()
    }

    #[test]
    fn each_thing_that_a_rule_can_do_is_done_to_what_it_selects_and_to_nothing_else() {
        for (does, left) in [
            (r#""set": {"id": "x"}"#, r#"<i>a</i><b class="k" id="x">c</b>"#),
            (r#""unset": ["class"]"#, "<i>a</i><b>c</b>"),
            (r#""rebase": {"class": ["k", "long"]}"#, r#"<i>a</i><b class="long">c</b>"#),
            (r#""rebase": {"class": ["no", "long"]}"#, r#"<i>a</i><b class="k">c</b>"#),
            (r#""before": "<hr>", "after": "<br>""#, r#"<i>a</i><hr><b class="k">c</b><br>"#),
            (r#""prepend": "1", "append": "2""#, r#"<i>a</i><b class="k">1c2</b>"#),
            (r#""inner": "<u>d</u>""#, r#"<i>a</i><b class="k"><u>d</u></b>"#),
            (r#""remove": true"#, "<i>a</i>"),
            (r#""unwrap": true"#, "<i>a</i>c"),
        ] {
            assert_eq!(html(&format!(r#"[{{"select": "b.k", {does}}}]"#), r#"<i>a</i><b class="k">c</b>"#), left);
        }
    }

    #[test]
    fn however_a_body_is_cut_the_same_comes_out_and_what_is_not_selected_is_left_byte_by_byte() {
        let rules = r#"[{"select": "a[href^='http://old/']", "rebase": {"href": ["http://old/", "https://new/"]}}]"#;
        let body = "<!doctype html><P  class=x>é < b &amp; <a HREF='http://old/1'>1</a><!-- <a href='http://old/2'> --><script>'<a href=http://old/3>'</script>";
        let whole = html(rules, body);
        assert_eq!(whole, body.replace("HREF='http://old/1'", "HREF=\"https://new/1\""));
        for size in 1..body.len() {
            assert_eq!(through(rules, "text/html", body.as_bytes(), size).unwrap(), whole.as_bytes(), "{size}");
        }
    }

    #[test]
    fn bodies_of_other_types_and_those_whose_tags_are_not_ascii_are_left_alone() {
        let asks = |media: &str| through(r#"[{"select": "b", "remove": true}]"#, media, b"<b>", 9).is_some();
        let media = [
            "text/HTML; charset=utf-8",
            "text/html;charset=windows-1252",
            "text/html; charset=utf-16le",
            "image/svg+xml",
            "",
        ];
        assert_eq!(media.map(asks), [true, true, false, false, false]);
        let latin = through(r#"[{"select": "b", "append": "é"}]"#, "text/html; charset=latin1", b"<b>\xe8</b>", 99);
        assert_eq!(latin.unwrap(), b"<b>\xe8\xe9</b>", "what is put in is of the body's encoding");
    }

    #[test]
    fn a_rule_that_cannot_work_is_told() {
        let told = |rules: &str| Html::new(&format!("{{\"rule\": {rules}}}")).err().unwrap_or_default();
        assert_eq!(told("[]"), "rule: 0 of them, it is 1 to 64");
        assert!(told(r#"[{"select": "b"}]"#).contains("say what is done"));
        assert!(told(r#"[{"select": "b:hover", "remove": true}]"#).starts_with("\"b:hover\": "));
        assert!(told(r#"[{"select": "b", "set": {"a b": "c"}}]"#).contains("is no name of an attribute"));
        let long = "b".repeat(SELECTOR_BYTES_MAX + 1);
        assert!(told(&format!(r#"[{{"select": "{long}", "remove": true}}]"#)).contains("at most 1024 bytes"));
    }
}
