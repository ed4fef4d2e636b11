//! What a config file may say, and what it is told when it may not.

use std::collections::HashSet;

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

/// A config that directs; `# here` is line 4, the second cluster begins at line 13.
const DIRECTING: &str = r#"[listen]
dns = ["127.0.0.1:5300"]
admin = "127.0.0.1:9145"
# here
[[cluster]]
id = "one"
tier = "home"
at = [0, 0]
capacity = "1Gbps"
nodes = [{ v4 = "203.0.113.1" }]
prefixes = ["10.1.0.0/16"]
health = { port = 8080 }
[[cluster]]
id = "two"
tier = "home"
at = [0, 0]
capacity = "1Gbps"
nodes = [{ v4 = "203.0.113.2" }]
prefixes = ["10.2.0.0/16", "10.3.0.0/16"]
[[zone]]
name = "k.example."
file = "k.zone"
[[service]]
name = "www.k.example"
clusters = ["one", "two"]
ttl = "20s"
"#;

#[test]
fn a_probe_that_cannot_work_is_told_its_place_and_what_to_write() {
    for (to, expected) in [
        ("port = 0", "12:19: cluster \"one\": health.port is 1 to 65535"),
        ("path = \"x\"", "12:19: cluster \"one\": health.path begins with /"),
        ("kind = \"tcp\", path = \"/x\"", "12:33: cluster \"one\": health.path is asked for by HTTP: leave"),
        ("kind = \"udp\"", "12:19: unknown variant `udp`, expected `http` or `tcp`"),
        ("down_after = 0", "12:25: cluster \"one\": health.down_after is at least 1"),
        ("up_after = 0", "12:23: cluster \"one\": health.up_after is at least 1"),
        ("every = \"0s\"", "12:20: cluster \"one\": health.every is more than 0s"),
        ("timeout = \"0s\"", "12:22: cluster \"one\": health.timeout is more than 0s"),
    ] {
        let problem = problem(&DIRECTING.replacen("port = 8080", to, 1));
        assert!(problem.starts_with(&format!("node.toml:{expected}")), "{problem}");
    }
}

