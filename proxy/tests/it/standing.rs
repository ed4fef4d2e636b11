//! Standing push jobs: once in each opening of their window, also over a restart, and as the config says now.

use std::time::SystemTime;

use littoral_testkit::{Body, Gate, Node, Origin, Response};
use serde_json::Value;

use super::access_log::lines;
use super::{BINARY, config, get, node_before};

const FRESH: &str = "cache-control: max-age=600";

/// A window of two hours, which began so many hours ago.
fn window(began_h: u64) -> String {
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = |time_s: u64| format!("{:02}:{:02}", time_s / 3600 % 24, time_s / 60 % 60);
    let from_s = now_s + 24 * 3600 - began_h * 3600;
    format!("{}-{}", at(from_s), at(from_s + 2 * 3600))
}

fn standing(name: &str, began_h: u64, more: &str) -> String {
    format!("[[warm]]\nname = {name:?}\nwindow = {:?}\n{more}\n", window(began_h))
}

async fn told(node: &Node, path: &str) -> Vec<Value> {
    let (status, text) = node.admin("GET", path, "").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The job of a standing one, once there is one that is in such a state.
async fn job(node: &Node, name: &str, state: &str) -> Value {
    loop {
        let jobs = told(node, "/v1/warm").await;
        if let Some(job) = jobs.into_iter().rfind(|job| job["standing"] == name && job["state"] == state) {
            return job;
        }
    }
}

async fn names(node: &Node) -> Vec<String> {
    told(node, "/v1/warm").await.iter().map(|job| job["standing"].as_str().unwrap_or("").to_owned()).collect()
}

async fn reload(node: &Node, text: &str) {
    std::fs::write(node.file("node.toml"), text).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn a_standing_job_pushes_what_a_log_says_in_its_window_and_none_out_of_it() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"object")).await;
    let before = node_before(&origin, "[log]\naccess = { file = \"a.log\", format = \"json\" }").await;
    for path in ["/rare", "/often", "/often", "/often"] {
        get(&before, path).await;
    }
    lines(&before, "a.log", 4).await;
    let list = before.file("list.txt");
    std::fs::write(&list, "http://site.example/rare\nhttp://site.example/often\n").unwrap();
    let more = format!("list = {list:?}\nby_popularity = [{:?}]\nrate = \"1Gbps\"", before.file("a.log"));
    let all = [
        standing("closed", 20, "url = \"http://site.example/closed\""),
        standing("unread", 1, "url = \"http://site.example/x\"\nby_popularity = [\"nowhere.log\"]"),
        standing("films", 1, &more),
    ];
    let asked = origin.requests().len();
    let node = node_before(&origin, &all.concat()).await;
    let done = job(&node, "films", "done").await;
    assert_eq!((&done["done"], &done["failed_count"]), (&2.into(), &0.into()), "{done}");
    let fetched: Vec<String> = origin.requests()[asked..].iter().map(|request| request.path.clone()).collect();
    assert_eq!(fetched, ["/often", "/rare"]);
    assert_eq!(names(&node).await, ["films"]);
    let days = told(&node, "/v1/warm/standing").await;
    assert!(days[0]["opens_in_s"].as_u64().unwrap() > 3600 && days[0]["opened_s"].is_null(), "{days:?}");
    assert!(days[1]["error"].as_str().unwrap().contains("nowhere.log: cannot be read"), "{days:?}");
    assert!(days[2]["opened_s"].as_u64().is_some() && days[2]["error"].is_null(), "{days:?}");
    node.until("littoral_warm_standing_total{outcome=\"begun\"}", 1.0).await;
    node.until("littoral_warm_standing_total{outcome=\"failed\"}", 1.0).await;
    let (status, said) = node
        .admin(
            "POST",
            "/v1/warm",
            r#"{"url":"http://site.example/a","standing":{"name":"films","opened_s":0,"hash":0}}"#,
        )
        .await;
    assert!(status == 422 && said.contains("[[warm]]"), "{status} {said}");
}

#[tokio::test]
async fn a_restart_begins_no_standing_job_again_and_goes_on_with_one_that_had_not_ended() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/held" => Response::with(&[FRESH], Body::Gated(b"first".to_vec(), held.clone(), b"second".to_vec())),
        path if path.ends_with(".txt") => {
            Response::ok(&[FRESH, "content-type: text/plain"], path.replace(".txt", "").as_bytes())
        }
        _ => Response::ok(&[FRESH], b"object"),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("url = \"http://site.example/{name}.txt\"");
    let data = format!("[node]\ndata = {:?}\n", directory.path());
    let both = data + &standing("ended", 1, &url("ended")) + &standing("held", 1, &url("held"));
    let mut node = node_before(&origin, &both).await;
    job(&node, "ended", "done").await;
    origin.asked("/held", 1).await;
    let file = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    let is_known = || {
        let book = file("warm.json");
        file("warm-standing.json").contains("\"held\"") && book.contains("held.txt") && !book.contains("ended.txt")
    };
    while !is_known() {
        node.metrics().await;
    }
    node.signal("KILL");
    node.ended().await;
    drop(node);
    gate.open();
    let asked = origin.count("/ended.txt");
    // What is last is begun last: by then the others would have been.
    let node = node_before(&origin, &(both + &standing("last", 1, &url("last")))).await;
    job(&node, "last", "done").await;
    job(&node, "held", "done").await;
    assert_eq!((names(&node).await, origin.count("/ended.txt")), (vec!["held".into(), "last".into()], asked));
}

#[tokio::test]
async fn a_reload_begins_a_changed_standing_job_anew_and_cancels_one_that_is_gone() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/held" => Response::with(&[FRESH], Body::Gated(b"first".to_vec(), held.clone(), b"second".to_vec())),
        "/list" => Response::ok(&[FRESH, "content-type: text/plain"], b"/held\n"),
        _ => Response::ok(&[FRESH], b"object"),
    })
    .await;
    let of =
        |more: &str| config(&[&origin], &standing("held", 1, &format!("url = \"http://site.example/list\"\n{more}")));
    let node = Node::start(BINARY, &of(""), &[]).await;
    origin.asked("/held", 1).await;
    reload(&node, &of("")).await;
    reload(&node, &of("pin = \"2h\"")).await;
    job(&node, "held", "running").await;
    job(&node, "held", "cancelled").await;
    assert_eq!(names(&node).await, ["held", "held"], "one that reads the same goes on");
    reload(&node, &config(&[&origin], "")).await;
    while told(&node, "/v1/warm").await.iter().any(|job| job["state"] != "cancelled") {}
    assert_eq!(names(&node).await, ["held", "held"]);
    gate.open();
}
