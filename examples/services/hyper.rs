//! A server on hyper, HTTP/1 and HTTP/2, with connections that are upgraded:
//! `fetchd run --listen web=:8080 -- service-hyper`.
#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use fetchd::service::Inherited;
use fetchd::service::http::{self, Handle, Server};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-hyper {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the runtime is built: it starts threads.
    let inherited = Inherited::take()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(inherited))
}

async fn run(mut inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let server = Server::new(inherited.listen_or_bind("web", "127.0.0.1:8080")?);
    let handle = server.handle();
    let service = service_fn(move |request| answer(request, handle.clone()));
    // Says READY, beats the watchdog, obeys SIGTERM and the control descriptor, drains.
    let summary = http::run_until_drained(inherited, server, service).await?;
    println!("left after {:?}, {} connections were cut", summary.took, summary.aborted);
    Ok(())
}

async fn answer(request: Request<Incoming>, handle: Handle) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key(UPGRADE) {
        return Ok(upgrade(request, handle));
    }
    if let Some(ms) = request.uri().query().and_then(|query| query.strip_prefix("ms=")) {
        sleep(Duration::from_millis(ms.parse().unwrap_or(0))).await;
    }
    let body = format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id());
    Ok(Response::new(Full::from(body)))
}

/// Switches to a protocol that repeats what it hears, and says `bye` when the server leaves: the drain waits
/// for this connection, so it must end by itself.
fn upgrade(request: Request<Incoming>, handle: Handle) -> Response<Full<Bytes>> {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await?);
        let mut bytes = [0; 1024];
        loop {
            tokio::select! {
                read = stream.read(&mut bytes) => match read? {
                    0 => break,
                    length => stream.write_all(&bytes[..length]).await?,
                },
                () = handle.draining() => {
                    stream.write_all(b"bye\n").await?;
                    break;
                }
            }
        }
        stream.shutdown().await?;
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    response
}
