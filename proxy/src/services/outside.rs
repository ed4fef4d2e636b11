//! What a filter or service has outside of the node by grant: what it keeps on disk, and whom it dials. What a config grants, and what is told of it.

use littoral_plugin_host::service::durable_limits::DURABLE_KEYS_DEFAULT;
use littoral_plugin_host::service::{DialSpec, DialledStatus, DurableHeld, DurableSpec};

use crate::config::{Config, Plugin};
use crate::observe::metrics::Sample;

/// What it may keep on disk. The check of the config sees to it that there is a place, and that the name is one of a file.
pub(crate) fn durable(raw: &Plugin, config: &Config) -> Option<DurableSpec> {
    let (granted, data) = (raw.durable?, config.node.data.as_ref()?);
    let file = data.join("durable").join(format!("{}.redb", raw.name));
    Some(DurableSpec { file, bytes: granted.0, keys: raw.durable_keys.unwrap_or(DURABLE_KEYS_DEFAULT) })
}

/// Whom it may dial.
pub(crate) fn dial(raw: &Plugin) -> Option<DialSpec> {
    raw.dial.clone().map(|reaches| DialSpec { reaches, authorities: raw.dial_ca.clone() })
}

/// Whether a family is of these.
pub(crate) fn is_of(name: &str) -> bool {
    name.starts_with("littoral_plugin_dial") || name.starts_with("littoral_plugin_durable")
}

/// Samples of one family, as far as the plugin has it.
pub(crate) fn samples(
    name: &str,
    label: &(&'static str, String),
    dialled: Option<&DialledStatus>,
    durable: Option<&DurableHeld>,
) -> Vec<Sample> {
    let one = |value: f64| vec![(value, vec![label.clone()])];
    let by = |kind: &'static str, counts: &mut dyn Iterator<Item = (&str, u64)>| -> Vec<Sample> {
        counts.map(|(of, count)| (count as f64, vec![label.clone(), (kind, of.to_owned())])).collect()
    };
    let of_dialled = dialled.and_then(|told| {
        Some(match name {
            "littoral_plugin_dialled" => one(told.open as f64),
            "littoral_plugin_dials_total" => by("outcome", &mut told.outcomes.iter().map(|(of, count)| (*of, *count))),
            "littoral_plugin_dialled_bytes_total" => {
                by("direction", &mut [("in", told.read_bytes), ("out", told.written_bytes)].into_iter())
            }
            "littoral_plugin_dialled_troubles_total" => {
                by("kind", &mut told.troubles.iter().map(|(of, count)| (*of, *count)))
            }
            _ => return None,
        })
    });
    let of_durable = durable.and_then(|held| {
        Some(match name {
            "littoral_plugin_durable_bytes" => one(held.bytes as f64),
            "littoral_plugin_durable_keys" => one(held.keys as f64),
            "littoral_plugin_durable_file_bytes" => one(held.file_bytes as f64),
            "littoral_plugin_durable_operations_total" => {
                by("kind", &mut held.operations.iter().map(|(of, count)| (*of, *count)))
            }
            "littoral_plugin_durable_refused_total" => {
                by("kind", &mut held.refused.iter().map(|(of, count)| (*of, *count)))
            }
            "littoral_plugin_durable_syncs_total" => one(held.syncs as f64),
            _ => return None,
        })
    });
    of_dialled.or(of_durable).unwrap_or_default()
}
