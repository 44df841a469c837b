//! What must hold of the supervisor's messages whatever the bytes are.

use std::os::fd::AsFd as _;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::control::{Message, receive};

/// A packet on the control descriptor: what is not understood is skipped, the rest says one thing.
pub fn drain(data: &[u8]) -> bool {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (service, supervisor) = pair.expect("a pair of sockets can be made");
    let hear = |packet: &[u8]| {
        send(&supervisor, packet, SendFlags::NOSIGNAL).expect("a packet fits");
        receive(service.as_fd()).ok()
    };
    let Some(message) = hear(data) else { return false };
    let text = match message {
        Message::Pause => "pause".to_owned(),
        Message::Resume => "resume".to_owned(),
        Message::Drain(None) => "drain".to_owned(),
        Message::Drain(Some(within)) => format!("drain {}", within.as_millis()),
        // An empty packet looks like the end of the connection, and the supervisor sends none.
        Message::SupervisorGone => {
            assert!(data.is_empty(), "a supervisor that speaks is taken for dead");
            return true;
        }
    };
    assert_eq!(hear(text.as_bytes()), Some(message), "{text:?}");
    true
}