#[test]
fn what_cannot_work_is_told_its_place_and_what_to_write() {
    Config::parse(Path::new("node.toml"), DIRECTING).unwrap();
    for (from, to, expected) in [
        (
            "v4 = \"203.0.113.1\"",
            "v4 = \"203.0.113.1\", weight = 0",
            "10:41: cluster \"one\": the weight of a node is 1 to 1000",
        ),
        ("id = \"two\"", "id = \"one\"", "14:6: cluster \"one\" is there twice: keep one"),
        ("id = \"two\"", "id = \"\"", "14:6: cluster \"\": its id is empty or \"*\""),
        ("id = \"two\"", "id = \"*\"", "14:6: cluster \"*\": its id is empty or \"*\""),
        ("1Gbps", "0Gbps", "9:12: cluster \"one\": a capacity of 0 sends nothing: write what"),
        ("10.3.0.0/16", "10.1.0.0/16", "19:28: 10.1.0.0/16 is of cluster \"one\" and of cluster \"two\": keep one"),
        (
            "10.3.0.0/16",
            "10.3.4.0/16",
            "19:28: cluster \"two\": 10.3.4.0/16 has bits beyond its length: write 10.3.0.0/16",
        ),
        ("9145", "5300", "2:8: address 127.0.0.1:5300 is there twice: keep one"),
        ("# here", "[dns]\nnsid = \"\"", "5:8: dns.nsid has 1 to 64 bytes; leave it out for none"),
        ("# here", "[dns]\ncookie_secret = \"00\"", "5:17: dns.cookie_secret is 32 hex digits"),
        ("# here", "[dns]\nbytes_without_cookie = 64", "5:24: dns.bytes_without_cookie is 128 to 1232"),
        ("# here", "[dns]\nslip = 101", "5:8: dns.slip is at most 100"),
        (
            "# here",
            "[geo]\noverride = [{ prefix = \"10.0.0.0/8\", cluster = \"three\" }]",
            "5:48: geo.override of 10.0.0.0/8 names no [[cluster]]: \"three\"",
        ),
        (
            "# here",
            "[geo]\noverride = [{ prefix = \"10.0.0.0/8\" }]",
            "5:24: 10.0.0.0/8 is given neither a cluster nor a place: add cluster or at",
        ),
        (
            "# here",
            "[geo]\noverride = [{ prefix = \"10.1.0.0/8\", at = [0, 0] }]",
            "5:24: 10.1.0.0/8 has bits beyond its length: write 10.0.0.0/8",
        ),
        ("# here", "[geo]\noverride = [{ prefix = \"10.0.0.0/8\", at = [91, 0] }]", "5:43: at = [latitude -90..90"),
        (
            "# here",
            "[geo]\noverride = [{ prefix = \"::/8\", at = [0, 0] }, { prefix = \"::/8\", cluster = \"one\" }]",
            "5:58: geo.override has ::/8 twice: keep one",
        ),
        ("# here", "[node]\ncluster = \"three\"", "5:11: node.cluster names no [[cluster]]: \"three\""),
        ("# here", "[node]\nname = \"a b\"", "5:8: node.name is 1 to 253 letters, digits and -._~"),
        ("# here", "[limits]\npasses = 17", "5:10: limits.passes is at most 16: a loop must end"),
        ("# here", "[limits]\nthreads = 100000", "5:11: limits.threads is at most 1024"),
        ("# here", "[limits]\nconnections = 0", "5:15: limits.connections is at least 1"),
        ("# here", "[limits]\nheader_timeout = \"0s\"", "5:18: limits.header_timeout is more than 0s"),
        ("# here", "[cache]\nmemory = \"4PiB\"", "5:10: cache.memory is 1MiB to 256TiB"),
        ("k.example.\"", "k..example.\"", "21:8: zone \"k..example.\" is no domain name"),
        (
            "www.k.example",
            "www.xk.example",
            "24:8: service \"www.xk.example\" is in no [[zone]] of this node: add its zone",
        ),
        ("[\"one\", \"two\"]", "[]", "25:12: service \"www.k.example\" has no clusters: name some"),
        ("[\"one\", \"two\"]", "[\"one\", \"tow\"]", "25:20: service \"www.k.example\" names no [[cluster]]: \"tow\""),
        ("20s", "70years", "26:7: service \"www.k.example\": ttl is at most 2147483647 seconds"),
    ] {
        let problem = problem(&DIRECTING.replacen(from, to, 1));
        assert!(problem.starts_with(&format!("node.toml:{expected}")), "{problem}");
    }
}

#[test]
fn round_trip_times_are_kept_and_heard_within_bounds() {
    for (text, expected) in [
        ("prefixes = 65537", "5:12: rtt.prefixes is 1 to 65536, not 65537"),
        ("samples = 0", "5:11: rtt.samples is at least 1"),
        ("keep = \"0s\"", "5:8: rtt.keep is at least 1s"),
        ("hear = \"10m\"", "5:8: rtt.age is longer than rtt.hear"),
        ("probe = { port = 0 }", "5:18: rtt.probe.port is 1 to 65535"),
        ("probe = { every = \"10ms\" }", "5:19: rtt.probe.every is at least 1s"),
        ("probe = { per_second = 101 }", "5:24: rtt.probe.per_second is 1 to 100"),
        ("probe = { at_a_time = 0 }", "5:23: rtt.probe.at_a_time is 1 to 256"),
        ("probe = { allow = [\"10.0.0.0/8\"] }", "5:19: rtt.probe.allow has more than 4096 prefixes"),
        ("probe = { allow = [\"10.0.0.0/24\"], addresses = [\"10.0.1.7\"] }", "5:49: 10.0.1.7 may not be probed: add"),
        ("probe = { allow = [\"192.168.0.0/15\"], addresses = [\"192.168.0.1\"] }", "5:52: 192.168.0.1 may not be"),
        ("probe = { allow = [\"10.0.0.1/24\"] }", "5:20: 10.0.0.1/24 has bits beyond its length"),
    ] {
        let problem = problem(&DIRECTING.replacen("# here", &format!("[rtt]\n{text}"), 1));
        assert!(problem.starts_with(&format!("node.toml:{expected}")), "{problem}");
    }
}

