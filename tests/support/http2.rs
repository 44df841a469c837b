//! Clients of HTTP/2 that notice every request that is lost: a stream that was opened is answered, or it counts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What is asked, and what an answer must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `GET /`, and now and then `/slow`.
    Http,
    /// The call of the example for tonic.
    Grpc,
}

/// What has happened so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub requests: u64,
    pub failed: Vec<String>,
    /// Answers by process.
    pub pids: BTreeMap<u32, u64>,
    pub connections: u64,
    /// Requests that the client had not sent when its connection was told to end. It sent them elsewhere.
    pub unsent: u64,
}

/// Running clients. They stop when this is dropped.
pub struct Http2Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<()>>,
}

/// What a request may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Every so many requests one takes [`SLOW`], so that some are in flight whenever a drain begins.
const SLOW_ONES: u64 = 10;
const SLOW: Duration = Duration::from_millis(700);

impl Http2Load {
    /// `connections` connections with `streams` requests at a time each.
    pub fn start(address: SocketAddr, kind: Kind, connections: usize, streams: usize) -> Http2Load {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Tally::default())));
        let clients = (Arc::clone(&stop), Arc::clone(&tally));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut all = JoinSet::new();
                for _ in 0..connections {
                    let (stop, tally) = clients.clone();
                    all.spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            connection(address, kind, streams, &stop, &tally).await;
                        }
                    });
                }
                while all.join_next().await.is_some() {}
            });
        });
        Http2Load { stop, tally, thread: Some(thread) }
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Waits until the process `pid` has answered something.
    #[track_caller]
    pub fn wait_for(&self, pid: u32) {
        let deadline = Instant::now() + LONGEST;
        while !self.tally().pids.contains_key(&pid) {
            assert!(Instant::now() < deadline, "no answer of {pid}: {:?}", self.tally());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets requests on their way finish, and stops.
    pub fn stop(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Http2Load {
    fn drop(&mut self) {
        self.end();
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A connection of this runtime's to `address`, for tests that send by themselves.
pub async fn connect(address: SocketAddr) -> Result<Sender, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|error| format!("handshake: {error:?}"))?;
    // What goes wrong here shows in the requests.
    tokio::spawn(connection);
    Ok(sender)
}

/// One connection, until the server or the test ends it.
async fn connection(
    address: SocketAddr,
    kind: Kind,
    streams: usize,
    stop: &Arc<AtomicBool>,
    tally: &Arc<Mutex<Tally>>,
) {
    let sender = match connect(address).await {
        Ok(sender) => sender,
        Err(why) => {
            tally.lock().unwrap().failed.push(why);
            sleep(Duration::from_millis(20)).await;
            return;
        }
    };
    tally.lock().unwrap().connections += 1;
    let mut all = JoinSet::new();
    for _ in 0..streams {
        let (mut sender, stop, tally) = (sender.clone(), Arc::clone(stop), Arc::clone(tally));
        all.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let slow = {
                    let mut tally = tally.lock().unwrap();
                    tally.requests += 1;
                    tally.requests.is_multiple_of(SLOW_ONES)
                };
                let result = timeout(LONGEST, exchange(&mut sender, address, kind, slow)).await;
                if !note(&mut tally.lock().unwrap(), result) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// False if this connection is of no use any more.
fn note(tally: &mut Tally, result: Result<Result<Option<u32>, String>, tokio::time::error::Elapsed>) -> bool {
    match result {
        Ok(Ok(Some(pid))) => *tally.pids.entry(pid).or_default() += 1,
        Ok(Ok(None)) => {
            tally.requests -= 1;
            tally.unsent += 1;
            return false;
        }
        Ok(Err(why)) => {
            tally.failed.push(why);
            return false;
        }
        Err(_) => {
            tally.failed.push("no answer in time".to_owned());
            return false;
        }
    }
    true
}

/// One request: the process that answered, or `None` if the connection had ended before it was sent.
pub async fn exchange(sender: &mut Sender, address: SocketAddr, kind: Kind, slow: bool) -> Result<Option<u32>, String> {
    if sender.ready().await.is_err() {
        return Ok(None);
    }
    let ms = if slow { SLOW.as_millis() } else { 0 };
    let request = match kind {
        Kind::Http => {
            let path = if slow { format!("/slow?ms={ms}") } else { "/".to_owned() };
            Request::get(format!("http://{address}{path}")).body(Full::default())
        }
        Kind::Grpc => {
            let text = ms.to_string();
            // Not compressed, the length, the message.
            let mut message = vec![0];
            message.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            message.extend(text.as_bytes());
            Request::post(format!("http://{address}/example.About/Get"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::from(message))
        }
    };
    let response = match sender.try_send_request(request.unwrap()).await {
        Ok(response) => response,
        Err(mut error) => {
            return match error.take_message() {
                Some(_) => Ok(None),
                None => Err(format!("request: {:?}", error.into_error())),
            };
        }
    };
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| format!("body: {error:?}"))?;
    let trailers = body.trailers().cloned();
    let bytes = body.to_bytes();
    if status != StatusCode::OK {
        return Err(format!("status {status}"));
    }
    if let Kind::Grpc = kind {
        let code = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        if code.is_none_or(|code| code != "0") {
            return Err(format!("grpc-status {code:?}"));
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let pid = text.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next()?.parse().ok());
    pid.map(Some).ok_or_else(|| format!("an answer without a process: {text}"))
}
