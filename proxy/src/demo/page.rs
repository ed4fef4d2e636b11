//! The live page: one HTML file and the board as JSON, on a loopback port of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::board::Board;

/// Serves the page and returns its URL.
///
/// # Errors
/// When the address cannot be bound.
pub(super) async fn serve(address: SocketAddr, board: Arc<Board>) -> anyhow::Result<String> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("--page {address}: cannot bind"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let state = move || async move { Json(board.show()) };
    let routes =
        Router::new().route("/", get(|| async { Html(include_str!("page.html")) })).route("/state.json", get(state));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}
