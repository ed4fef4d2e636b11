//! Records of policies: where they go and how large they grow.

use std::path::Path;

use littoral_plugin_host::limits::{RECORD_BYTES_MAX, RECORD_BYTES_MIN};

use super::{Wrong, wrong};
use crate::config::Config;

impl Config {
    pub(super) fn check_records(&self) -> Result<(), Wrong> {
        for (at, plugin) in self.plugin.iter().enumerate() {
            let of = &plugin.name;
            if plugin.record_bytes.is_some_and(|bytes| !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes.0)) {
                let problem = format!("plugin {of:?}: record_bytes is 4MiB to 64GiB; leave it out for 64MiB");
                return wrong(format!("plugin.{at}.record_bytes"), problem);
            }
            let Some(file) = &plugin.record else {
                match plugin.record_bytes {
                    None => continue,
                    Some(_) => {
                        let problem =
                            format!("plugin {of:?}: record_bytes needs record: name a file there, or leave it out");
                        return wrong(format!("plugin.{at}.record_bytes"), problem);
                    }
                }
            };
            let key = format!("plugin.{at}.record");
            let is_there = |directory: &Path| directory == Path::new("") || directory.is_dir();
            if !file.parent().is_some_and(is_there) || file.is_dir() {
                let problem =
                    format!("plugin {of:?}: record: {} is no file in a directory that is there", file.display());
                return wrong(key, problem);
            }
            if let Some(other) = self.plugin[..at].iter().find(|other| other.record.as_ref() == Some(file)) {
                let problem = format!(
                    "plugin {of:?}: record: plugin {:?} writes to {}: name another file",
                    other.name,
                    file.display()
                );
                return wrong(key, problem);
            }
        }
        Ok(())
    }
}
