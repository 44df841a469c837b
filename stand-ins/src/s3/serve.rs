//! Accepting, answering, and the faults around that.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::Body;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::access::Access;
use super::bucket::Bucket;
use super::effect::Effect;
use super::fault::Fault;
use super::peer::{Fate, Peer};
use super::reply::{Counter, Reply};
use super::request::{Operation, Request};
use super::service::Service;
use super::store::Store;
use super::when::When;
use super::{PUBLIC, RELEASES, VERSIONED};

/// What the kernel may hold of a body that nobody reads.
const SEND_BUFFER: u32 = 256 * 1024;

/// What the thread that serves and the one that tests have in common.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) connections: Counter,
    pub(super) bodies: Counter,
    service: S3Service,
    faults: Mutex<Vec<(Fault, When)>>,
    log: Mutex<Vec<Request>>,
    /// Counts up at each clearing, so that a late status finds no other request's place.
    cleared: AtomicU64,
}

impl Shared {
    pub(super) fn new() -> Shared {
        let store = Store::default();
        for (name, versioned) in [(RELEASES, false), (VERSIONED, true), (PUBLIC, false)] {
            store.lock().add_bucket(name, versioned);
        }
        let mut builder = S3ServiceBuilder::new(Service { store: store.clone() });
        builder.set_auth(Access);
        builder.set_access(Access);
        Shared {
            store,
            connections: Counter::default(),
            bodies: Counter::default(),
            service: builder.build(),
            faults: Mutex::default(),
            log: Mutex::default(),
            cleared: AtomicU64::new(0),
        }
    }

    pub(super) fn inject(&self, fault: Fault, when: When) {
        lock(&self.faults).push((fault, when));
    }

    pub(super) fn clear(&self) {
        lock(&self.faults).clear();
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        lock(&self.log).clone()
    }

    pub(super) fn clear_requests(&self) {
        let mut log = lock(&self.log);
        self.cleared.fetch_add(1, Ordering::SeqCst);
        log.clear();
    }

    /// Notes a request; returns where.
    fn note(&self, request: Request) -> (u64, usize) {
        let mut log = lock(&self.log);
        log.push(request);
        (self.cleared.load(Ordering::SeqCst), log.len() - 1)
    }

    fn note_status(&self, (cleared, index): (u64, usize), status: StatusCode) {
        let mut log = lock(&self.log);
        if self.cleared.load(Ordering::SeqCst) == cleared
            && let Some(request) = log.get_mut(index)
        {
            request.status = Some(status.as_u16());
        }
    }

    fn meet(&self, request: &Request) -> Effect {
        let mut faults = lock(&self.faults);
        let met = faults.iter_mut().filter_map(|(fault, when)| when.meets(request).then(|| fault.clone()));
        Effect::of(met.collect::<Vec<_>>())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until `ending` ends. Tells its address, or drops `tell` if it has none.
pub(super) fn run(shared: &Arc<Shared>, tell: &Sender<SocketAddr>, ending: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok((listener, address)) = listen() else { return };
        // Nobody is left to tell only if the test has ended.
        let _ = tell.send(address);
        tokio::select! {
            () = accept(&listener, shared) => {}
            _ = ending => {}
        }
    });
    // Dropping the runtime drops every connection.
}

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(1024)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(shared);
        let open = shared.connections.one();
        tokio::spawn(async move {
            let fate = Fate::default();
            let peer = TokioIo::new(Peer::new(stream, fate.clone()));
            let service = service_fn(|request| answer(Arc::clone(&shared), fate.clone(), request));
            let mut server = hyper::server::conn::http1::Builder::new();
            // What goes wrong here is the client's doing or a fault, and the test sees it there.
            let _ = server.timer(TokioTimer::new()).serve_connection(peer, service).await;
            drop(open);
        });
    }
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the reply is lost")]
struct Lost;

async fn answer(shared: Arc<Shared>, fate: Fate, request: hyper::Request<Incoming>) -> Result<Response<Reply>, Lost> {
    let (parts, body) = request.into_parts();
    let seen = Request::new(&parts);
    let (operation, bucket, key) = (seen.operation, seen.bucket.clone(), seen.key.clone());
    let effect = shared.meet(&seen);
    let place = shared.note(seen);
    tokio::time::sleep(effect.delay).await;
    if effect.lost_request {
        fate.reset();
        return Err(Lost);
    }
    let mut response = match &effect.refusal {
        Some(refusal) => {
            // A client that is still sending would see a broken connection instead of the refusal.
            let _ = body.collect().await;
            refusal.response()
        }
        None => {
            let mut request = hyper::Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(effect.quirks);
            shared.service.call(request).await.map_err(|_| Lost)?
        }
    };
    if let Some(bytes) = &effect.replacement {
        Bucket::new(&shared.store, &bucket).put(&key, bytes.clone());
    }
    if effect.lost_reply {
        fate.reset();
        return Err(Lost);
    }
    if let Some(refusal) = &effect.late_refusal {
        response = refusal.response();
    }
    response.headers_mut().insert("x-amz-request-id", HeaderValue::from_static("stand-in"));
    effect.distort(&mut response);
    shared.note_status(place, response.status());
    let sends_object = operation == Operation::Get && response.status().is_success();
    let open = sends_object.then(|| shared.bodies.one());
    let faults = if sends_object { effect.body } else { Default::default() };
    Ok(response.map(|body| Reply::new(body, faults, fate, open)))
}
