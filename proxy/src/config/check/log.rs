//! `[log]`.

use super::{Wrong, wrong};
use crate::config::{Config, STDOUT};
use crate::observe::access::Format;

impl Config {
    pub(super) fn check_log(&self) -> Result<(), Wrong> {
        let Some(access) = &self.log.access else { return Ok(()) };
        Format::parse(&access.format)
            .map_err(|problem| ("log.access.format".into(), format!("log.access.format: {problem}")))?;
        if !(0.0..=1.0).contains(&access.sample) {
            return wrong("log.access.sample", "log.access.sample is a share, 0.0 to 1.0");
        }
        let directory = access.file.parent().filter(|directory| !directory.as_os_str().is_empty());
        if access.file != std::path::Path::new(STDOUT) && !directory.is_none_or(std::path::Path::is_dir) {
            let problem = format!("log.access.file: {} is in no directory; make it first", access.file.display());
            return wrong("log.access.file", problem);
        }
        Ok(())
    }
}
