//! A server of threads that can leave without cutting anybody off: no runtime, no HTTP.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use fetchd::service::{Inherited, Next, blocking::Server};
//!
//! let mut inherited = Inherited::take()?;
//! let listeners = inherited.listen_or_bind("echo", "127.0.0.1:7000")?;
//! let server = Server::new(inherited, listeners)?;
//! # #[cfg(feature = "signals")]
//! let server = server.drain_on_signals()?;
//! server.serve(|mut stream, connection| {
//!     std::thread::spawn(move || -> std::io::Result<()> {
//!         let mut bytes = [0; 4096];
//!         while connection.wait(&stream)? == Next::Read {
//!             match stream.read(&mut bytes)? {
//!                 0 => break,
//!                 length => stream.write_all(&bytes[..length])?,
//!             }
//!         }
//!         Ok(())
//!     });
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The drain
//!
//! Listeners close at once; a queue that no other process has is emptied first. A thread that waits in
//! [`Connection::wait`](super::Connection::wait) is told to leave when its client has been silent for the
//! lame-duck period (2 s), the others finish what they do, and
//! [`Connection::is_draining`](super::Connection::is_draining) lets them tell their clients. Those that are
//! left at the deadline are counted, and end with the process.
//!
//! # SIGTERM
//!
//! Its default action ends the process on the spot, and with it every request. With the feature `signals`,
//! `Server::drain_on_signals` takes care of it. A program that deals with signals itself calls
//! [`Connections::drain`](super::Connections::drain) of [`Server::connections`] instead.

mod server;
#[cfg(feature = "signals")]
mod signals;
mod stream;

pub use server::{Server, Summary};
pub use stream::Stream;