#[test]
fn a_resolver_says_where_it_listens_and_for_whom_and_never_for_everybody() {
    const LISTEN: &str = "listen = [\"127.0.0.1:5301\"]\n";
    for (text, expected) in [
        ("", "4:1: [resolver] listens nowhere: add listen, such as listen = [\"192.0.2.1:53\"]"),
        (LISTEN, "4:1: everybody could use the resolver: add allow, the prefixes of its clients"),
        ("listen = [\"0.0.0.0:53\"]\nallow = [\"10.0.0.0/8\"]", "5:11: resolver.listen names the addresses themselves"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\", \"0.0.0.0/0\"]"), "6:24: everybody could use the resolver: list"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nroots = []"), "7:9: resolver.roots has 1 to 64 addresses"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nsubnets = [\"a b\"]"), "7:12: \"a b\" is no zone"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nsubnet_v4 = 0"), "7:13: resolver.subnet_v4 is 1 to 32"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nport = 0"), "7:8: port 0 is none"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\ncache = \"1KiB\""), "7:9: resolver.cache is 64KiB to 64GiB"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nttl = \"8days\""), "7:7: resolver.ttl is more than 0s"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nlookups = 0"), "7:11: resolver.lookups is 1 to 65536"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\npatience = \"1h\""), "7:12: resolver.patience is 100ms to 30s"),
        (&format!("{LISTEN}allow = [\"10.0.0.0/8\"]\nanchors = \"none\""), "7:11: resolver.anchors "),
    ] {
        let problem = problem(&DIRECTING.replacen("# here", &format!("[resolver]\n{text}"), 1));
        assert!(problem.starts_with(&format!("node.toml:{expected}")), "{problem}");
    }
}

#[test]
fn a_site_that_steers_says_by_what_and_where_to() {
    let cluster = "[[cluster]]\nid = \"a\"\ntier = \"home\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nnodes = [{ v4 = \"192.0.2.1\" }]\n";
    let service = "[[service]]\nname = \"s.example.\"\nclusters = [\"a\"]\nttl = \"9s\"\n[[zone]]\nname = \"example.\"\nfile = \"z\"\n";
    let steered = |steer: &str, host: &str| format!("{GOOD}steer = {steer}\n{cluster}{host}\n{service}");
    let both = "{ service = \"S.example\", redirect = true }";
    for (text, expected) in [
        (steered("{ service = \"t.example\", redirect = true }", ""), "site.steer names no [[service]]: \"t.example\""),
        (steered("{ service = \"s.example\" }", ""), "site.steer does nothing"),
        (steered("{ service = \"s.example\", redirect = true, content = true }", ""), "site.steer.content needs"),
        (steered("{ service = \"s.example\", path = \"x\" }", ""), "is a path without a query"),
        (steered(both, ""), "site.steer.redirect needs cluster.host"),
        (steered(both, "host = \"a.example\""), "redirected to \"a.example\", which is no host of this site"),
        (steered("{ service = \"s.example\", path = \"/x\" }", "host = \"A.example\""), "lower case, without port"),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(expected), "{problem}");
    }
    let good = steered(both, "host = \"video.example\"");
    assert!(Config::parse(Path::new("node.toml"), &good).unwrap().site[0].steer.is_some());
}

