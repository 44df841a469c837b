//! Counts what a server has open, whatever it speaks, and tells all of it when to leave.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// The open connections of a server, and whether it drains. Cheap to clone; every clone is the same.
///
/// For anything that [`http`](super::http) does not know: a protocol of one's own, a server of
/// threads, sessions that are no connections. Needs no runtime: there are functions that block, and
/// futures that any executor runs.
///
/// ```
/// use std::time::Duration;
/// use fetchd::service::Connections;
///
/// let connections = Connections::new()?;
/// let one = connections.open();
/// connections.drain();
/// assert!(one.is_draining());
/// assert_eq!(connections.wait_idle(Duration::ZERO), 1);
/// drop(one);
/// assert_eq!(connections.wait_idle(Duration::from_secs(5)), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

/// One open connection. It counts until it is dropped, by a panic too.
#[derive(Debug)]
pub struct Connection {
    of: Connections,
}

/// What a connection that waits for its client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Bytes are there, or the client has closed.
    Read,
    /// The server drains and the client was silent for the lame-duck period: close.
    Leave,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    idle: Condvar,
    /// Readable for ever once the drain has begun.
    draining: OwnedFd,
    /// Readable when the drain begins and when the last connection of a drain ends.
    news: OwnedFd,
}

#[derive(Debug)]
struct State {
    open: usize,
    opened: u64,
    draining: Option<Instant>,
    lame_duck: Duration,
    /// Of the futures that wait, by number.
    wakers: BTreeMap<u64, Waker>,
    numbers: u64,
}

/// Silent connections are served this long into a drain.
pub(super) const LAME_DUCK: Duration = Duration::from_secs(2);

impl Connections {
    /// None open, not draining.
    ///
    /// # Errors
    ///
    /// This process can open no more descriptors; it needs two.
    pub fn new() -> io::Result<Connections> {
        let signal = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let state =
            State { open: 0, opened: 0, draining: None, lame_duck: LAME_DUCK, wakers: BTreeMap::new(), numbers: 0 };
        let shared = Shared { state: Mutex::new(state), idle: Condvar::new(), draining: signal()?, news: signal()? };
        Ok(Connections { shared: Arc::new(shared) })
    }

    /// One more. During a drain too: what was accepted is served.
    #[must_use]
    pub fn open(&self) -> Connection {
        let mut state = self.state();
        state.open += 1;
        state.opened += 1;
        drop(state);
        Connection { of: self.clone() }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.state().open
    }

    /// How many there have ever been.
    pub fn opened(&self) -> u64 {
        self.state().opened
    }

    /// Begins the drain: from now on every [`Connection`] says so. A second call changes nothing.
    pub fn drain(&self) {
        let mut state = self.state();
        if state.draining.is_none() {
            state.draining = Some(Instant::now());
            raise(&self.shared.draining);
            self.tell(state);
        }
    }

    /// True once the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.draining_since().is_some()
    }

    /// When the drain began.
    pub fn draining_since(&self) -> Option<Instant> {
        self.state().draining
    }

    /// Blocks until nothing is open, at most for `within`; returns how many are left.
    pub fn wait_idle(&self, within: Duration) -> usize {
        let waited = self.shared.idle.wait_timeout_while(self.state(), within, |state| state.open > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.open
    }

    /// Waits until the drain has begun.
    pub async fn draining(&self) {
        Until { of: self, holds: |state| state.draining.is_some(), number: None }.await;
    }

    /// Waits until nothing is open. To be bounded with the timer of one's runtime.
    pub async fn idle(&self) {
        Until { of: self, holds: |state| state.open == 0, number: None }.await;
    }

    /// How long a silent connection may stay once the drain has begun; 2 s unless changed.
    pub fn set_lame_duck(&self, period: Duration) {
        self.state().lame_duck = period;
    }

    pub(super) fn lame_duck(&self) -> Duration {
        self.state().lame_duck
    }

    /// Readable when there may be something new: the drain has begun, or nothing is open any more.
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.shared.news.as_fd()
    }

    fn close(&self) {
        let mut state = self.state();
        state.open -= 1;
        if state.open == 0 {
            self.shared.idle.notify_all();
            self.tell(state);
        }
    }

    /// Wakes everybody who waits, whatever for: they look for themselves.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        raise(&self.shared.news);
        wakers.into_values().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `holds`. Given up, it leaves nothing behind.
