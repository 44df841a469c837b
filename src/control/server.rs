//! The supervisor's end of the control socket.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LONGEST_LINE, Line, PATIENCE, Request, Status, peer};
use crate::agent::{Answer, Message, Post, Reply, Shown};

/// What the server answers from.
#[derive(Clone)]
pub struct Backend {
    /// Makes the status, on any thread.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// Reaches the agent.
    pub post: Post,
    /// What the agent shows.
    pub shown: Shown,
    /// Reaches the loop of the supervisor; false if it takes no wishes.
    pub wish: Arc<dyn Fn(Wish) -> bool + Send + Sync>,
}

/// What is asked of the supervisor's loop itself. Who asks is answered through [`answer`].
#[derive(Debug)]
pub enum Wish {
    /// See [`Request::ReplaceSupervisor`].
    Replace(UnixStream),
}

/// Tells somebody who asked for a [`Wish`] how it ended. Whoever has gone needs no answer.
pub fn answer(stream: &UnixStream, answer: Answer) {
    let _ = say(stream, &Line::Answer(answer));
}

/// The listening control socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: Arc<Clients>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at `path`, in a directory that only the owner can enter and whose lock is held: what
    /// lies there is left over.
    pub fn bind(path: &Path) -> io::Result<Server> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let reachable = super::client::short(path)?;
        let listener = UnixListener::bind(&reachable.path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener, path: path.to_owned(), clients: Arc::default() })
    }

    /// The same socket at `path`, bound by an earlier program of this process.
    pub fn resume(path: &Path, socket: OwnedFd) -> Server {
        Server { listener: socket.into(), path: path.to_owned(), clients: Arc::default() }
    }

    /// Whether nobody waits for an answer of this process.
    pub fn is_quiet(&self) -> bool {
        self.clients.served.load(Ordering::Acquire) == 0
    }

    /// Readable when somebody connects.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes the connections that wait. Each is served on a thread of its own, with deadlines, so
    /// that a client that says nothing holds up nobody. Where too many say nothing, the one that has
    /// done so the longest makes room (`tests/disturbed.rs`). False if nobody had come.
    pub fn accept(&self, backend: &Backend) -> bool {
        let mut came = false;
        while let Ok((stream, _)) = self.listener.accept() {
            came = true;
            if !is_owner(&stream) {
                continue;
            }
            let stream = Arc::new(stream);
            self.clients.expect(&stream);
            let (backend, clients) = (backend.clone(), Arc::clone(&self.clients));
            let thread = std::thread::Builder::new().name("control".to_owned()).stack_size(256 * 1024);
            let theirs = Arc::clone(&stream);
            let serving = Serving::of(&clients);
            let served = thread.spawn(move || {
                // A client that has gone needs no answer.
                let _ = serve(&theirs, &backend, &serving.0);
            });
            if let Err(e) = served {
                self.clients.heard(&stream);
                tracing::warn!(event = "control.busy", error = %e, "a control connection could not be served");
            }
        }
        came
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Left behind it is only in the way until the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The connections that are served.
#[derive(Debug, Default)]
struct Clients {
    /// Those whose request has not come yet, the oldest first.
    silent: Mutex<VecDeque<Arc<UnixStream>>>,
    /// How many wait for the agent.
    waiting: AtomicUsize,
    /// How many there are.
    served: AtomicUsize,
}

/// One that is served, until this is dropped.
struct Serving(Arc<Clients>);

impl Serving {
    fn of(clients: &Arc<Clients>) -> Serving {
        clients.served.fetch_add(1, Ordering::AcqRel);
        Serving(Arc::clone(clients))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Clients {
    fn silent(&self) -> MutexGuard<'_, VecDeque<Arc<UnixStream>>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that has said nothing yet.
    fn expect(&self, stream: &Arc<UnixStream>) {
        let mut silent = self.silent();
        if silent.len() >= MOST_SILENT
            && let Some(oldest) = silent.pop_front()
        {
            // Ends the read of its thread. It may have gone by itself.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        silent.push_back(Arc::clone(stream));
    }

    /// It has said something, or nothing within its time.
    fn heard(&self, stream: &Arc<UnixStream>) {
        self.silent().retain(|other| !Arc::ptr_eq(other, stream));
    }

    /// A place among those that wait for the agent, while there is one.
    fn wait(&self) -> Option<Waiting<'_>> {
        let place = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

/// One that waits for the agent, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The directory's mode keeps others out; this holds even where it was loosened by hand.
fn is_owner(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    peer::user(stream).is_ok_and(|user| user == us || user == 0)
}

fn serve(stream: &Arc<UnixStream>, backend: &Backend, clients: &Clients) -> io::Result<()> {
    let line = request(stream);
    clients.heard(stream);
    let (stream, line) = (&**stream, line?);
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(e) => return say(stream, &Line::Refused(format!("the request is not understood: {e}"))),
    };
    if request == Request::ReplaceSupervisor {
        let wished = (backend.wish)(Wish::Replace(stream.try_clone()?));
        return if wished { Ok(()) } else { say(stream, &Line::Refused("this supervisor cannot".to_owned())) };
    }
    let message = |reply: Reply| match request.clone() {
        Request::Status | Request::ReplaceSupervisor => None,
        Request::Apply { force } => Some(Message::Apply(Request::ask(force), reply)),
        Request::Restart => Some(Message::Restart(Some(reply))),
        Request::Rollback => Some(Message::RollBack(reply)),
        Request::Hold { reason, until } => Some(Message::Hold { reason, until, reply }),
        Request::Unhold => Some(Message::Unhold(reply)),
    };
    let (reply, answer) = channel();
    let Some(message) = message(reply) else {
        return say(stream, &Line::Status(Box::new((backend.status)())));
    };
    let Some(_place) = clients.wait() else {
        return say(stream, &Line::Refused(format!("{MOST_WAITING} commands wait already")));
    };
    if !backend.post.send(message) {
        return say(stream, &Line::Refused("the agent has ended".to_owned()));
    }
    let mut told = String::new();
    loop {
        match answer.recv_timeout(GLANCE) {
            Ok(answer) => return say(stream, &Line::Answer(answer)),
            Err(RecvTimeoutError::Disconnected) => {
                return say(stream, &Line::Refused("the supervisor is stopping".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {
                let doing = backend.shown.read().doing;
                if doing != told {
                    // Fails once the client has gone: then nobody waits any more.
                    say(stream, &Line::Doing(doing.clone()))?;
                    told = doing;
                }
            }
        }
    }
}

/// The line that a client sends, within the time it has for it.
fn request(stream: &UnixStream) -> io::Result<String> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line)?;
    Ok(line)
}

fn say(mut stream: &UnixStream, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    stream.write_all(&text)
}

/// A path that fits into a socket address, and the directory that makes it valid.
pub(super) struct Reachable {
    pub(super) path: PathBuf,
    pub(super) _directory: Option<OwnedFd>,
}

/// Where more have said nothing yet, the oldest of them is turned away.
const MOST_SILENT: usize = 16;

/// Where more wait for the agent, the next one is refused.
const MOST_WAITING: usize = 16;

/// How often somebody who waits is told what goes on.
const GLANCE: Duration = Duration::from_millis(200);
