//! The drain as a client sees it, byte by byte: HTTP/2 in frames, and connections that were upgraded.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Handle, Server, Summary};
use crate::service::{Address, Listener};

/// What a test waits at most for something that happens at once.
const SOON: Duration = Duration::from_secs(20);

async fn answer(request: Request<Incoming>, handle: Handle) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from("hello"));
    if request.headers().contains_key(UPGRADE) {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
        let stays = request.uri().path() == "/stays";
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut byte = [0; 1];
            loop {
                tokio::select! {
                    read = stream.read(&mut byte) => match read {
                        Ok(1) => stream.write_all(&byte).await.unwrap(),
                        _ => return,
                    },
                    () = handle.draining(), if !stays => {
                        stream.write_all(b"bye").await.unwrap();
                        // It has more to do, and the drain waits.
                        sleep(Duration::from_millis(500)).await;
                        stream.write_all(b"!").await.unwrap();
                        return;
                    }
                }
            }
        });
    } else if let Some(ms) = request.uri().path().strip_prefix("/slow") {
        sleep(Duration::from_millis(ms.parse().unwrap_or(500))).await;
    }
    Ok(response)
}

/// A running server, its handle, and a connection to it.
async fn serving(set: impl FnOnce(Server) -> Server) -> (JoinHandle<Summary>, Handle, TcpStream) {
    let listener = Listener::bind("web", "127.0.0.1:0").unwrap();
    let Address::Tcp(address) = listener.address().unwrap() else { panic!("a TCP address") };
    let server = set(Server::new([listener]).lame_duck(Duration::from_millis(200)));
    let handle = server.handle();
    let service = {
        let handle = handle.clone();
        service_fn(move |request| answer(request, handle.clone()))
    };
    let running = tokio::spawn(async move { server.serve(service).await.unwrap() });
    (running, handle, TcpStream::connect(address).await.unwrap())
}

async fn summary(running: JoinHandle<Summary>) -> Summary {
    timeout(SOON, running).await.expect("the drain ends").unwrap()
}

/// Reads to the end of the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the connection ends").unwrap();
    bytes
}

