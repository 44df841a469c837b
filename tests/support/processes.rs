//! Who runs, as /proc tells it: for tests that kill.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The processes that `parent` started and has not reaped.
pub fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// The worker of this supervisor.
pub fn worker_of(supervisor: u32) -> Option<u32> {
    in_role(supervisor, "worker").pop()
}

/// The generations of this supervisor's service.
pub fn services_of(supervisor: u32) -> Vec<u32> {
    in_role(supervisor, "service")
}

fn in_role(supervisor: u32, role: &str) -> Vec<u32> {
    let wanted = format!("FETCHD_ROLE={role}");
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    children(supervisor).into_iter().filter(has).collect()
}

/// Whether it runs. One that is dead and that nobody has reaped does not.
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !"ZX".contains(state))
}

/// Its state and its parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Sends a signal to a process that must be there.
#[track_caller]
pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Processes that must not outlive a test, however it ends.
#[derive(Debug, Default)]
pub struct Leftovers(pub Vec<u32>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for pid in self.0.iter().filter(|pid| runs(**pid)) {
            let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
        }
    }
}

/// A request that takes `time` to answer, on its way when this returns. Its end is the whole answer.
pub fn slow_request(address: SocketAddr, time: Duration) -> JoinHandle<std::io::Result<String>> {
    let (sent, begun) = channel();
    let thread = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(time + Duration::from_secs(60)))?;
        write!(stream, "GET /slow?ms={} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", time.as_millis())?;
        // A test that has ended does not listen.
        let _ = sent.send(());
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    let _ = begun.recv();
    thread
}
