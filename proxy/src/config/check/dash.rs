//! `site.dash`.

use super::{Wrong, wrong};
use crate::config::Site;

impl Site {
    /// The key is one of `site.dash`.
    pub(super) fn check_dash(&self) -> Result<(), Wrong> {
        let dash = &self.dash;
        if dash.cmcd_path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return wrong("cmcd_path", "site.dash.cmcd_path is a path without a query, such as \"/cmcd\"");
        }
        Ok(())
    }
}
