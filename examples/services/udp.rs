//! A server over UDP whose clients have sessions: `fetchd run --listen echo=udp:127.0.0.1:7000 -- service-udp DIRECTORY`.
//!
//! `ping` is answered by any generation. `open` begins a session and is answered with its id, which names the
//! generation that has it; `ID text` is counted by that generation and by no other, whoever reads it from the
//! shared socket. `ID close` ends it. A drain waits for the sessions.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use fetchd::service::{Connection, Connections, Inherited, Message, Relay, Socket};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--version") {
        println!("service-udp {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the runtime is built: it starts threads.
    let inherited = Inherited::take()?;
    let directory = argument.ok_or("a directory of the service's own is needed")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(inherited, Path::new(&directory)))
}

async fn run(mut inherited: Inherited, directory: &Path) -> Result<(), Box<dyn Error>> {
    let listener = inherited.listen_or_bind("echo", "udp:127.0.0.1:7000")?.remove(0);
    let Socket::Udp(socket) = listener.into_socket() else { return Err("`echo` is not UDP".into()) };
    socket.set_nonblocking(true)?;
    let generation = inherited.environment().generation.unwrap_or(1);
    let connections = Connections::new()?;
    let mut server = Sessions {
        socket: UdpSocket::from_std(socket)?,
        relay: Relay::open(directory, generation)?,
        generation,
        connections: connections.clone(),
        open: HashMap::new(),
    };
    // Only registered and never read through this type.
    let inbox = UnixDatagram::from_std(server.relay.as_fd().try_clone_to_owned()?.into())?;

    let reads = watch::Sender::new(true);
    let mut may_read = reads.subscribe();
    if let Some(control) = inherited.control() {
        control.hello()?;
        let drain = connections.clone();
        control.watch(move |message| match message {
            Message::Pause => drop(reads.send_replace(false)),
            Message::Resume => drop(reads.send_replace(true)),
            _ => drain.drain(),
        })?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    inherited.notify().ready()?;
    let within = inherited.environment().drain_within.map_or(Duration::from_secs(30), Message::before_the_kill);
    let mut bytes = vec![0; 65_507];
    let mut leaves_at = None;
    loop {
        let reads = *may_read.borrow_and_update() && leaves_at.is_none();
        tokio::select! {
            _ = terminate.recv() => connections.drain(),
            () = connections.draining(), if leaves_at.is_none() => {
                inherited.notify().stopping()?;
                leaves_at = Some(Instant::now() + within);
            }
            Ok(()) = may_read.changed() => {}
            received = server.socket.recv_from(&mut bytes), if reads => {
                let (length, from) = received?;
                server.hear(&bytes[..length], from).await?;
            }
            passed = inbox.async_io(Interest::READABLE, || server.relay.receive()) => {
                let (datagram, from) = passed?;
                server.hear(&datagram, from).await?;
            }
            () = connections.idle(), if leaves_at.is_some() => return Ok(()),
            () = sleep_until(leaves_at.unwrap_or_else(Instant::now)), if leaves_at.is_some() => return Ok(()),
        }
    }
}

struct Sessions {
    socket: UdpSocket,
    relay: Relay,
    generation: u64,
    connections: Connections,
    /// How often each was heard of.
    open: HashMap<u64, (Connection, u64)>,
}

impl Sessions {
    async fn hear(&mut self, datagram: &[u8], from: SocketAddr) -> io::Result<()> {
        let text = String::from_utf8_lossy(datagram).into_owned();
        let pid = std::process::id();
        let answer = match text.split_once(' ') {
            None if text == "ping" => format!("pong {pid}"),
            None if text == "open" => {
                let number = self.connections.opened() + 1;
                self.open.insert(number, (self.connections.open(), 0));
                format!("{}-{number}", self.generation)
            }
            Some((id, word)) => match id.split_once('-').map(|(of, number)| (of.parse::<u64>(), number.parse())) {
                Some((Ok(of), Ok(number))) if of == self.generation => self.session(number, word),
                Some((Ok(of), Ok(_))) => match self.relay.pass(of, from, datagram) {
                    Ok(()) => return Ok(()),
                    Err(_) => "unknown".to_owned(),
                },
                _ => "unknown".to_owned(),
            },
            None => "unknown".to_owned(),
        };
        // An answer that cannot be sent is lost, as datagrams are.
        let _ = self.socket.send_to(answer.as_bytes(), from).await;
        Ok(())
    }

    fn session(&mut self, number: u64, word: &str) -> String {
        if word == "close" {
            return if self.open.remove(&number).is_some() { "closed".to_owned() } else { "unknown".to_owned() };
        }
        match self.open.get_mut(&number) {
            Some((_, count)) => {
                *count += 1;
                format!("{count} {}", std::process::id())
            }
            None => "unknown".to_owned(),
        }
    }
}
