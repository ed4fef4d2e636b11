//! What players tell and are told: CMCD in every form, counted, logged and kept out of keys; CMSD of every response.

use littoral_testkit::{Client, Node, Origin, Response};
use serde_json::Value;

use super::{BINARY, config, get, node_before};

const FRESH: &str = "cache-control: max-age=60";
const SITE: &str = "{site=\"site.example\"";

async fn origin() -> Origin {
    Origin::start(|_| Response::ok(&[FRESH], b"segment")).await
}

/// A sample of `site.example`; `label` as in `,carrier="query"`.
async fn sample(node: &Node, name: &str, label: &str) -> f64 {
    let samples = node.metrics().await;
    samples.get(&format!("{name}{SITE}{label}}}")).copied().unwrap_or(f64::NAN)
}

#[tokio::test]
async fn what_players_tell_is_counted_and_logged_and_no_part_of_a_key() {
    let origin = origin().await;
    let more = "[log]\naccess = { file = \"a.log\", format = \"json\" }\n[site]\ndash = { cmcd = true }";
    let node = node_before(&origin, more).await;
    let mut client = Client::connect(node.address("http")).await;
    let in_fields = ["CMCD-Request: bl=900,mtp=4000,su", "CMCD-Object: br=3000,ot=v", "CMCD-Status: bs,rtp=8000"];
    let told = [
        // A miss, and hits on both ways: the condition takes the last off the shorter one.
        ("/s1.m4s?CMCD=bl%3D4200%2Cbr%3D1500%2Cot%3Da%2Csid%3D%22s-1%22", vec![]),
        ("/s1.m4s?CMCD=bl%3D2100%2Csid%3D%22s-2%22%2Ccom.x-y%3D1", vec![]),
        ("/s1.m4s", in_fields.to_vec()),
        ("/s1.m4s?CMCD=v=2,ot=v,bl=(100;a%207000;v)", vec!["If-Match: *"]),
        ("/s1.m4s", vec![]),
    ];
    let outcomes = ["miss", "hit", "hit", "hit", "hit"];
    for ((path, fields), _) in told.iter().zip(outcomes) {
        assert_eq!(client.get("site.example", path, fields).await.status, 200, "{path}");
    }
    assert_eq!(origin.requests().len(), 1, "what players tell makes no difference to what is stored");
    let count = async |name: &str, label: &str| sample(&node, name, label).await;
    assert_eq!(count("littoral_cmcd_told_total", ",carrier=\"query\"").await, 3.0);
    assert_eq!(count("littoral_cmcd_told_total", ",carrier=\"fields\"").await, 1.0);
    assert_eq!(count("littoral_cmcd_objects_total", ",type=\"video\"").await, 2.0);
    assert_eq!(count("littoral_cmcd_stalls_total", "").await, 1.0);
    assert_eq!(count("littoral_cmcd_urgent_total", "").await, 1.0);
    assert_eq!(count("littoral_cmcd_ignored_keys_total", "").await, 1.0);
    assert_eq!(count("littoral_cmcd_buffer_seconds_sum", "").await, 14.2);
    assert_eq!(count("littoral_cmcd_buffer_seconds_bucket", ",le=\"1\"").await, 1.0);
    for (name, sum) in [("throughput", 4000.0), ("wanted", 8000.0), ("bitrate", 4500.0)] {
        assert_eq!(count(&format!("littoral_cmcd_{name}_kbps_sum"), "").await, sum, "{name}");
    }
    let logged = super::access_log::lines(&node, "a.log", outcomes.len()).await;
    let logged = logged.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said: Vec<_> = logged.map(|line| (line["outcome"].clone(), line["cmcd"].clone())).collect();
    let expected = [
        "bl=4200,br=1500,ot=a,sid=s-1",
        "bl=2100,sid=s-2",
        "bl=900,br=3000,bs,mtp=4000,ot=v,rtp=8000,su",
        "bl=7000,ot=v,v=2",
    ];
    let expected = expected.map(Value::from).into_iter().chain([Value::Null]);
    assert_eq!(said, outcomes.map(Value::from).into_iter().zip(expected).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_site_that_does_not_ask_for_it_reads_nothing_and_keeps_the_argument_in_its_keys() {
    let origin = origin().await;
    let node = node_before(&origin, "").await;
    for path in ["/s?CMCD=bl%3D1", "/s?CMCD=bl%3D2"] {
        let reply = get(&node, path).await;
        assert_eq!((reply.status, reply.field("cmsd-dynamic")), (200, ""));
    }
    assert_eq!(origin.requests().len(), 2);
    assert!(node.metrics().await.keys().all(|name| !name.starts_with("littoral_cmcd_")));
}

#[tokio::test]
async fn hostile_cmcd_counts_as_refused_and_the_request_is_served() {
    let origin = origin().await;
    let node = node_before(&origin, "[site]\ndash = { cmcd = true }").await;
    let many = "bs,".repeat(200);
    let long = format!("CMCD-Session: sid=\"{}\"", "x".repeat(9 << 10));
    let beyond = format!("CMCD-Session: sid=\"{}\"", "x".repeat(64 << 10));
    let (negative, many) =
        ("CMCD-Request: bl=-1,mtp=99999999999999999999".to_owned(), format!("CMCD-Status: {many}bs"));
    // The first is a miss, the others hits.
    for (fields, status) in [(&long, 200), (&long, 200), (&many, 200), (&negative, 200), (&beyond, 431)] {
        assert_eq!(node.get("site.example", "/s", &[fields]).await.status, status);
    }
    assert_eq!(get(&node, "/s?CMCD=%FF").await.status, 200);
    for (reason, count) in [("large", 2.0), ("keys", 1.0), ("encoding", 1.0)] {
        assert_eq!(
            sample(&node, "littoral_cmcd_refused_total", &format!(",reason={reason:?}")).await,
            count,
            "{reason}"
        );
    }
    assert_eq!(sample(&node, "littoral_cmcd_stalls_total", "").await, 0.0, "nothing of what is refused counts");
    assert_eq!(sample(&node, "littoral_cmcd_buffer_seconds_count", "").await, 0.0);
}

#[tokio::test]
async fn reports_of_players_are_counted_and_never_reach_the_origin() {
    let origin = origin().await;
    let node = node_before(&origin, "[site]\ndash = { cmcd_path = \"/cmcd\" }").await;
    let post = async |body: &str| {
        let mut client = Client::connect(node.address("http")).await;
        let length = body.len();
        client
            .send(format!("POST /cmcd HTTP/1.1\r\nHost: site.example\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
        client.reply(false).await.unwrap()
    };
    let reply = post(r#"[{"bs":true,"bl":250,"v":2},{"bs":true}]"#).await;
    assert_eq!((reply.status, reply.field("access-control-allow-origin")), (204, "*"));
    assert_eq!(post("e=ps,sta=r,bl=0,v=2\ne=t,bl=(4000;v),ot=v,v=2\n").await.status, 204);
    assert_eq!(post("{\"bs\":").await.status, 204);
    assert_eq!(post(&"x".repeat((64 << 10) + 1)).await.status, 413);
    assert_eq!(get(&node, "/cmcd").await.status, 405);
    let mut client = Client::connect(node.address("http")).await;
    client.send("OPTIONS /cmcd HTTP/1.1\r\nHost: site.example\r\nOrigin: https://p.example\r\n\r\n").await;
    let allowed = client.reply(false).await.unwrap();
    assert_eq!((allowed.status, allowed.field("access-control-allow-methods")), (204, "POST"));
    assert_eq!(sample(&node, "littoral_cmcd_told_total", ",carrier=\"report\"").await, 4.0);
    assert_eq!(sample(&node, "littoral_cmcd_stalls_total", "").await, 2.0);
    assert_eq!(sample(&node, "littoral_cmcd_buffer_seconds_sum", "").await, 4.25);
    for reason in ["json", "size"] {
        assert_eq!(sample(&node, "littoral_cmcd_refused_total", &format!(",reason={reason:?}")).await, 1.0, "{reason}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn players_are_told_of_the_way_to_them_on_misses_and_hits_alike() {
    let stale = "CMSD-Dynamic: \"origin\";etp=1";
    let origin = Origin::start(move |_| Response::ok(&[FRESH, stale, "CMSD-Static: ot=v"], b"segment")).await;
    let top = "[node]\nname = \"edge-1\"\n";
    let node = Node::start(BINARY, &config(&[&origin], &format!("{top}[site]\ndash = {{ cmsd = true }}")), &[]).await;
    let mut client = Client::connect(node.address("http")).await;
    for fields in [&[][..], &[][..], &["If-Match: *"][..]] {
        let reply = client.get("site.example", "/s", fields).await;
        let told: Vec<_> = reply.fields.iter().filter(|(name, _)| name == "cmsd-dynamic").collect();
        assert_eq!((reply.status, told.len()), (200, 1), "{reply:?}");
        let (name, parameters) = told[0].1.split_once(';').unwrap();
        let parameters: Vec<_> = parameters.split(';').map(|pair| pair.split_once('=').unwrap()).collect();
        let number = |wanted| parameters.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.parse::<u64>());
        assert_eq!(name, "\"edge-1\"");
        assert!(number("etp").is_some_and(|etp| etp.unwrap() > 1), "{parameters:?}");
        assert!(number("rtt").is_some_and(|rtt| rtt.unwrap() < 10_000) && number("rd").is_some(), "{parameters:?}");
        assert_eq!(reply.field("cmsd-static"), "ot=v");
        assert_eq!(reply.field("access-control-expose-headers"), "CMSD-Dynamic, CMSD-Static");
    }
    assert_eq!(origin.requests().len(), 1);
}
