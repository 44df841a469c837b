//! The clients: a few lines of HTTP/1.1 that hide nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::stats::Failure;
use super::{Answer, Shared, Slow, Target};

/// An answer's head, or a body that is looked at, is not longer.
const LONGEST_HEAD: usize = 16 << 10;

/// A client that cannot connect does not fill the numbers with its own haste.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

type Connection = Pin<Box<dyn Duplex>>;

/// Runs all clients until the load is stopped or its lifetime is over.
pub(super) async fn run(shared: Arc<Shared>, mut ordered: mpsc::UnboundedReceiver<Slow>) {
    let mut clients = JoinSet::new();
    for _ in 0..shared.plan.fresh {
        clients.spawn(client(Arc::clone(&shared), false));
    }
    for _ in 0..shared.plan.keep_alive {
        clients.spawn(client(Arc::clone(&shared), true));
    }
    let mut stop = shared.stop.subscribe();
    let end = sleep(shared.plan.lifetime);
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = &mut end => break,
            Some(slow) = ordered.recv() => drop(clients.spawn(one(Arc::clone(&shared), slow))),
        }
    }
    shared.stop.send_replace(true);
    // Each request has a timeout, so this ends.
    while clients.join_next().await.is_some() {}
}

async fn client(shared: Arc<Shared>, keep_alive: bool) {
    let mut stop = shared.stop.subscribe();
    let mut connection = None;
    while !*stop.borrow() {
        let result = request(&shared, &mut connection, "/", keep_alive).await;
        shared.stats.ended(&result, true);
        let pause = if result.is_err() { shared.plan.think.max(AFTER_FAILURE) } else { shared.plan.think };
        idle(&mut stop, pause).await;
    }
}

async fn idle(stop: &mut watch::Receiver<bool>, pause: Duration) {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = sleep(pause) => {}
    }
}

async fn one(shared: Arc<Shared>, slow: Slow) {
    let result = request(&shared, &mut None, &slow.path, false).await;
    shared.stats.ended(&result, false);
    // The one who ordered it may have lost interest.
    let _ = slow.answer.send(result);
}

/// Sends one request over `connection`, or over a new one, and leaves it there if it can be used again.
async fn request(
    shared: &Shared,
    connection: &mut Option<Connection>,
    path: &str,
    keep_alive: bool,
) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let exchange = async {
        let mut open = match connection.take() {
            // Used without looking: a server that closed it has lost this request.
            Some(open) => open,
            None => {
                let open = connect(&shared.plan.target).await.map_err(|error| class(&error))?;
                shared.stats.connected();
                open
            }
        };
        let (body, reusable) = exchange(&mut open, path, keep_alive).await?;
        if keep_alive && reusable {
            *connection = Some(open);
        }
        Ok(body)
    };
    let body = timeout(shared.plan.timeout, exchange).await.unwrap_or(Err(Failure::Timeout))?;
    let text = String::from_utf8_lossy(&body);
    Ok(Answer {
        version: field(&text, "version").trim_matches('"').to_owned(),
        pid: field(&text, "pid").parse().unwrap_or(0),
        took: begun.elapsed(),
    })
}

async fn connect(target: &Target) -> io::Result<Connection> {
    Ok(match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::pin(stream)
        }
        Target::Unix(path) => Box::pin(UnixStream::connect(path).await?),
    })
}

/// One request and its answer's body; true if the server keeps the connection.
async fn exchange(open: &mut Connection, path: &str, keep_alive: bool) -> Result<(Vec<u8>, bool), Failure> {
    let close = if keep_alive { "" } else { "Connection: close\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
    open.write_all(request.as_bytes()).await.map_err(|error| class(&error))?;

    let mut received = Vec::with_capacity(512);
    let (head, length) = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            received.drain(..end + 4);
            let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
            break (head, length.ok_or(Failure::Status)?);
        }
        if received.len() > LONGEST_HEAD {
            return Err(Failure::Status);
        }
        more(open, &mut received).await?;
    };
    if length > LONGEST_HEAD {
        return Err(Failure::Status);
    }
    while received.len() < length {
        more(open, &mut received).await?;
    }
    if !head.starts_with("http/1.1 200 ") {
        return Err(Failure::Status);
    }
    let closes = header(&head, "connection").is_some_and(|value| value.split(',').any(|word| word.trim() == "close"));
    Ok((received, !closes))
}

async fn more(open: &mut Connection, received: &mut Vec<u8>) -> Result<(), Failure> {
    match open.read_buf(received).await {
        Ok(0) => Err(Failure::Eof),
        Ok(_) => Ok(()),
        Err(error) => Err(class(&error)),
    }
}

/// A header's value in a lower-case head.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

/// A field of a flat JSON object, as it stands there; empty if it is not there.
fn field<'a>(json: &'a str, name: &str) -> &'a str {
    let key = format!("\"{name}\":");
    let Some(start) = json.find(&key) else { return "" };
    let rest = &json[start + key.len()..];
    rest[..rest.find([',', '}']).unwrap_or(rest.len())].trim()
}

fn class(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Failure::Reset,
        io::ErrorKind::UnexpectedEof => Failure::Eof,
        io::ErrorKind::TimedOut => Failure::Timeout,
        // Refused, no such path, no free port: in each case there is no connection.
        _ => Failure::Refused,
    }
}
