//! Spans of requests, as a collector gets them.

use std::collections::HashMap;

use littoral_testkit::{Node, Origin, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{get, node_before};

/// A collector: where it is, and the spans that come.
async fn collector() -> (String, mpsc::UnboundedReceiver<Span>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (put, spans) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(collect(BufReader::new(stream), put.clone()));
        }
    });
    (url, spans)
}

async fn collect(mut stream: BufReader<tokio::net::TcpStream>, put: mpsc::UnboundedSender<Span>) {
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for resource in request.resource_spans {
            let names = attributes(&resource.resource.unwrap().attributes);
            assert_eq!(names["service.name"], "littoral");
            resource.scope_spans.into_iter().flat_map(|scope| scope.spans).for_each(|span| drop(put.send(span)));
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn attributes(list: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> HashMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        pair.value.as_ref().and_then(|value| value.value.as_ref()).map(text).unwrap_or_default()
    };
    list.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn node(origin: &Origin, url: &str, more: &str) -> Node {
    node_before(origin, &format!("[trace]\nendpoint = {url:?}\n{more}")).await
}

async fn origin() -> Origin {
    Origin::start(|request| match request.path.as_str() {
        "/broken" => Response { status: 500, ..Response::default() },
        _ => Response::ok(&["cache-control: max-age=60"], b"x"),
    })
    .await
}

const TOLD: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_miss_has_a_span_and_one_below_it_for_its_origin_and_a_hit_has_one() {
    let (origin, (url, mut spans)) = (origin().await, collector().await);
    let node = node(&origin, &url, "sample = 1.0").await;
    let reply = node.get("site.example", "/a?secret", &[TOLD, "tracestate: a=b"]).await;
    assert_eq!(reply.status, 200);
    let (server, client) = (spans.recv().await.unwrap(), spans.recv().await.unwrap());
    assert_eq!((server.kind(), client.kind()), (SpanKind::Server, SpanKind::Client));
    assert_ne!(hex(&server.trace_id), "0af7651916cd43dd8448eb211c80319c", "nobody was trusted");
    assert!(server.parent_span_id.is_empty());
    assert_eq!(
        (client.trace_id.clone(), client.parent_span_id.clone()),
        (server.trace_id.clone(), server.span_id.clone())
    );
    assert!(client.start_time_unix_nano >= server.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    let told = attributes(&server.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("url.scheme", "http"),
        ("server.address", "site.example"),
        ("http.response.status_code", "200"),
        ("littoral.cache.status", "miss"),
        ("littoral.site", "site.example"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!format!("{server:?}{client:?}").contains("secret"));
    assert_eq!(attributes(&client.attributes)["server.port"], origin.address.port().to_string());
    let asked = origin.requests().remove(0);
    let parent = format!("00-{}-{}-01", hex(&server.trace_id), hex(&client.span_id));
    assert_eq!((asked.field("traceparent"), asked.field("tracestate")), (Some(parent.as_str()), None));
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
    // The query is part of the key: /a is another object, and then a hit.
    let (_, _) = (spans.recv().await.unwrap(), spans.recv().await.unwrap());
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
    let hit = spans.recv().await.unwrap();
    assert_eq!(attributes(&hit.attributes)["littoral.cache.status"], "hit");
    assert_eq!(hit.name, "GET");
    assert!(node.metrics().await["littoral_trace_spans_total{outcome=\"queued\"}"] >= 5.0);
}

#[tokio::test]
async fn a_trusted_client_says_which_trace_goes_on_and_whether_it_is_recorded() {
    let (origin, (url, mut spans)) = (origin().await, collector().await);
    let node = node(&origin, &url, "sample = 0.0\ntrust_clients = true").await;
    for fields in [&[][..], &[&TOLD.replace("-01", "-00")[..]], &["traceparent: nonsense"]] {
        assert_eq!(node.get("site.example", "/unseen", fields).await.status, 200);
    }
    assert_eq!(node.get("site.example", "/broken", &[TOLD, "tracestate: a=b"]).await.status, 500);
    let server = spans.recv().await.unwrap();
    assert_eq!(attributes(&server.attributes)["url.path"], "/broken", "the others were not recorded");
    assert_eq!(
        (hex(&server.trace_id).as_str(), hex(&server.parent_span_id).as_str()),
        ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    );
    assert_eq!(attributes(&server.attributes)["error.type"], "500");
    let asked = origin.requests().pop().unwrap();
    assert!(asked.field("traceparent").unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(asked.field("tracestate"), Some("a=b"));
}

#[tokio::test]
async fn without_a_collector_requests_are_answered_and_what_is_lost_is_counted_and_said_once() {
    let origin = origin().await;
    let node = node(&origin, "http://127.0.0.1:1/v1/traces", "sample = 1.0").await;
    for _ in 0..3 {
        assert_eq!(get(&node, "/a").await.status, 200);
    }
    while node.metrics().await["littoral_trace_exports_total{outcome=\"failed\"}"] < 1.0 {}
    assert!(node.log().contains("the collector does not take traces"));
}

#[tokio::test]
async fn what_is_not_traced_keeps_the_traceparent_of_its_client() {
    let origin = origin().await;
    let node = node_before(&origin, "").await;
    node.get("site.example", "/a", &[TOLD]).await;
    assert_eq!(origin.requests()[0].field("traceparent"), TOLD.split(' ').nth(1));
    assert!(!node.metrics().await.keys().any(|name| name.starts_with("littoral_trace_")));
}
