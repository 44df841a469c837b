//! A server on plain threads that replaces itself by its own successor, over TCP and over TLS.
//!
//! `cargo run --example direct-handoff --features upgrade -- 127.0.0.1:8080 [PID-FILE [127.0.0.1:8443 CERT KEY]]`;
//! then replace the binary and `kill -USR2` the process.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use fetchd::Upgrader;
use fetchd::service::{Listener, Message, Socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |at: usize| args.get(at).map(String::as_str);

    // First of all, before any thread: what the parent handed on, or new sockets.
    let mut builder = Upgrader::builder().listen("web", arg(0).unwrap_or("127.0.0.1:8080")).after(|outcome| {
        let _ = writeln!(io::stderr(), "{}: {outcome:?}", std::process::id());
    });
    if let Some(path) = arg(1) {
        builder = builder.pid_file(path);
    }
    if let Some(address) = arg(2) {
        builder = builder.listen("tls", address);
    }
    let upgrader = builder.start()?;
    let control = upgrader.control().ok_or("taken once")?;

    // Whatever takes time belongs here: the parent serves meanwhile.
    let mut listeners: Vec<_> = upgrader.listeners("web")?.into_iter().map(|listener| (listener, None)).collect();
    if let (Some(cert), Some(key)) = (arg(3), arg(4)) {
        let tls = Arc::new(tls(cert, key)?);
        listeners.extend(upgrader.listeners("tls")?.into_iter().map(|listener| (listener, Some(Arc::clone(&tls)))));
    }
    if upgrader.generation() == 1 {
        for (listener, _) in &listeners {
            writeln!(io::stdout(), "{} on {}", listener.name(), listener.address()?)?;
        }
    }

    upgrader.ready()?;

    let state = Arc::new(State::default());
    for (listener, tls) in listeners {
        let state = Arc::clone(&state);
        std::thread::spawn(move || accept(listener, tls, &state));
    }
    let stopping = upgrader.clone();
    let mut terminate = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::spawn(move || terminate.forever().for_each(|_| stopping.stop()));
    loop {
        match control.next(None)? {
            Some(Message::Pause) => state.set(Accepting::No),
            Some(Message::Resume) => state.set(Accepting::Yes),
            Some(_) => break,
            None => {}
        }
    }
    // What is in flight is finished; the upgrader ends a process that does not come to an end.
    state.set(Accepting::Never);
    state.until_idle();
    Ok(())
}

fn accept(listener: Listener, tls: Option<Arc<ServerConfig>>, state: &Arc<State>) -> io::Result<()> {
    let Socket::Tcp(listener) = listener.into_socket() else { return Ok(()) };
    // Parent and successor share this flag, and both want it set: a connection that both see goes to one.
    listener.set_nonblocking(true)?;
    while state.may_accept() {
        let Some(stream) = next(&listener)? else { continue };
        let open = Open::new(state);
        let tls = tls.clone();
        std::thread::spawn(move || {
            let _open = open;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            match tls.map(ServerConnection::new) {
                None => answer(stream),
                Some(connection) => {
                    let mut stream = StreamOwned::new(connection.map_err(io::Error::other)?, stream);
                    answer(&mut stream)?;
                    stream.conn.send_close_notify();
                    stream.flush()
                }
            }
        });
    }
    Ok(())
}

/// A connection, if one comes soon: whether to accept at all is looked at again and again.
fn next(listener: &TcpListener) -> io::Result<Option<std::net::TcpStream>> {
    let a_while = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&a_while)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    // One that is gone again, or that the other process took, is no reason to end.
    Ok(listener.accept().ok().map(|(stream, _)| stream))
}

/// `GET /MS`: the id of this process, after so many milliseconds.
fn answer(mut stream: impl Read + Write) -> io::Result<()> {
    let mut head = Vec::new();
    let mut lines = BufReader::new(&mut stream);
    while !head.ends_with(b"\r\n\r\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let wanted = head.split(' ').nth(1).and_then(|path| path.trim_matches('/').parse().ok());
    std::thread::sleep(Duration::from_millis(wanted.unwrap_or(0)));
    let body = format!("pid {}\n", std::process::id());
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.flush()
}

fn tls(cert: &str, key: &str) -> Result<ServerConfig, Box<dyn Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(cert)?], PrivateKeyDer::from_pem_file(key)?)?)
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Accepting {
    #[default]
    Yes,
    No,
    Never,
}

/// Whether to accept, and how many connections are open.
#[derive(Debug, Default)]
struct State {
    now: Mutex<(Accepting, usize)>,
    changed: Condvar,
}

impl State {
    fn change(&self, change: impl FnOnce(&mut (Accepting, usize))) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn set(&self, accepting: Accepting) {
        self.change(|now| now.0 = accepting);
    }

    /// Waits through a pause; false for ever after it.
    fn may_accept(&self) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let paused = |now: &mut (Accepting, usize)| now.0 == Accepting::No;
        self.changed.wait_while(now, paused).unwrap_or_else(PoisonError::into_inner).0 == Accepting::Yes
    }

    fn until_idle(&self) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(now, |now| now.1 > 0));
    }
}

/// An open connection, counted.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Open {
        state.change(|now| now.1 += 1);
        Open(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|now| now.1 -= 1);
    }
}