#[test]
fn what_a_site_does_for_players_is_told_its_key_and_its_bounds() {
    for (dash, expected) in [
        ("{ prefetch = { at_once = 0 } }", "site.dash.prefetch.at_once is 1 to 1024"),
        ("{ prefetch = { by_session = 65 } }", "site.dash.prefetch.by_session is 1 to 64"),
        ("{ prefetch = { rate = \"0bps\" } }", "site.dash.prefetch.rate is more than nothing"),
        ("{ prefetch = { rates = \"1Mbps\" } }", "did you mean \"rate\"?"),
        ("{ pace = true }", "site.dash.pace needs site.dash.auto"),
        ("{ hint = true, cmcd = true }", "site.dash.hint needs site.dash.cmcd and site.dash.cmsd"),
        ("{ hint = true, cmsd = true }", "site.dash.hint needs site.dash.cmcd and site.dash.cmsd"),
        ("{ rewrite = { max_bandwidth = \"fast\" } }", "\"fast\" is no bandwidth"),
        ("{ rewrite = {} }", "site.dash.rewrite changes nothing"),
        ("{ rewrite = { auto = true } }", "site.dash.rewrite.auto needs site.dash.auto"),
        ("{ rewrite = { base_urls = { \"o.example\" = \"https://e\" } } }", "write \"http://origin.example\" ="),
    ] {
        let problem = problem(&format!("{GOOD}dash = {dash}\n"));
        assert!(problem.starts_with("node.toml:10:") && problem.contains(expected), "{problem}");
    }
    let good = Config::parse(Path::new("node.toml"), &format!("{GOOD}dash = {{ prefetch = {{}} }}\n")).unwrap();
    assert_eq!(good.site[0].dash.prefetch, Some(dash::Prefetch::default()));
}

#[test]
fn more_threads_than_sockets_may_be_are_refused() {
    let problem = problem(&DIRECTING.replacen("# here", "[dns]\nthreads = 257", 1));
    assert!(problem.starts_with("node.toml:5:11: dns.threads is at most 256"), "{problem}");
}

#[test]
fn a_plugin_that_cannot_work_is_told_its_own_place() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plugin = |name: &str, more: &str| format!("[[plugin]]\nname = {name:?}\nfile = {:?}\n{more}", file.path());
    let check =
        |more: &str, expected: &str| assert_eq!(problem(&format!("{GOOD}{more}")), format!("node.toml:{expected}"));
    check(&(plugin("p", "") + &plugin("p", "")), "14:8: plugin \"p\" is there twice: keep one");
    check(&plugin("", ""), "11:8: a plugin without a name: write one, such as \"geo\"");
    let trust = |line: &str| format!("[plugins]\n{line}\n");
    check(
        &trust("signature = \"warn\""),
        "11:13: plugins.signature needs plugins.trusted_keys: name a key there, or leave it out",
    );
    let told =
        "\"ed25519:00\" is no public key: write ed25519: and 64 hex digits, as `littoral plugin keygen` prints it";
    check(&trust("trusted_keys = [\"ed25519:00\"]"), &format!("11:16: {told}"));
    let nowhere = "record = \"none/r.jsonl\"\n";
    check(&plugin("p", nowhere), "13:10: plugin \"p\": record: none/r.jsonl is no file in a directory that is there");
    check(
        &plugin("p", "record_bytes = \"1MiB\"\n"),
        "13:16: plugin \"p\": record_bytes is 4MiB to 64GiB; leave it out for 64MiB",
    );
    check(
        &plugin("p", "record_bytes = \"8MiB\"\n"),
        "13:16: plugin \"p\": record_bytes needs record: name a file there, or leave it out",
    );
    let same = format!("record = \"{}.jsonl\"\n", file.path().display());
    let twice = format!(
        "17:10: plugin \"q\": record: plugin \"p\" writes to {}.jsonl: name another file",
        file.path().display()
    );
    check(&(plugin("p", &same) + &plugin("q", &same)), &twice);
    check(&plugin("p", "share = 5\n"), "13:9: plugin \"p\": share needs candidate: name a file there, or leave it out");
    let candidate = format!("candidate = {:?}\nshare = 100.5\n", file.path());
    check(&plugin("p", &candidate), "14:9: plugin \"p\": a share is 0 to 100 percent, not 100.5");
    check(&plugin("p", "fuel = 0\n"), "13:8: plugin.fuel is at least 1; leave it out for the default");
}

