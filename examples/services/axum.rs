//! A server on axum, HTTP/1 and HTTP/2: `fetchd run --listen web=:8080 -- service-axum`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use fetchd::service::Inherited;
use fetchd::service::http::{self, Server};
use hyper_util::service::TowerToHyperService;
use tokio::time::sleep;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-axum {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the runtime is built: it starts threads.
    let inherited = Inherited::take()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(inherited))
}

async fn run(mut inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let app = Router::new().route("/", get(about)).route("/slow", get(slow));
    let server = Server::new(inherited.listen_or_bind("web", "127.0.0.1:8080")?);
    // In place of `axum::serve`, whose graceful shutdown closes connections that have not sent a byte yet.
    let summary = http::run_until_drained(inherited, server, TowerToHyperService::new(app)).await?;
    println!("left after {:?}, {} connections were cut", summary.took, summary.aborted);
    Ok(())
}

async fn about() -> String {
    format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id())
}

async fn slow(RawQuery(query): RawQuery) -> String {
    let ms = query.as_deref().and_then(|query| query.strip_prefix("ms=")).and_then(|ms| ms.parse().ok());
    sleep(Duration::from_millis(ms.unwrap_or(0))).await;
    about().await
}
