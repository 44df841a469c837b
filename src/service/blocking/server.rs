//! The accept loop, and the whole of its life: ready, accept, obey, leave.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::stream::Stream;
use crate::service::control::Control;
use crate::service::{
    BACKLOG, Connection, Connections, Inherited, Listener, Message, Notify, OnSupervisorDeath, Socket,
};

/// What became of a server's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Connections accepted in all.
    pub connections: u64,
    /// Connections still open at the deadline; they end with the process.
    pub aborted: usize,
    /// How long the drain took.
    pub took: Duration,
}

/// A server whose connections are served by threads of the program's own.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    connections: Connections,
    notify: Notify,
    control: Option<Control>,
    #[cfg(feature = "signals")]
    signals: Option<super::signals::Signals>,
    watchdog: Option<Duration>,
    deadline: Duration,
    on_death: OnSupervisorDeath,
}

/// A drain takes at most this long where nobody says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long to leave the queue alone when this process can take no more connections.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

impl Server {
    /// A server on `listeners`, with the rest of what was inherited. It does not accept before
    /// [`serve`](Server::serve).
    ///
    /// # Errors
    ///
    /// A listener is a UDP socket or could not be prepared, or there are no descriptors left.
    pub fn new(mut inherited: Inherited, listeners: impl IntoIterator<Item = Listener>) -> io::Result<Server> {
        let listeners: Vec<_> = listeners.into_iter().collect();
        for listener in &listeners {
            // Between poll and accept another generation may take the connection. The flag is shared with
            // every process that holds this socket.
            match listener.socket() {
                Socket::Tcp(listener) => listener.set_nonblocking(true)?,
                Socket::Unix(listener) => listener.set_nonblocking(true)?,
                Socket::Udp(_) => return Err(no_connections()),
            }
        }
        let environment = inherited.environment();
        Ok(Server {
            listeners,
            connections: Connections::new()?,
            notify: inherited.notify().clone(),
            #[cfg(feature = "signals")]
            signals: None,
            watchdog: environment.watchdog.filter(|every| !every.is_zero()).map(|every| every / 2),
            deadline: environment.drain_within.map_or(DEADLINE, Message::before_the_kill),
            control: inherited.control(),
            on_death: OnSupervisorDeath::default(),
        })
    }

    /// The connections: to begin the drain from elsewhere, or to count what the accept loop does not see.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// SIGTERM and SIGINT begin the drain, a second SIGINT cuts it short. Needs the feature `signals`.
    ///
    /// # Errors
    ///
    /// The signals could not be registered.
    #[cfg(feature = "signals")]
    pub fn drain_on_signals(mut self) -> io::Result<Server> {
        self.signals = Some(super::signals::Signals::register()?);
        Ok(self)
    }

