//! Whole plays of the repository's own title, straight from an origin.

use std::path::Path;

use super::*;
use crate::fileserver::{OriginArgs, router};

const ASSET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/netcinema");

async fn origin(dir: &Path) -> SocketAddr {
    let args = OriginArgs { dir: dir.into(), listen: ([127, 0, 0, 1], 0).into(), max_age: Duration::from_secs(60) };
    let listener = tokio::net::TcpListener::bind(args.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(&args)).await });
    address
}

async fn play(dir: &Path, link: Option<&str>) -> anyhow::Result<Report> {
    let manifest = format!("http://{}/manifest.mpd", origin(dir).await).parse()?;
    let link = link.map(|link| link.parse().unwrap());
    run(&Options { link, speed: f64::INFINITY, patience: Duration::ZERO, ..Options::new(manifest) }, |_| {}).await
}

#[tokio::test]
async fn every_segment_is_played_once_and_in_order() {
    let report = play(Path::new(ASSET), None).await.unwrap();
    let numbers: Vec<usize> = report.segments.iter().map(|segment| segment.number).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    assert_eq!((report.failed, report.stalls.len(), report.hits), (0, 0, 0));
    assert!(report.startup_ms.is_some());
}

#[tokio::test]
async fn a_slow_link_keeps_the_player_low_and_a_link_that_opens_lets_it_climb() {
    let slow = play(Path::new(ASSET), Some("130kbps")).await.unwrap();
    assert!(slow.segments.iter().all(|segment| segment.representation == "0"), "{:?}", slow.segments);
    let opens = play(Path::new(ASSET), Some("130kbps:10s,20Mbps:1h")).await.unwrap();
    assert_eq!(opens.segments[0].representation, "0");
    assert_eq!(opens.segments[15].representation, "2");
}

#[tokio::test]
async fn a_segment_that_is_not_there_is_named_and_the_rest_is_played() {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(ASSET).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    std::fs::remove_file(dir.path().join("seg-2-00009.m4s")).unwrap();
    let report = play(dir.path(), None).await.unwrap();
    assert_eq!((report.failed, report.segments.len()), (1, 16));
    assert!(report.segments[8].failure.as_ref().is_some_and(|failure| failure.contains("404")));
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = format!("{:#}", play(dir.path(), None).await.unwrap_err());
    assert!(error.contains("manifest.mpd: status 404"), "{error}");
}

#[tokio::test]
async fn the_guest_that_an_edge_loads_chooses_in_the_player_too() {
    let manifest: Url = format!("http://{}/manifest.mpd", origin(Path::new(ASSET)).await).parse().unwrap();
    let options = |rule, plugin: Option<&Path>| {
        let plugin = plugin.map(Path::to_owned);
        Options { rule, plugin, speed: f64::INFINITY, patience: Duration::ZERO, ..Options::new(manifest.clone()) }
    };
    let built = littoral_testkit::node::plugin_file("rate-throughput");
    let link = |options| Options { link: Some("260kbps".parse().unwrap()), ..options };
    let report = run(&link(options(Rule::Guest, Some(&built))), |_| {}).await.unwrap();
    assert!(report.failed == 0 && report.segments.iter().all(|segment| segment.chosen_by == "guest"));
    let representations: Vec<&str> = report.segments.iter().map(|segment| segment.representation.as_str()).collect();
    assert_eq!((representations[0], representations[15]), ("0", "1"), "{representations:?}");
    for (rule, plugin, said) in [
        (Rule::Guest, None, "needs --plugin"),
        (Rule::Throughput, Some(built.as_path()), "is for --rule guest"),
        (Rule::Guest, Some(Path::new("Cargo.toml")), "Cargo.toml"),
    ] {
        let error = format!("{:#}", run(&options(rule, plugin), |_| {}).await.unwrap_err());
        assert!(error.contains(said), "{error}");
    }
}