#[test]
fn a_host_with_its_final_dot_is_the_host() {
    let with = |hosts: &str| GOOD.replace("[\"video.example\"]", hosts);
    let config = Config::parse(Path::new("node.toml"), &with("[\"video.example.\", \"*\"]")).unwrap();
    assert_eq!(config.site[0].hosts, ["video.example", "*"]);
    assert!(
        problem(&with("[\"video.example.\", \"video.example\"]"))
            .starts_with("node.toml:7:28: host \"video.example\" is there twice")
    );
    for wrong in ["", ".", "a:80", "a b", "*.example"] {
        assert!(problem(&with(&format!("[{wrong:?}]"))).contains("write the name alone"), "{wrong}");
    }
}

#[test]
fn zones_that_nobody_can_ask_for_are_a_warning() {
    let warnings = |text: &str| Config::parse(Path::new("node.toml"), text).unwrap().warnings();
    assert!(warnings(DIRECTING).is_empty());
    let zone = "[[zone]]\nname = \"k.example.\"\nfile = \"k.zone\"\n";
    assert!(warnings(&format!("{GOOD}{zone}"))[0].contains("add listen.dns"));
}

#[test]
fn every_key_is_in_the_reference_and_nothing_else() {
    let documented: HashSet<(&str, &str)> =
        reference::keys().map(|key| key.key.rsplit_once('.').expect("a section and a key")).collect();
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
        // `record` is a table there, and a key of plugins.
        "zone" => expected_keys(
            "[[zone]]
no-such-key = 1",
        )
        .into_iter()
        .filter(|key| *key != "record")
        .collect(),
        "plugin" | "site" | "cluster" | "service" | "warm" => expected_keys(&format!("[[{section}]]\n{inner}")),
        "listen.http" => expected_keys("[listen]\nhttp = [{ no-such-key = 1 }]"),
        "listen.https" => expected_keys("[listen]\nhttps = [{ no-such-key = 1 }]"),
        // The same table, of which one key has no meaning there.
        "listen.forward" => {
            let keys = expected_keys("[listen]\nforward = [{ no-such-key = 1 }]");
            keys.into_iter().filter(|key| *key != "h2c").collect()
        }
        "zone.record" => expected_keys("[[zone]]\nrecord = [{ no-such-key = 1 }]"),
        zone if zone.starts_with("zone.") => expected_keys(&format!("[[zone]]\n{} = {{ {inner} }}", &section[5..])),
        // Of nodes it knows the names only.
        "control" => expected_keys("[control]\nno-such-key = 1").into_iter().chain(["nodes"]).collect(),
        "dns.key" => expected_keys("[dns]\nkey = [{ no-such-key = 1 }]"),
        "listen.datagram" => expected_keys("[listen]\ndatagram = [{ no-such-key = 1 }]"),
        "listen.swarm" => expected_keys("[listen]\nswarm = [{ no-such-key = 1 }]"),
        "listen.service" => expected_keys("[listen]\nservice = [{ no-such-key = 1 }]"),
        "listen.service.certs" => expected_keys("[listen]\nservice = [{ certs = [{ no-such-key = 1 }] }]"),
        "listen.https.certs" => expected_keys("[listen]\nhttps = [{ certs = [{ no-such-key = 1 }] }]"),
        "cache.disk" => expected_keys("[cache]\ndisk = { no-such-key = 1 }"),
        "geo.override" => expected_keys("[geo]\noverride = [{ no-such-key = 1 }]"),
        "cluster.nodes" => expected_keys("[[cluster]]\nnodes = [{ no-such-key = 1 }]"),
        "cluster.health" => expected_keys("[[cluster]]\nhealth = { no-such-key = 1 }"),
        "site.origin.sign" => expected_keys("[[site]]\norigin = [{ url = \"http://a\", sign = { no-such-key = 1 } }]"),
        "site.origin" => expected_keys("[[site]]\norigin = [{ no-such-key = 1 }]"),
        // Its nodes have the keys of an origin.
        "site.shield" => expected_keys("[[site]]\nshield = { no-such-key = 1 }").into_iter().chain(["nodes"]).collect(),
        forward if forward.starts_with("forward.") => {
            expected_keys(&format!("[forward]\n{} = {{ {inner} }}", &section[8..]))
        }
        site if site.starts_with("site.") => expected_keys(&format!("[[site]]\n{} = {{ {inner} }}", &section[5..])),
        _ => expected_keys(&format!("[{section}]\n{inner}")),
    }
}

