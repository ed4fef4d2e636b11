//! What a config file may say, and what it is told when it may not.

use super::*;

const GOOD: &str = r#"
[listen]
http = ["127.0.0.1:0"]
[cache]
memory = "64MiB"
[[site]]
hosts = ["video.example"]
origin = ["http://127.0.0.1:9000"]
default_ttl = "5s"
"#;

fn problem(text: &str) -> String {
    Config::parse(Path::new("node.toml"), text).unwrap_err().to_string()
}

#[test]
fn a_small_config_is_enough_and_gets_the_defaults() {
    let config = Config::parse(Path::new("node.toml"), GOOD).unwrap();
    assert_eq!(config.cache.memory, Size(64 << 20));
    assert_eq!(config.site[0].timeouts, Timeouts::default());
    assert_eq!(config.limits.header_bytes, Size(32 << 10));
}

#[test]
fn an_unknown_key_is_told_its_place_and_its_nearest_neighbour() {
    let text = GOOD.replace("origin =", "orgin =");
    assert_eq!(problem(&text), "node.toml:8:1: unknown key \"orgin\"; did you mean \"origin\"?");
}

#[test]
fn a_wrong_unit_is_told_its_place_and_how_to_write_it() {
    assert_eq!(
        problem(&GOOD.replace("64MiB", "64 apples")),
        "node.toml:5:10: \"64 apples\" is no size: write a number and a unit, such as \"64MiB\""
    );
    assert!(problem(&GOOD.replace("\"5s\"", "5")).contains("a duration in quotes, such as \"30s\""));
}

#[test]
fn what_belongs_together_is_checked_together() {
    for (text, expected) in [
        (GOOD.replace("http://127.0.0.1:9000", "ftp://x"), "http:// or https://"),
        (format!("{GOOD}[policy]\nroute = \"geo\"\n"), "policy.route names no [[plugin]]"),
        (
            format!("{GOOD}[[site]]\nhosts = [\"video.example\"]\norigin = [\"http://a\"]\n"),
            "host \"video.example\" is there twice",
        ),
        (GOOD.replace("video.example", "Video.example"), "lower case"),
        (GOOD.replace("http = [\"127.0.0.1:0\"]", ""), "nothing to listen on"),
        (format!("{GOOD}[[service]]\nname = \"a.\"\nclusters = [\"x\"]\nttl = \"1s\"\n"), "names no [[cluster]]"),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn every_key_is_in_the_reference_and_nothing_else() {
    let documented: HashSet<(&str, &str)> =
        reference::KEYS.iter().map(|key| key.key.rsplit_once('.').expect("a section and a key")).collect();
    for section in documented.iter().map(|(section, _)| *section).collect::<HashSet<_>>() {
        let mine: HashSet<&str> = documented.iter().filter(|(of, _)| *of == section).map(|(_, key)| *key).collect();
        assert_eq!(mine, keys_of(section), "[{section}]");
    }
    let sections: HashSet<&str> = documented.iter().map(|(section, _)| section.split('.').next().unwrap()).collect();
    assert_eq!(sections, expected_keys("no-such-key = 1"), "sections");
}

/// The keys a section has, as its own error message lists them.
fn keys_of(section: &str) -> HashSet<&'static str> {
    let inner = "no-such-key = 1";
    match section {
        "plugin" | "site" | "cluster" | "zone" | "service" => expected_keys(&format!("[[{section}]]\n{inner}")),
        "listen.https" => expected_keys("[listen]\nhttps = [{ no-such-key = 1 }]"),
        "cluster.nodes" => expected_keys("[[cluster]]\nnodes = [{ no-such-key = 1 }]"),
        "cluster.health" => expected_keys("[[cluster]]\nhealth = { no-such-key = 1 }"),
        "site.dash" | "site.timeouts" => expected_keys(&format!("[[site]]\n{} = {{ {inner} }}", &section[5..])),
        _ => expected_keys(&format!("[{section}]\n{inner}")),
    }
}

fn expected_keys(text: &str) -> HashSet<&'static str> {
    let error = toml::from_str::<Config>(text).unwrap_err();
    let message: &'static str = error.message().to_owned().leak();
    let keys: HashSet<_> = message.split('`').skip(3).step_by(2).collect();
    // Tables inside a section have a section of their own in the reference.
    keys.into_iter().filter(|key| !["https", "nodes", "health", "dash", "timeouts"].contains(key)).collect()
}
