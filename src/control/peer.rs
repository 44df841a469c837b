//! Who is at the other end of a connection.

use std::io;
use std::os::unix::net::UnixStream;

/// The user id of whoever connected, as the kernel noted it at that moment.
///
/// By way of tokio, for rustix has no value for what the kernel says of a process that this one cannot see: it is number 0
/// for whoever sits outside of the container of a supervisor (test `whoever_sits_outside_of_a_container_is_answered`).
///
/// Call it outside of any runtime. The connection is as it was afterwards, a blocking one.
pub(super) fn user(stream: &UnixStream) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // The flag belongs to the open file, so this holds for `stream`, too.
    let copy = stream.try_clone()?;
    copy.set_nonblocking(true)?;
    let user = tokio::net::UnixStream::from_std(copy).and_then(|copy| copy.peer_cred()).map(|peer| peer.uid());
    stream.set_nonblocking(false)?;
    user
}
