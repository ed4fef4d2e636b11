//! What services keep on disk: `durable` and `durable_keys` of a `[[plugin]]`.

use littoral_plugin_host::service::durable_limits::{DURABLE_BYTES_MAX, DURABLE_KEYS_MAX};

use super::{Wrong, wrong};
use crate::config::Config;

/// Bytes of a plugin's name that names a file too.
const NAME_BYTES_MAX: usize = 64;

impl Config {
    pub(super) fn check_durables(&self) -> Result<(), Wrong> {
        for (at, plugin) in self.plugin.iter().enumerate() {
            let of = |key: &str, problem: String| {
                wrong(format!("plugin.{at}.{key}"), format!("plugin {:?}: {problem}", plugin.name))
            };
            let keys = plugin.durable_keys;
            let Some(durable) = plugin.durable else {
                match keys {
                    Some(_) => {
                        return of("durable_keys", "durable_keys needs durable: write it, or leave this out".into());
                    }
                    None => continue,
                }
            };
            if !(1 << 10..=DURABLE_BYTES_MAX).contains(&durable.0) {
                return of("durable", "durable is 1KiB to 1TiB, such as \"64MiB\"".into());
            }
            if keys.is_some_and(|keys| !(1..=DURABLE_KEYS_MAX).contains(&keys)) {
                return of(
                    "durable_keys",
                    format!("durable_keys is 1 to {DURABLE_KEYS_MAX}; leave it out for 1000000"),
                );
            }
            if self.node.data.is_none() {
                return of("durable", "durable needs node.data: name a directory there".into());
            }
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if plugin.name.len() > NAME_BYTES_MAX || !plugin.name.bytes().all(is_plain) {
                let problem = format!(
                    "the name of a plugin with durable is 1 to {NAME_BYTES_MAX} letters, digits, - and _, for it names a file"
                );
                return of("name", problem);
            }
        }
        Ok(())
    }
}
