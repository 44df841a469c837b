//! Connections: what is answered, and how its bytes go out.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::{Answer, Half};
use super::fault::Fault;
use super::{Shared, Side, api, storage, write};

/// So much of a body goes out at a time.
const CHUNK: usize = 64 * 1024;

/// The connection ends instead of an answer.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ends here")
    }
}

impl std::error::Error for Gone {}

/// Takes connections until it is dropped, and closes them then.
pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>, side: Side) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let reset = Arc::new(AtomicBool::new(false));
            let wire = Wire { stream, reset: Arc::clone(&reset) };
            let service = service_fn(|request| respond(Arc::clone(&shared), side, request, Arc::clone(&reset)));
            // An error here is a connection that the client or a fault has ended.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
        });
    }
}

async fn respond(
    shared: Arc<Shared>,
    side: Side,
    request: Request<Incoming>,
    reset: Arc<AtomicBool>,
) -> Result<Response<impl Body<Data = Bytes, Error = io::Error>>, Gone> {
    let (mut parts, body) = request.into_parts();
    let path = shared.plain_path(side, parts.uri.path());
    let (index, fault) = {
        let mut state = shared.state();
        state.requests.push(super::Request::new(side, &parts));
        (state.requests.len() - 1, state.fault(side, parts.method.as_str(), &path))
    };
    let mut answer = answer(&shared, side, &mut parts, &path, body, fault.as_ref()).await?;
    if let Some(fault) = &fault {
        fault.alter(&mut answer);
    }
    if let Some(request) = shared.state().requests.get_mut(index) {
        request.status = answer.status;
    }
    if fault == Some(Fault::LostReply) { Err(Gone) } else { Ok(message(answer, &shared, reset)) }
}

async fn answer(
    shared: &Arc<Shared>,
    side: Side,
    request: &mut Parts,
    path: &str,
    body: Incoming,
    fault: Option<&Fault>,
) -> Result<Answer, Gone> {
    if let Some(fault) = fault {
        if *fault == Fault::Dropped {
            return Err(Gone);
        }
        let url = format!("http://{}{}", shared.address(side), request.uri);
        if let Some(answer) = fault.answer(&url) {
            drain(body).await;
            return Ok(answer);
        }
        for name in fault.unheeded() {
            request.headers.remove(*name);
        }
    }
    if side == Side::Storage {
        return Ok(storage::read(&shared.state(), request));
    }
    let admitted = api::admit(&mut shared.state(), request);
    let caller = match admitted {
        Ok(caller) => caller,
        Err(answer) => {
            drain(body).await;
            return Ok(answer);
        }
    };
    let mut answer = match request.method.as_str() {
        "GET" | "HEAD" => api::read(shared, &mut shared.state(), request, path, &caller),
        _ => write::carry_out(shared, request, path, &caller, body, fault == Some(&Fault::UploadBroken)).await?,
    };
    let unchanged = request.method == "GET" && api::condition(&mut answer, request);
    // To ask again for what has not changed is free, but only with a token.
    let cost = u64::from(!(unchanged && caller.token.is_some()));
    api::count(&mut answer, &mut shared.state(), &caller, cost);
    answer.set("x-github-media-type", "github.v3; format=json");
    answer.set("cache-control", if caller.token.is_some() { "private, max-age=60" } else { "public, max-age=60" });
    answer.set("vary", "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With");
    Ok(answer)
}

/// Reads a body to its end: a client that still sends would not see the answer.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn message(
    answer: Answer,
    shared: &Arc<Shared>,
    reset: Arc<AtomicBool>,
) -> Response<impl Body<Data = Bytes, Error = io::Error> + use<>> {
    let counted = answer.is_asset.then(|| Counted::new(shared));
    let mut response = Response::new(());
    *response.status_mut() = answer.status.try_into().unwrap_or_default();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<hyper::header::HeaderName>(), HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    if answer.status != 304 && answer.status != 204 {
        response.headers_mut().insert("content-length", HeaderValue::from(answer.body.len()));
    }
    let body = match (answer.half, answer.is_asset) {
        (Half::GoesOn, false) => Either::Left(Full::new(answer.body).map_err(|never: Infallible| match never {})),
        (half, _) => Either::Right(StreamBody::new(pieces(answer.body, half, reset, counted))),
    };
    response.map(|()| body.map_err(io::Error::other))
}

/// The body in pieces; what happens at its half happens once the half has gone out.
fn pieces(
    bytes: Bytes,
    half: Half,
    reset: Arc<AtomicBool>,
    counted: Option<Counted>,
) -> impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> {
    let end = if half == Half::GoesOn { bytes.len() } else { bytes.len() / 2 };
    stream::unfold((bytes, 0, counted), move |(bytes, at, counted)| {
        let reset = Arc::clone(&reset);
        async move {
            if at < end {
                let to = (at + CHUNK).min(end);
                return Some((Ok(Frame::data(bytes.slice(at..to))), (bytes, to, counted)));
            }
            match half {
                Half::GoesOn => return None,
                Half::Stalls => std::future::pending::<()>().await,
                // What is still in buffers would get lost with the connection.
                Half::Ends | Half::Resets => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            reset.store(half == Half::Resets, Ordering::SeqCst);
            Some((Err(io::Error::other("the body breaks off here")), (bytes, at, counted)))
        }
    })
}

/// Counts a body for as long as it lives.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Counted {
        shared.bodies.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that can be made to end with a reset.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::SeqCst) {
            // Without it the connection ends in order, and a test says so.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
