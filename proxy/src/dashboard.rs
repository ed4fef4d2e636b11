//! The dashboard of one node: a page that shows what the admin API answers.
//!
//! It is one self-contained HTML file that asks `/v1/stats`, `/v1/plugins` and `/v1/clusters` of the listener it came
//! from and nothing of anybody else.

/// The page, for `GET /` of the admin listener.
pub fn dashboard_html() -> &'static str {
    include_str!("dashboard.html")
}