    /// How long a drain may take; by default a little less than what the supervisor allows, else 30 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Server {
        self.deadline = deadline;
        self
    }

    /// How long a silent connection is left open after the drain has begun; 2 s by default, and
    /// never more than half of what the drain may take.
    #[must_use]
    pub fn lame_duck(self, period: Duration) -> Server {
        self.connections.set_lame_duck(period);
        self
    }

    /// What to do when the supervisor has died; by default drain.
    #[must_use]
    pub fn on_supervisor_death(mut self, what: OnSupervisorDeath) -> Server {
        self.on_death = what;
        self
    }

    /// Says READY and gives each connection to `take`, which must not block: it starts a thread, or
    /// hands it to one. Obeys the control descriptor meanwhile; returns when a drain is over. The
    /// program then exits with success, whatever the summary says.
    ///
    /// The [`Connection`] belongs with the stream: the drain waits until it is dropped.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked for what is new. Errors of accept end nothing.
    pub fn serve(mut self, mut take: impl FnMut(Stream, Connection)) -> io::Result<Summary> {
        if let Some(control) = &self.control {
            // A supervisor that is gone is noticed below.
            let _ = control.hello();
        }
        // A service that cannot be heard still serves; the supervisor has a deadline for its silence.
        let _ = self.notify.ready();
        let mut paused = false;
        let mut rest_until = None;
        let mut beat_at = self.watchdog.map(|_| Instant::now());
        let mut drain: Option<Drain> = None;
        loop {
            let now = Instant::now();
            if let (Some(every), Some(at)) = (self.watchdog, beat_at)
                && now >= at
            {
                let _ = self.notify.watchdog();
                beat_at = Some(now + every);
            }
            if let Some(drain) = &drain
                && (self.connections.count() == 0 || now >= drain.deadline)
            {
                return Ok(Summary {
                    connections: self.connections.opened(),
                    aborted: self.connections.count(),
                    took: drain.begun.elapsed(),
                });
            }
            rest_until = rest_until.filter(|until| *until > now);
            let accepts = drain.is_none() && !paused && rest_until.is_none();
            let wake_at = [drain.as_ref().map(|drain| drain.deadline), rest_until, beat_at].into_iter().flatten().min();
            let waiting = self.wait(accepts, wake_at)?;

            let _ = rustix::io::read(self.connections.news(), &mut [0; 8]);
            for order in self.orders() {
                match order {
                    Order::Pause => paused = true,
                    Order::Resume => paused = false,
                    Order::Drain(within) => {
                        self.connections.drain();
                        self.deadline = within.unwrap_or(self.deadline);
                        if let (Some(drain), Some(within)) = (&mut drain, within) {
                            drain.deadline = drain.deadline.min(Instant::now() + within);
                        }
                    }
                    Order::Interrupt if drain.is_some() => {
                        drain = drain.map(|drain| Drain { deadline: Instant::now(), ..drain });
                    }
                    Order::Interrupt => self.connections.drain(),
                }
            }
            if drain.is_none() && self.connections.is_draining() {
                drain = Some(self.leave(&mut take));
            } else if drain.is_none() && !paused {
                for number in waiting {
                    match accept(self.listeners[number].socket()) {
                        Ok(stream) => take(stream, self.connections.open()),
                        Err(error) if is_the_connections_own(&error) => {}
                        Err(_) => rest_until = Some(Instant::now() + OUT_OF_DESCRIPTORS),
                    }
                }
            }
        }
    }

    /// Waits until there is something to do; returns which listeners have a connection.
    fn wait(&self, accepts: bool, wake_at: Option<Instant>) -> io::Result<Vec<usize>> {
        let mut watched: Vec<BorrowedFd<'_>> = Vec::new();
        let listeners = if accepts { &self.listeners[..] } else { &[] };
        watched.extend(listeners.iter().map(|listener| listener.as_fd()));
        watched.push(self.connections.news());
        watched.extend(self.control.iter().map(|control| control.as_fd()));
        #[cfg(feature = "signals")]
        watched.extend(self.signals.iter().flat_map(|signals| signals.each()));
        let mut watched: Vec<_> = watched.iter().map(|one| PollFd::new(one, PollFlags::IN)).collect();
        let left = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
        match poll(&mut watched, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        Ok((0..listeners.len()).filter(|number| !watched[*number].revents().is_empty()).collect())
    }

    /// What this process was told since the last time.
    fn orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some(control) = &self.control {
            match control.try_next() {
                Ok(Message::Pause) => orders.push(Order::Pause),
                Ok(Message::Resume) => orders.push(Order::Resume),
                Ok(Message::Drain(within)) => orders.push(Order::Drain(within.map(Message::before_the_kill))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(Message::SupervisorGone) | Err(_) => {
                    self.control = None;
                    orders.push(match self.on_death {
                        OnSupervisorDeath::Drain => Order::Drain(None),
                        // Paused for a successor that now nobody watches: somebody has to accept.
                        OnSupervisorDeath::Keep => Order::Resume,
                    });
                }
            }
        }
        #[cfg(feature = "signals")]
        if let Some(signals) = &self.signals {
            let (terminate, interrupt) = signals.come();
            orders.extend(terminate.then_some(Order::Drain(None)));
            orders.extend(interrupt.then_some(Order::Interrupt));
        }
        orders
    }

    /// Begins the drain: closes the listeners, having emptied the queues that nobody else takes from.
    fn leave(&mut self, take: &mut impl FnMut(Stream, Connection)) -> Drain {
        let begun = self.connections.draining_since().unwrap_or_else(Instant::now);
        self.connections.set_lame_duck(self.connections.lame_duck().min(self.deadline / 2));
        let _ = self.notify.stopping();
        for listener in self.listeners.drain(..).filter(|listener| !listener.is_inherited()) {
            for _ in 0..BACKLOG {
                match accept(listener.socket()) {
                    Ok(stream) => take(stream, self.connections.open()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_the_connections_own(&error) => {}
                    Err(_) => break,
                }
            }
        }
        Drain { begun, deadline: begun + self.deadline }
    }
}

#[derive(Debug)]
struct Drain {
    begun: Instant,
    deadline: Instant,
}

#[derive(Debug)]
enum Order {
    Pause,
    Resume,
    Drain(Option<Duration>),
    /// SIGINT: drain, and the second time leave.
    #[cfg_attr(not(feature = "signals"), allow(dead_code, reason = "only signals say so"))]
    Interrupt,
}

fn accept(socket: &Socket) -> io::Result<Stream> {
    match socket {
        Socket::Tcp(listener) => listener.accept().map(|(stream, _)| {
            // Small answers are not held back for an acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
            Stream::Tcp(stream)
        }),
        Socket::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        Socket::Udp(_) => Err(no_connections()),
    }
}

fn no_connections() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a UDP socket has no connections")
}

/// The connection failed before it was accepted, or another process took it; the listener is fine.
fn is_the_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}
