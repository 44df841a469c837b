//! A server on tokio alone, for a protocol of one's own: `fetchd run --listen web=:8080 -- service-tokio`.
//!
//! For HTTP there is `fetchd::service::http`, as the examples for hyper and axum show. Here everything is
//! done by hand, with the tracker that needs no runtime.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io;
use std::time::Duration;

use fetchd::service::{Connection, Connections, Inherited, Message, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

/// A client that is silent may have sent something that is still on the way.
const LAME_DUCK: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-tokio {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the runtime is built: it starts threads.
    let inherited = Inherited::take()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(inherited))
}

async fn run(mut inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let connections = Connections::new()?;
    let accepts = watch::Sender::new(true);
    for listener in inherited.listen_or_bind("web", "127.0.0.1:8080")? {
        let Socket::Tcp(listener) = listener.into_socket() else { return Err("`web` is not TCP".into()) };
        listener.set_nonblocking(true)?;
        let accepting = accept(TcpListener::from_std(listener)?, connections.clone(), accepts.subscribe());
        tokio::spawn(accepting);
    }
    if let Some(control) = inherited.control() {
        control.hello()?;
        let drain = connections.clone();
        control.watch(move |message| match message {
            Message::Pause => drop(accepts.send_replace(false)),
            Message::Resume => drop(accepts.send_replace(true)),
            _ => drain.drain(),
        })?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let notify = inherited.notify().clone();
    notify.ready()?;
    let mut beat = interval(inherited.environment().watchdog.map_or(Duration::from_secs(3600), |every| every / 2));
    loop {
        tokio::select! {
            _ = terminate.recv() => connections.drain(),
            () = connections.draining() => break,
            _ = beat.tick() => notify.watchdog()?,
        }
    }
    notify.stopping()?;
    let within = inherited.environment().drain_within.map_or(Duration::from_secs(30), Message::before_the_kill);
    if timeout(within, connections.idle()).await.is_err() {
        println!("{} connections are cut", connections.count());
    }
    Ok(())
}

/// Accepts until the drain. The socket is closed then; the next generation has it too, and its queue.
async fn accept(listener: TcpListener, connections: Connections, mut accepts: watch::Receiver<bool>) {
    loop {
        let may = *accepts.borrow_and_update();
        tokio::select! {
            biased;
            () = connections.draining() => return,
            // Without a control descriptor there is nobody who pauses.
            Ok(()) = accepts.changed() => {}
            accepted = listener.accept(), if may => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, connections.open()))),
                // The connection's own error, or no descriptors: the listener is fine.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

/// Answers requests until the client leaves, or has been silent for the lame-duck period of a drain.
async fn serve(mut stream: TcpStream, connection: Connection) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        let silent = async {
            connection.draining().await;
            sleep(LAME_DUCK).await;
        };
        tokio::select! {
            read = stream.read_buf(&mut request) => if read? == 0 { return Ok(()) },
            () = silent, if request.is_empty() => return Ok(()),
        }
        while let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            request.drain(..end + 4);
            if answer(&mut stream, &head, &connection).await? {
                return Ok(());
            }
        }
        if request.len() > 16 << 10 {
            return Ok(());
        }
    }
}

/// Answers one request; true if it was the last one.
async fn answer(stream: &mut TcpStream, head: &str, connection: &Connection) -> io::Result<bool> {
    if let Some(ms) = head.split(' ').nth(1).and_then(|path| path.strip_prefix("/slow?ms=")) {
        sleep(Duration::from_millis(ms.parse().unwrap_or(0))).await;
    }
    let close = connection.is_draining() || head.lines().any(|line| line.eq_ignore_ascii_case("connection: close"));
    let body = format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id());
    let word = if close { "close" } else { "keep-alive" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {word}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await?;
    Ok(close)
}
