//! Takes over the descriptors and variables that the supervisor left for this process.
//!
//! The only file of the service side with `unsafe`: a descriptor that arrives by number has no
//! owner until somebody says so, and the environment may only change while one thread exists.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::control::Control;
use super::environment::{self, Environment, FIRST, VARIABLES};
use super::listener::{ListenError, Listener};
use super::notify::{Notify, NotifyError};

/// Why what was inherited cannot be used. The service should exit with a failure: the
/// supervisor then keeps the old generation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// [`Inherited::take`] ran before in this process.
    #[error("what this process inherited has been taken before")]
    TakenBefore,
    /// A variable is set and cannot be read.
    #[error("the variable `{variable}` is malformed")]
    Malformed {
        /// The variable's name.
        variable: &'static str,
    },
    /// The supervisor speaks a protocol this library does not know.
    #[error("the supervisor speaks protocol {got}, this service knows {known}")]
    Protocol {
        /// What the supervisor speaks.
        got: u64,
        /// What this library speaks.
        known: u32,
    },
    /// A descriptor was announced and is not open.
    #[error("descriptor {descriptor} (`{name}`) was announced and is not open")]
    NotOpen {
        /// Its number.
        descriptor: i32,
        /// Its name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A descriptor is not a listening stream socket over TCP or a Unix path, nor a UDP socket.
    #[error("descriptor {descriptor} (`{name}`) is not a listening socket: {found}")]
    NotListening {
        /// Its number.
        descriptor: i32,
        /// Its name.
        name: String,
        /// What it is instead.
        found: &'static str,
    },
    /// The control descriptor is not a SEQPACKET socket.
    #[error("control descriptor {descriptor} is not a packet socket")]
    NotControl {
        /// Its number.
        descriptor: i32,
    },
    /// `NOTIFY_SOCKET` names no socket this library can send to.
    #[error("the notification socket cannot be used")]
    Notify(#[from] NotifyError),
}

/// Everything the supervisor left: listeners, the way to tell it things, its messages, deadlines.
///
/// Without a supervisor it is empty and everything still works: [`listen_or_bind`] binds,
/// [`Notify`] sends nothing, there is no control descriptor.
///
/// [`listen_or_bind`]: Inherited::listen_or_bind
#[derive(Debug, Default)]
pub struct Inherited {
    environment: Environment,
    listeners: Vec<Listener>,
    notify: Notify,
    control: Option<Control>,
}

/// Descriptors can be owned once, so they can be taken once.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Inherited {
    /// Reads the variables, takes the descriptors, marks them close-on-exec and unsets the variables.
    ///
    /// **Call it once, first thing in `main`, before any thread is started** (in an asynchronous
    /// program: before the runtime is built) **and before anything opens a descriptor.** It changes the
    /// environment, which is sound only while no other thread can read it, and it becomes the
    /// owner of the descriptors named there.
    ///
    /// Descriptors are used only if `LISTEN_PID` is this process. Each must be a listening stream
    /// socket or a UDP socket; the control descriptor must be a packet socket.
    ///
    /// # Errors
    ///
    /// [`InheritError::TakenBefore`] on a second call, otherwise what was wrong with which
    /// variable or descriptor. Proved by `tests/service.rs`.
    pub fn take() -> Result<Inherited, InheritError> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(InheritError::TakenBefore);
        }
        let read = environment::read(std::env::var_os, std::process::id());
        for variable in VARIABLES {
            // SAFETY: the documented condition of this function is that no other thread exists yet,
            // and TAKEN lets only the first caller come here.
            unsafe { std::env::remove_var(variable) };
        }
        let read = read?;

        let mut listeners = Vec::with_capacity(read.names.len());
        for (descriptor, name) in (FIRST..).zip(read.names) {
            let socket = adopt(descriptor, &name)?;
            listeners.push(Listener::inherited(socket, name, descriptor)?);
        }
        let control = match read.control {
            None => None,
            Some(descriptor) if descriptor < FIRST + listeners.len() as i32 => {
                return Err(InheritError::NotControl { descriptor });
            }
            Some(descriptor) => {
                let socket = adopt(descriptor, "control")?;
                Some(Control::new(socket).ok_or(InheritError::NotControl { descriptor })?)
            }
        };
        let notify = match read.notify {
            Some(address) => Notify::to(&address)?,
            None => Notify::default(),
        };
        Ok(Inherited { environment: read.environment, listeners, notify, control })
    }

    /// For a process that supervises others: takes only the listening sockets that a socket activator
    /// left, and leaves every other variable, `NOTIFY_SOCKET` among them, as it is.
    ///
    /// **Call it once, before any thread is started**, for the reasons of [`take`](Inherited::take),
    /// and never together with it.
    ///
    /// # Errors
    ///
    /// As those of [`take`](Inherited::take).
    pub fn take_sockets() -> Result<Vec<Listener>, InheritError> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(InheritError::TakenBefore);
        }
        let ours = |name: &str| name.starts_with("LISTEN_");
        let read = environment::read(|name| std::env::var_os(name).filter(|_| ours(name)), std::process::id());
        for variable in VARIABLES.iter().filter(|name| ours(name)) {
            // SAFETY: as in `take`: no other thread exists yet, and only the first caller comes here.
            unsafe { std::env::remove_var(variable) };
        }
        let named = (FIRST..).zip(read?.names);
        named.map(|(descriptor, name)| Listener::inherited(adopt(descriptor, &name)?, name, descriptor)).collect()
    }

    /// For a process without a supervisor that has its sockets from elsewhere. Whoever started it is told what it says,
    /// if it asked for that with `NOTIFY_SOCKET`; a child must not inherit that variable.
    ///
    /// # Errors
    ///
    /// [`InheritError::Notify`], if the variable names no socket.
    pub fn alone(listeners: Vec<Listener>) -> Result<Inherited, InheritError> {
        let notify = std::env::var_os("NOTIFY_SOCKET").map(|address| Notify::to(&address)).transpose()?;
        Ok(Inherited { listeners, notify: notify.unwrap_or_default(), ..Inherited::default() })
    }

    /// What the supervisor told this process about itself.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// True if there is a supervisor or another socket activator.
    pub fn is_supervised(&self) -> bool {
        !self.listeners.is_empty() || self.control.is_some() || self.environment.role.is_some()
    }

    /// The listeners not yet taken, in the order they were passed.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Takes every listener called `name`; empty if there is none.
    pub fn named(&mut self, name: &str) -> Vec<Listener> {
        self.listeners.extract_if(.., |listener| listener.name() == name).collect()
    }

    /// Takes the listener at `index` of [`listeners`](Inherited::listeners).
    pub fn at(&mut self, index: usize) -> Option<Listener> {
        (index < self.listeners.len()).then(|| self.listeners.remove(index))
    }

    /// Takes the listeners called `name`, or binds `address` where nothing was passed.
    ///
    /// `address` is `host:port`, `unix:/path` or `udp:host:port`. If listeners were passed without names, the
    /// first of them is taken.
    ///
    /// # Errors
    ///
    /// [`ListenError::NotPassed`] if listeners were passed and none is called `name`: binding one
    /// privately would work today and collide with the next generation. Otherwise why
    /// `address` cannot be bound.
    pub fn listen_or_bind(&mut self, name: &str, address: &str) -> Result<Vec<Listener>, ListenError> {
        let named = self.named(name);
        if !named.is_empty() {
            return Ok(named);
        }
        if let Some(index) = self.listeners.iter().position(|listener| listener.name() == "unknown") {
            return Ok(vec![self.listeners.remove(index)]);
        }
        if self.listeners.is_empty() {
            return Ok(vec![Listener::bind(name, address)?]);
        }
        let passed = self.listeners.iter().map(|listener| listener.name().to_owned()).collect();
        Err(ListenError::NotPassed { name: name.to_owned(), passed })
    }

    /// The way to tell the supervisor things; sends nothing where nobody listens.
    pub fn notify(&self) -> &Notify {
        &self.notify
    }

    /// True while the control descriptor is here and not taken.
    pub fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// Takes the control descriptor; `None` without one and on a second call.
    pub fn control(&mut self) -> Option<Control> {
        self.control.take()
    }
}

/// Becomes the owner of `descriptor` if it is open.
fn adopt(descriptor: RawFd, name: &str) -> Result<OwnedFd, InheritError> {
    // SAFETY: the borrow ends with the call below. If the number is not open the kernel answers
    // EBADF and nothing else happens.
    let seen = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl_getfd(seen)
        .and_then(|flags| fcntl_setfd(seen, flags | FdFlags::CLOEXEC))
        .map_err(|error| InheritError::NotOpen { descriptor, name: name.to_owned(), source: error.into() })?;
    // SAFETY: it is open, the supervisor's protocol gives it to this process, and TAKEN makes sure
    // that nobody has been told so before.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
