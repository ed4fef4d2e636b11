//! `littoral origin`: a small static origin, so that an edge can be tried without installing a web server.
//!
//! It serves the files of one directory with `Last-Modified`, `ETag`, byte ranges and `Cache-Control: public, max-age`,
//! and prints the same `ready` line as `littoral run`. It caches nothing, lists no directory and follows nothing out of
//! it. Invariant: a file is only ever served whole or as the range asked for; the length sent is the file's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// Arguments of `littoral origin`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  littoral origin --dir assets/netcinema --listen 127.0.0.1:9000 --max-age 1h")]
pub struct OriginArgs {
    /// Directory whose files are served
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Address to listen on; port 0 takes a free one, the `ready` line says which
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Freshness lifetime stated in `Cache-Control` (whole seconds)
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub max_age: Duration,
}

/// Serves `args.dir` until SIGINT or SIGTERM.
///
/// # Errors
/// When `dir` is no directory or the address cannot be bound.
pub async fn main(args: OriginArgs) -> anyhow::Result<ExitCode> {
    let is_dir = tokio::fs::metadata(&args.dir).await.is_ok_and(|meta| meta.is_dir());
    anyhow::ensure!(is_dir, "--dir {}: no such directory; name one that holds the files to serve", args.dir.display());
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen {}: cannot bind; choose a free address or port 0", args.listen))?;
    println!("ready http={}", listener.local_addr()?);
    // Small writes of a large file must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::warn!(%error, "cannot set TCP_NODELAY on a connection");
        }
    });
    axum::serve(listener, router(&args)).with_graceful_shutdown(stop_signal()).await?;
    Ok(ExitCode::SUCCESS)
}

/// The origin as a service: every file of `args.dir`, `index.html` for directories.
pub fn router(args: &OriginArgs) -> Router {
    let cache_control = HeaderValue::try_from(format!("public, max-age={}", args.max_age.as_secs()))
        .expect("invariant: digits are a valid header value");
    Router::new().fallback_service(ServeDir::new(&args.dir)).layer(from_fn(move |request: Request, next: Next| {
        let cache_control = cache_control.clone();
        async move { state_freshness(next.run(request).await, cache_control) }
    }))
}

/// Errors are left without freshness, so that a cache does not keep a 404 for as long as a file.
fn state_freshness(mut response: Response, cache_control: HeaderValue) -> Response {
    let status = response.status();
    if status.is_success() || status == axum::http::StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
    }
    response
}

/// Resolves at SIGINT or SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serve(dir: &std::path::Path) -> SocketAddr {
        let args = OriginArgs { dir: dir.into(), listen: ([127, 0, 0, 1], 0).into(), max_age: Duration::from_secs(60) };
        let listener = TcpListener::bind(args.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(&args)).await });
        address
    }

    #[tokio::test]
    async fn a_file_has_freshness_and_validators_and_a_missing_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("seg-1.m4s"), b"0123456789").unwrap();
        let base = format!("http://{}", serve(dir.path()).await);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();

        let found = client.get(format!("{base}/seg-1.m4s")).send().await.unwrap();
        assert_eq!(found.headers()["cache-control"], "public, max-age=60");
        assert!(found.headers().contains_key("last-modified"));
        let etag = found.headers()["etag"].clone();
        let again = client.get(format!("{base}/seg-1.m4s")).header("if-none-match", etag).send().await.unwrap();
        assert_eq!(again.status(), 304);

        let missing = client.get(format!("{base}/seg-2.m4s")).send().await.unwrap();
        assert_eq!(missing.status(), 404);
        assert!(!missing.headers().contains_key("cache-control"));
    }

    #[tokio::test]
    async fn a_range_is_answered_with_just_those_bytes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.mp4"), b"0123456789").unwrap();
        let url = format!("http://{}/a.mp4", serve(dir.path()).await);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let part = client.get(url).header("range", "bytes=2-4").send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
        assert_eq!(part.bytes().await.unwrap().as_ref(), b"234");
    }
}