struct Until<'a> {
    of: &'a Connections,
    holds: fn(&State) -> bool,
    number: Option<u64>,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let of = self.of;
        let mut state = of.state();
        if (self.holds)(&state) {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.numbers += 1;
            state.numbers
        });
        let before = state.wakers.insert(number, context.waker().clone());
        // The last waker of a task may take the task with it, and a connection that closes needs the lock.
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.of.state().wakers.remove(&number);
            drop(waker);
        }
    }
}

/// Readable, for ever, once the drain has begun: for a readiness loop of one's own.
impl AsFd for Connections {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.draining.as_fd()
    }
}

impl Connection {
    /// True once the drain has begun: this answer is the last one, and says so if the protocol can.
    pub fn is_draining(&self) -> bool {
        self.of.is_draining()
    }

    /// Waits until the drain has begun.
    pub async fn draining(&self) {
        self.of.draining().await;
    }

    /// Blocks until `socket` can be read, or until it is time to leave: the server drains, and since
    /// that began, or since this call if it is later, the client was silent for the lame-duck period.
    ///
    /// For a connection that owes its client nothing. Bytes that the program has read and not
    /// used are not seen here.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn wait(&self, socket: impl AsFd) -> io::Result<Next> {
        let called = Instant::now();
        loop {
            let until = self.of.draining_since().map(|since| since.max(called) + self.of.lame_duck());
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut watched = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&self.of, PollFlags::IN)];
            // Once the drain is known its descriptor says nothing new.
            let watched = if until.is_some() { &mut watched[..1] } else { &mut watched[..] };
            match poll(watched, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !watched[0].revents().is_empty() {
                return Ok(Next::Read);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Next::Leave);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.of.close();
    }
}

fn raise(event: &OwnedFd) {
    // It can only fail when it is raised 2^64 times, and is readable then as well.
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn the_last_one_to_close_ends_the_wait() {
        let connections = Connections::new().unwrap();
        let (one, other) = (connections.open(), connections.open());
        assert_eq!((connections.count(), connections.opened()), (2, 2));
        let waiting = connections.clone();
        let thread = thread::spawn(move || waiting.wait_idle(SOON));
        drop(one);
        // A panic closes as well.
        let _ = thread::spawn(move || {
            let _held = other;
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .join();
        assert_eq!(thread.join().unwrap(), 0);
    }

    #[test]
    fn a_silent_connection_leaves_after_the_lame_duck_period_and_one_with_bytes_does_not() {
        let connections = Connections::new().unwrap();
        connections.set_lame_duck(Duration::from_millis(300));
        let (ours, mut client) = UnixStream::pair().unwrap();
        let connection = connections.open();
        let begun = Instant::now();
        let draining = connections.clone();
        let thread = thread::spawn(move || {
            let next = connection.wait(&ours).unwrap();
            (next, connection, ours)
        });
        draining.drain();
        let (next, connection, ours) = thread.join().unwrap();
        assert_eq!(next, Next::Leave);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        client.write_all(b"x").unwrap();
        assert_eq!(connection.wait(&ours).unwrap(), Next::Read);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn futures_hear_of_the_drain_and_of_the_end() {
        let connections = Connections::new().unwrap();
        let connection = connections.open();
        let waiting = connections.clone();
        let task = tokio::spawn(async move {
            waiting.draining().await;
            waiting.idle().await;
        });
        tokio::task::yield_now().await;
        connections.drain();
        connection.draining().await;
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        drop(connection);
        tokio::time::timeout(SOON, task).await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let connections = Connections::new().unwrap();
        for _ in 0..100 {
            let connection = connections.open();
            let task = tokio::spawn(async move { connection.draining().await });
            tokio::task::yield_now().await;
            assert_eq!(connections.state().wakers.len(), 1);
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(connections.count(), 0);
        assert!(connections.state().wakers.is_empty());
    }
}
