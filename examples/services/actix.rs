//! A server on actix-web, which has its own accept loop and its own workers:
//! `fetchd run --listen web=:8080 -- service-actix`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::{ServerHandle, Service as _};
use actix_web::http::ConnectionType;
use actix_web::rt::System;
use actix_web::rt::time::sleep;
use actix_web::{App, HttpRequest, HttpServer, web};
use fetchd::service::{Inherited, Message, Socket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A client that is silent may have sent something that is still on the way.
const LAME_DUCK: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-actix {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the system is built: it starts threads.
    let inherited = Inherited::take()?;
    System::new().block_on(run(inherited))
}

async fn run(mut inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let leaving = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&leaving);
    let mut server = HttpServer::new(move || {
        let leaving = Arc::clone(&seen);
        App::new()
            .wrap_fn(move |request, app| {
                let leaving = Arc::clone(&leaving);
                let answer = app.call(request);
                async move {
                    let mut response = answer.await?;
                    if leaving.load(Ordering::Relaxed) {
                        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                    }
                    Ok(response)
                }
            })
            .route("/", web::get().to(about))
            .route("/slow", web::get().to(slow))
    })
    .workers(2)
    .disable_signals();
    let within = inherited.environment().drain_within.map_or(Duration::from_secs(30), Message::before_the_kill);
    server = server.shutdown_timeout(within.saturating_sub(LAME_DUCK).as_secs());
    for listener in inherited.listen_or_bind("web", "127.0.0.1:8080")? {
        server = match listener.into_socket() {
            Socket::Tcp(listener) => server.listen(listener)?,
            Socket::Unix(listener) => server.listen_uds(listener)?,
            _ => return Err("`web` is not a listening socket".into()),
        };
    }
    let server = server.run();
    actix_web::rt::spawn(obey(inherited, server.handle(), leaving));
    server.await?;
    Ok(())
}

/// Says READY and obeys until the server has been told to stop.
async fn obey(mut inherited: Inherited, server: ServerHandle, leaving: Arc<AtomicBool>) -> Result<(), Box<dyn Error>> {
    let (told, mut messages) = mpsc::unbounded_channel();
    if let Some(control) = inherited.control() {
        control.hello()?;
        // Nobody listens once the drain has begun.
        control.watch(move |message| _ = told.send(message))?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    inherited.notify().ready()?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            Some(message) = messages.recv() => match message {
                Message::Pause => server.pause().await,
                Message::Resume => server.resume().await,
                _ => break,
            },
        }
    }
    inherited.notify().stopping()?;
    // Stopping closes idle connections at once. So first only the accepting ends, answers say `close`, and
    // silent clients are waited for.
    server.pause().await;
    leaving.store(true, Ordering::Relaxed);
    sleep(LAME_DUCK).await;
    server.stop(true).await;
    Ok(())
}

async fn about() -> String {
    format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id())
}

async fn slow(request: HttpRequest) -> String {
    let ms = request.query_string().strip_prefix("ms=").and_then(|ms| ms.parse().ok());
    sleep(Duration::from_millis(ms.unwrap_or(0))).await;
    about().await
}
