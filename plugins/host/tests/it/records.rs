//! Records of what policies decide, and their replay by the same and by another version.

use std::path::PathBuf;

use littoral_plugin_host::{Interface, PluginSpec, RecordSpec, author};

use super::{ask, flow, guest, host, rows, spec};

/// A plugin whose decisions go to a file.
fn recorded(name: &str, config: &str) -> (tempfile::TempDir, PathBuf, PluginSpec) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.jsonl");
    let record = Some(RecordSpec { file: file.clone(), bytes: 8 << 20 });
    let spec = PluginSpec { record, config: config.into(), ..spec(name, guest(name)) };
    (directory, file, spec)
}

#[test]
fn a_record_replayed_by_the_version_that_made_it_differs_nowhere_and_by_another_it_says_where() {
    let (_directory, file, spec) = recorded("route-geo", "{}");
    let plugin = host().load(spec, Some(Interface::Routing)).unwrap();
    plugin.push_clusters(1, rows());
    let near = |place| littoral_plugin_host::Flow { place, ..flow() };
    plugin.decide(&near([1.0, 0.0, 0.0])).unwrap();
    // What is known changes in between, and with it the answer.
    let mut crowded = rows();
    crowded[1].load_permille = 1000;
    let between = near([0.70, 0.71, 0.0]);
    assert_eq!(plugin.decide(&between).unwrap().clusters[0], 1);
    plugin.push_clusters(2, crowded);
    assert_eq!(plugin.decide(&between).unwrap().clusters[0], 0);
    drop(plugin);
    let same = author::replay(&file, &guest("route-geo"), None).unwrap();
    assert!(same.is_same() && same.functions["decide"].asked == 3 && same.plugin == "route-geo", "{same:?}");
    let other = author::replay(&file, &guest("nonsense"), None).unwrap();
    assert_eq!((other.functions["decide"].different, other.functions["decide"].faults), (3, 3));
    assert_eq!(other.changes["cluster 0 -> nonsense"], 2, "{other:?}");
    let first = &other.differences[0];
    assert!(first.generation == 1 && first.now == "its answer makes no sense" && first.line > 2, "{first:?}");
    let silent = author::replay(&file, &guest("rate-throughput"), None).unwrap();
    assert_eq!((silent.skipped, silent.functions.len()), (3, 0), "it has nothing to say of it");
}

#[test]
fn a_replay_takes_the_recorded_config_unless_another_is_given() {
    let (_directory, file, spec) = recorded("rate-throughput", r#"{"safety": 0.5}"#);
    let plugin = host().load(spec, Some(Interface::Rate)).unwrap();
    plugin.push_ladder(7, vec![100, 400, 1000]);
    assert_eq!(plugin.select(&ask(), 3).unwrap().rung, 0);
    drop(plugin);
    let rate = guest("rate-throughput");
    assert!(author::replay(&file, &rate, None).unwrap().is_same());
    let bolder = author::replay(&file, &rate, Some(r#"{"safety": 0.9}"#)).unwrap();
    assert_eq!(bolder.changes["rung 0 -> rung 1"], 1, "{bolder:?}");
    assert!(author::replay(&file, &rate, Some(r#"{"safety": 7}"#)).unwrap_err().contains("safety is 0.1 to 1.0"));
}

#[test]
fn faults_are_recorded_too_and_a_record_cut_short_is_replayed_as_far_as_it_goes() {
    let (_directory, file, spec) = recorded("trap", "{}");
    let plugin = host().load(spec, None).unwrap();
    plugin.decide(&flow()).unwrap_err();
    assert_eq!(plugin.status().record.unwrap().file, file);
    drop(plugin);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#""fault":"trap""#), "{text}");
    std::fs::write(&file, &text[..text.len() - 5]).unwrap();
    let cut = author::replay(&file, &guest("trap"), None).unwrap();
    assert!(cut.is_cut && cut.functions.is_empty(), "{cut:?}");
    std::fs::write(&file, format!("{text}{text}")).unwrap();
    assert_eq!(author::replay(&file, &guest("trap"), None).unwrap().functions["decide"].different, 0);
    for (content, expected) in [
        ("", "it is empty"),
        ("{}\n", "line 1 is none of a record"),
        ("{\"ladder\":{\"snapshot\":1,\"id\":1,\"kbps\":[]}}\n", "it is no record"),
        ("{\"record\":{\"version\":9,\"plugin\":\"p\"}}\n", "it is of version 9"),
    ] {
        std::fs::write(&file, content).unwrap();
        let said = author::replay(&file, &guest("trap"), None).unwrap_err();
        assert!(said.contains("r.jsonl: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_reload_that_changes_the_record_begins_another_and_one_that_does_not_goes_on() {
    let (directory, file, spec) = recorded("route-geo", "{}");
    let plugin = host().load(spec.clone(), Some(Interface::Routing)).unwrap();
    plugin.push_clusters(1, rows());
    plugin.decide(&flow()).unwrap();
    plugin.reload(None).unwrap();
    plugin.decide(&flow()).unwrap();
    let other = directory.path().join("other.jsonl");
    let record = Some(RecordSpec { file: other.clone(), bytes: 8 << 20 });
    plugin.reload(Some(PluginSpec { record, ..spec.clone() })).unwrap();
    plugin.decide(&flow()).unwrap();
    let asked = |file| author::replay(file, &guest("route-geo"), None).unwrap().functions["decide"].asked;
    assert_eq!(asked(&file), 2, "it was written out when it ended");
    plugin.reload(Some(PluginSpec { record: None, ..spec })).unwrap();
    plugin.decide(&flow()).unwrap();
    assert_eq!((asked(&other), plugin.status().record), (1, None));
}