fn expected_keys(text: &str) -> HashSet<&'static str> {
    let error = toml::from_str::<Config>(text).unwrap_err();
    let message: &'static str = error.message().to_owned().leak();
    let keys: HashSet<_> = message.split('`').skip(3).step_by(2).collect();
    // Tables inside a section have a section of their own in the reference.
    const TABLES: [&str; 25] = [
        "probe",
        "swarm",
        "dnssec",
        "transfer",
        "primary",
        "update",
        "service",
        "datagram",
        "override",
        "disk",
        "compress",
        "forward",
        "http",
        "https",
        "certs",
        "nodes",
        "health",
        "dash",
        "timeouts",
        "retry",
        "heuristic",
        "fill",
        "shield",
        "sign",
        "steer",
    ];
    // Of [listen] it is a list of tables, at the top a section; of site.steer it is a name, of [[plugin]] a list of names.
    let is_section = |key: &str| {
        (["forward", "service"].contains(&key) && keys.contains("listen"))
            || (key == "service" && keys.contains("redirect"))
            || (key == "http" && keys.contains("http_ca"))
    };
    let has_key_table = keys.contains("hosts") || keys.contains("nsid");
    let is_table = |key: &str| (TABLES.contains(&key) && !is_section(key)) || (key == "key" && has_key_table);
    keys.iter().copied().filter(|key| !is_table(key)).collect()
}

