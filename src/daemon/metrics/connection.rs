//! One client: a request, its answer, and never a wait for it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use super::request::{self, LONGEST, Request};

/// A connection. Its descriptor does not block.
#[derive(Debug)]
pub(super) struct Connection {
    stream: OwnedFd,
    state: State,
    deadline: Instant,
    /// How many bytes have come in all.
    came: usize,
}

#[derive(Debug)]
enum State {
    /// So much of the request is here.
    Asking(Vec<u8>),
    /// So many bytes of the answer are sent.
    Answering(Vec<u8>, usize),
    /// The answer is sent. What the client has sent beyond its request is read, or the kernel would reset the connection
    /// and the answer with it.
    Lingering,
}

impl Connection {
    pub(super) fn new(stream: OwnedFd, now: Instant) -> Connection {
        Connection { stream, state: State::Asking(Vec::new()), deadline: now + PATIENCE, came: 0 }
    }

    /// What is waited for.
    pub(super) fn awaits(&self) -> (BorrowedFd<'_>, PollFlags) {
        let flags = match self.state {
            State::Answering(..) => PollFlags::OUT,
            State::Asking(_) | State::Lingering => PollFlags::IN,
        };
        (self.stream.as_fd(), flags)
    }

    /// When it is ended, whatever has become of it.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Goes as far as it can without waiting; the answer to a request that is whole is made by `answer`. False: it is over.
    pub(super) fn turn(&mut self, now: Instant, any_host: bool, answer: &mut dyn FnMut(Request) -> Vec<u8>) -> bool {
        if now >= self.deadline {
            return false;
        }
        loop {
            let done = match &mut self.state {
                State::Answering(bytes, sent) if *sent < bytes.len() => {
                    let result = rustix::net::send(&self.stream, &bytes[*sent..], SendFlags::NOSIGNAL);
                    result.map(|more| *sent += more)
                }
                State::Answering(..) => {
                    self.deadline = self.deadline.min(now + LINGER);
                    self.state = State::Lingering;
                    rustix::net::shutdown(&self.stream, Shutdown::Write)
                }
                State::Asking(_) | State::Lingering => self.read(any_host, answer),
            };
            match done {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    fn read(&mut self, any_host: bool, answer: &mut dyn FnMut(Request) -> Vec<u8>) -> Result<(), Errno> {
        let mut part = [0; 2048];
        let count = rustix::io::read(&self.stream, &mut part)?;
        self.came += count;
        if count == 0 || self.came > MOST_READ {
            return Err(Errno::PIPE);
        }
        if let State::Asking(head) = &mut self.state {
            head.extend_from_slice(&part[..count]);
            if let Some(request) = request::read(head, any_host) {
                self.state = State::Answering(answer(request), 0);
            }
        }
        Ok(())
    }
}

/// How long a client has from its connection to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// And to end the connection after that.
const LINGER: Duration = Duration::from_secs(1);

/// Who sends more, in bytes, is not listened to.
const MOST_READ: usize = 8 * LONGEST;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A connection, and its other end.
    fn pair(now: Instant) -> (Connection, UnixStream) {
        let (own, other) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        (Connection::new(own.into(), now), other)
    }

    #[test]
    fn an_answer_that_is_not_taken_is_sent_piece_by_piece_until_its_time_is_up() {
        let now = Instant::now();
        let answer = vec![b'x'; 4 << 20];
        let mut make = |_| answer.clone();
        let (mut connection, mut other) = pair(now);
        assert!(connection.turn(now, true, &mut make), "nothing has come yet");
        assert_eq!(connection.awaits().1, PollFlags::IN);
        other.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        assert!(connection.turn(now, true, &mut make));
        assert_eq!(connection.awaits().1, PollFlags::OUT, "it does not fit");
        let (mut taken, mut part) = (0, vec![0; 64 << 10]);
        while taken < answer.len() {
            taken += other.read(&mut part).unwrap();
            assert!(connection.turn(now, true, &mut make));
        }
        assert_eq!(connection.awaits().1, PollFlags::IN, "it waits for the other end");
        assert_eq!(other.read(&mut part).unwrap(), 0);
        assert!(connection.deadline() <= now + LINGER);
        drop(other);
        assert!(!connection.turn(now, true, &mut make));

        let (mut connection, mut other) = pair(now);
        other.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        assert!(connection.turn(now, true, &mut make));
        assert!(!connection.turn(now + PATIENCE, true, &mut make), "it is not waited for any longer");
    }

    #[test]
    fn who_goes_or_floods_is_let_go() {
        let now = Instant::now();
        let mut make = |_| b"answer".to_vec();
        let (mut connection, other) = pair(now);
        drop(other);
        assert!(!connection.turn(now, true, &mut make));
        let (mut connection, mut other) = pair(now);
        other.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        other.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while connection.turn(now, true, &mut make) {
            sent += other.write(&[b'x'; 4096]).unwrap_or_default();
            assert!(sent < 2 * MOST_READ, "{sent} bytes were read");
        }
    }
}