/// Upgrades `stream` and shows that both ends know.
async fn upgrade(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test(flavor = "current_thread")]
async fn an_upgraded_connection_is_waited_for_and_hears_of_the_drain() {
    let (running, handle, mut stream) = serving(|server| server).await;
    upgrade(&mut stream, "/").await;
    let begun = Instant::now();
    handle.drain();
    assert_eq!(rest(&mut stream).await, b"bye!");
    let summary = summary(running).await;
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert_eq!((summary.connections, summary.drained, summary.aborted), (1, 1, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn an_upgraded_connection_that_stays_is_counted_at_the_deadline() {
    let (running, handle, mut stream) = serving(|server| server.deadline(Duration::from_millis(600))).await;
    upgrade(&mut stream, "/stays").await;
    let begun = Instant::now();
    handle.drain();
    let summary = summary(running).await;
    assert!(begun.elapsed() >= Duration::from_millis(600));
    assert_eq!((summary.connections, summary.drained, summary.aborted), (1, 0, 1));
}

#[cfg(feature = "http2")]
mod http2 {
    use super::*;

    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const ACK: u8 = 1;

    async fn send(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, content: &[u8]) {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(content);
        stream.write_all(&frame).await.unwrap();
    }

    #[derive(Debug)]
    struct Frame {
        kind: u8,
        flags: u8,
        id: u32,
        content: Vec<u8>,
    }

    impl Frame {
        /// The last stream that the server will have served, of a GOAWAY without an error.
        #[track_caller]
        fn last_stream(&self) -> u32 {
            assert_eq!((self.kind, &self.content[4..8]), (GOAWAY, &[0; 4][..]), "{self:?}");
            u32::from_be_bytes(self.content[..4].try_into().unwrap())
        }
    }

    async fn next(stream: &mut TcpStream) -> Frame {
        let read = async {
            let length = stream.read_u16().await.unwrap();
            let length = usize::from(length) << 8 | usize::from(stream.read_u8().await.unwrap());
            let (kind, flags) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
            let id = stream.read_u32().await.unwrap();
            let mut content = vec![0; length];
            stream.read_exact(&mut content).await.unwrap();
            Frame { kind, flags, id, content }
        };
        timeout(SOON, read).await.expect("a frame")
    }

    /// The next frame that is about streams or the end, and not settings or windows.
    async fn told(stream: &mut TcpStream) -> Frame {
        loop {
            let frame = next(stream).await;
            if [HEADERS, 0, PING, GOAWAY].contains(&frame.kind) {
                return frame;
            }
        }
    }

    async fn begin(stream: &mut TcpStream) {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        send(stream, SETTINGS, 0, 0, &[]).await;
    }

    async fn ask(stream: &mut TcpStream, id: u32, path: &str) {
        // GET, http, the path and `localhost`, by the static table of HPACK.
        let mut block = vec![0x82, 0x86, 0x44, u8::try_from(path.len()).unwrap()];
        block.extend(path.as_bytes());
        block.extend(b"\x41\x09localhost");
        send(stream, HEADERS, END_STREAM | 4, id, &block).await;
    }

    /// The answer on stream `id`, which says `hello`.
    async fn answered(stream: &mut TcpStream, id: u32) {
        let head = told(stream).await;
        assert_eq!((head.kind, head.id), (HEADERS, id), "{head:?}");
        let body = told(stream).await;
        assert_eq!((body.kind, body.id, &body.content[..]), (0, id, &b"hello"[..]), "{body:?}");
        if body.flags & END_STREAM == 0 {
            assert_ne!(told(stream).await.flags & END_STREAM, 0);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_opened_before_the_answer_to_the_ping_is_served() {
        let (running, handle, mut stream) = serving(|server| server).await;
        begin(&mut stream).await;
        ask(&mut stream, 1, "/").await;
        answered(&mut stream, 1).await;
        ask(&mut stream, 3, "/slow").await;
        sleep(Duration::from_millis(50)).await;
        handle.drain();
        assert_eq!(told(&mut stream).await.last_stream(), u32::MAX >> 1, "no stream is refused yet");
        let ping = told(&mut stream).await;
        assert_eq!((ping.kind, ping.flags & ACK), (PING, 0), "{ping:?}");
        // On its way when the GOAWAY arrived; far longer than the lame-duck period.
        sleep(Duration::from_millis(1000)).await;
        ask(&mut stream, 5, "/").await;
        answered(&mut stream, 3).await;
        answered(&mut stream, 5).await;
        send(&mut stream, PING, ACK, 0, &ping.content).await;
        assert_eq!(told(&mut stream).await.last_stream(), 5);
        assert!(rest(&mut stream).await.is_empty());
        drop(stream);
        let summary = summary(running).await;
        assert_eq!((summary.connections, summary.requests, summary.drained, summary.aborted), (1, 3, 1, 0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_idle_connection_goes_at_once_and_late_frames_are_no_reset() {
        let (running, handle, mut stream) = serving(|server| server.lame_duck(SOON)).await;
        begin(&mut stream).await;
        ask(&mut stream, 1, "/").await;
        answered(&mut stream, 1).await;
        handle.drain();
        assert_eq!(told(&mut stream).await.last_stream(), u32::MAX >> 1);
        let ping = told(&mut stream).await;
        send(&mut stream, PING, ACK, 0, &ping.content).await;
        assert_eq!(told(&mut stream).await.last_stream(), 1);
        // The server has said its last word. What a client still sends then must not reset the connection.
        assert!(rest(&mut stream).await.is_empty());
        for _ in 0..10 {
            send(&mut stream, PING, 0, 0, &[7; 8]).await;
            sleep(Duration::from_millis(10)).await;
        }
        drop(stream);
        assert_eq!(summary(running).await.aborted, 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_that_is_silent_until_the_drain_may_still_ask() {
        let (running, handle, mut stream) = serving(|server| server.lame_duck(Duration::from_secs(5))).await;
        // Accepted before the drain: it answers on another connection that came later.
        let mut second = TcpStream::connect(stream.peer_addr().unwrap()).await.unwrap();
        begin(&mut second).await;
        ask(&mut second, 1, "/").await;
        answered(&mut second, 1).await;
        drop(second);
        handle.drain();
        sleep(Duration::from_millis(500)).await;
        begin(&mut stream).await;
        ask(&mut stream, 1, "/").await;
        let mut pings = Vec::new();
        loop {
            let frame = told(&mut stream).await;
            match frame.kind {
                GOAWAY => assert_eq!(frame.last_stream(), u32::MAX >> 1),
                PING => pings.push(frame.content),
                _ => {
                    assert_eq!((frame.kind, frame.id), (HEADERS, 1));
                    break;
                }
            }
        }
        for ping in pings {
            send(&mut stream, PING, ACK, 0, &ping).await;
        }
        let _ = rest(&mut stream).await;
        drop(stream);
        assert_eq!(summary(running).await.aborted, 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_that_never_asks_is_closed_and_half_a_preface_waits_for_the_deadline() {
        let (running, handle, mut silent) = serving(|server| server.deadline(Duration::from_millis(3500))).await;
        let mut half = TcpStream::connect(silent.peer_addr().unwrap()).await.unwrap();
        half.write_all(b"PRI * HT").await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        handle.drain();
        assert!(rest(&mut silent).await.is_empty());
        assert!(begun.elapsed() < Duration::from_millis(3400), "after the lame-duck period: {:?}", begun.elapsed());
        assert!(rest(&mut half).await.is_empty());
        assert!(begun.elapsed() >= Duration::from_millis(3400), "at the deadline: {:?}", begun.elapsed());
        assert_eq!(summary(running).await.aborted, 1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_stream_that_does_not_end_is_cut_at_the_deadline() {
        let (running, handle, mut stream) = serving(|server| server.deadline(Duration::from_millis(500))).await;
        begin(&mut stream).await;
        ask(&mut stream, 1, "/slow30000").await;
        sleep(Duration::from_millis(100)).await;
        handle.drain();
        let summary = summary(running).await;
        assert_eq!((summary.requests, summary.drained, summary.aborted), (1, 0, 1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn requests_that_begin_like_the_preface_are_http1() {
        let (_running, _handle, stream) = serving(|server| server).await;
        for method in ["P", "PR", "PRI", "PROPFIND", "PUT"] {
            let mut stream = TcpStream::connect(stream.peer_addr().unwrap()).await.unwrap();
            let request = format!("{method} /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            // In two parts, so that the first does not tell.
            let (first, second) = request.split_at(1);
            stream.write_all(first.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(20)).await;
            stream.write_all(second.as_bytes()).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{method}: {}", String::from_utf8_lossy(&answer));
        }
    }
}