#[test]
fn an_origin_is_a_url_or_a_table_and_what_is_wrong_with_it_is_told_its_place() {
    let with = |origin: &str, more: &str| {
        GOOD.replace("\"http://127.0.0.1:9000\"", origin).replace("default_ttl", &format!("{more}\ndefault_ttl"))
    };
    let two = with("\"http://a\", { url = \"http://b\", weight = 3, max_connections = 2, queue = 4 }", "");
    let site = &Config::parse(Path::new("node.toml"), &two).unwrap().site[0];
    assert_eq!(site.origin[0], origin::Origin::of_url("http://a"));
    assert_eq!((site.origin[1].weight, site.origin[1].max_connections, site.origin[1].queue), (3, Some(2), 4));
    let url = "{ url = \"http://a\"";
    for (origin, more, expected) in [
        ("7", "", "8:11: invalid type: integer `7`, expected an origin, such as \"http://o.example\""),
        ("{ weight = 2 }", "", "8:11: missing field `url`: add this key"),
        (&format!("{url}, wieght = 2 }}"), "", "8:31: unknown key \"wieght\"; did you mean \"weight\"?"),
        (&format!("{url}, weight = 0 }}"), "", "8:40: an origin's weight is 1 to 1000"),
        (&format!("{url}, max_connections = 0 }}"), "", "8:49: an origin's max_connections is 1 to"),
        (&format!("{url}, queue = 5 }}"), "", "8:39: nobody waits for an origin without max_connections"),
        (&format!("{url}, backup = true }}"), "", "8:10: every origin is a backup"),
        ("\"http://a\"", "balance = \"random\"", "9:11: unknown variant `random`"),
        (&format!("{url}, name = \"b\" }}"), "", "8:38: only the nodes of a shield have names"),
        ("\"http://a\"", "shield = { nodes = [] }", "9:20: a shield has 1 to 64 nodes"),
        ("\"http://a\"", "shield = { nodes = [\"x\"] }", "9:21: origin \"x\": write http://"),
        ("\"http://a\"", "retry = { times = 9 }", "9:19: site.retry.times is at most 4"),
        ("\"http://a\"", "retry = { budget_percent = 101 }", "9:28: site.retry.budget_percent is 0 to 100"),
        ("\"http://a\"", "health = { path = \"x\" }", "9:19: site.health.path begins with /"),
        ("\"http://a\"", "health = { down_after = 0 }", "9:25: site.health.down_after is at least 1"),
        ("\"http://a\"", "fill = { resume = 9 }", "9:19: fill.resume is 0 to 8"),
        ("\"http://a\"", "slice = \"1MiB\"\nranges = \"forward\"", "10:10: slice already asks for what is needed"),
        ("\"http://a\"", "fill = { unread = 1000001 }", "9:19: fill.unread is 0 to 1000000"),
        ("\"http://a\"", "timeouts = { idle = \"0s\" }", "9:21: site.timeouts.idle is more than 0s"),
    ] {
        let problem = problem(&with(origin, more));
        assert!(problem.starts_with(&format!("node.toml:{expected}")), "{problem}");
    }
}

#[test]
fn a_control_plane_is_whole_or_refused_with_the_key() {
    let problem = |control: &str| {
        let text = format!(
            "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"a\"]\norigin = [\"http://a\"]\n[control]\n{control}\n"
        );
        Config::parse(Path::new("node.toml"), &text).err().map_or_else(String::new, |error| error.to_string())
    };
    let nats = "plane = \"nats\"\nservers = [\"nats://127.0.0.1:4222\"]\n";
    for good in ["", "quorum = 2", "quorum = \"majority\""] {
        assert_eq!(problem(&format!("{nats}{good}")), "");
    }
    for (control, says) in [
        ("plane = \"nats\"".to_owned(), "need each other"),
        ("servers = [\"nats://a:1\"]".to_owned(), "need each other"),
        ("plane = \"nats\"\nservers = [\"http://a:1\"]".to_owned(), "is no server"),
        ("plane = \"nats\"\nservers = [\"nats://u:p@a:1\"]".to_owned(), "is no server"),
        (format!("{nats}user = \"u\""), "come together"),
        (format!("{nats}ca = \"no-such.pem\""), "is not a readable file"),
        (format!("{nats}quorum = \"all\""), "a number of deciders, 1 to 256"),
        (format!("{nats}quorum = 0"), "\"majority\" or a number"),
        (format!("{nats}quorum = 257"), "1 to 256"),
        (format!("{nats}quorum = [1]"), "a number of deciders"),
        (format!("{nats}prefix = \"a.b\""), "letters, digits and -"),
        (format!("{nats}every = \"0s\""), "more than 0s"),
        (format!("{nats}silent_after = \"1500ms\""), "at least twice"),
        (format!("{nats}max_age = \"4s\""), "at least control.silent_after"),
        (format!("{nats}purges_bytes = \"1KiB\""), "at least 1MiB"),
        (format!("{nats}replicas = 6"), "1 to 5"),
        (format!("{nats}[cache]\ndisk = {{ path = \"d\", size = \"1GiB\" }}"), "needs node.data"),
    ] {
        assert!(problem(&control).contains(says), "{control}: {}", problem(&control));
    }
}
