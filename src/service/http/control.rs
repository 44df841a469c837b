//! The control descriptor for asynchronous programs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::service::control::{greet, receive};
use crate::service::{Control, Message};

/// [`Control`], waited for without a thread.
#[derive(Debug)]
pub struct ControlStream {
    /// A packet socket in truth; only registered and never read through this type.
    socket: UnixStream,
}

impl ControlStream {
    /// Registers `control` with the runtime this is called on.
    ///
    /// # Errors
    ///
    /// The descriptor could not be registered.
    pub fn new(control: Control) -> io::Result<ControlStream> {
        let socket = std::os::unix::net::UnixStream::from(OwnedFd::from(control));
        socket.set_nonblocking(true)?;
        Ok(ControlStream { socket: UnixStream::from_std(socket)? })
    }

    /// Waits for the next message. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub async fn next(&self) -> io::Result<Message> {
        self.socket.async_io(Interest::READABLE, || receive(self.socket.as_fd())).await
    }

    /// As [`Control::hello`].
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn hello(&self) -> io::Result<()> {
        greet(self.socket.as_fd())
    }
}
