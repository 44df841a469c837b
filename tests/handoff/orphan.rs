//! The supervisor is killed; its service is not.

use std::net::TcpStream;

use fetchd::load::Load;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Orphan, gone, load, open_sockets, plain, script, serves_from, tcp};
use crate::programs::SERVER;
use crate::site::{PATIENCE, Site, Supervised, get, is_alive, wait_until};

/// Sends a request of two seconds, waits until `pid` has it, and kills the supervisor.
fn kill_with_a_request_on_its_way(fetchd: &mut Supervised<'_>, load: &Load, pid: u32) -> fetchd::load::SlowRequest {
    let at_rest = open_sockets(pid);
    let slow = load.slow_request(std::time::Duration::from_secs(2));
    wait_until("the request is accepted", || !open_sockets(pid).is_subset(&at_rest));
    fetchd.signal(Signal::KILL);
    assert_eq!(fetchd.wait_for_end().code(), None);
    assert!(is_alive(pid), "the service outlives its supervisor");
    slow
}

#[test]
fn a_request_survives_the_supervisor_and_the_next_one_starts_at_once() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let (_, pid) = serves_from(&mut fetchd, 1);
    let _orphan = Orphan(pid);
    let load = load(tcp(address), 0, 0);
    let slow = kill_with_a_request_on_its_way(&mut fetchd, &load, pid);

    // The same state directory, the same address: the drain gives it back before it is over.
    wait_until("the address is free", || TcpStream::connect(address).is_err());
    let listen = format!("web={address}");
    let mut next = site.run(&["--listen", &listen]);
    assert_eq!(next.address(), address);
    assert!(is_alive(pid), "the old process still has its request");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    let answer = slow.wait().expect("the request was answered");
    assert_eq!(answer.pid, pid);
    gone(pid);
    assert_eq!(next.stop().code(), Some(0));
}

#[test]
fn a_service_that_logs_meanwhile_is_not_ended_by_its_broken_pipe() {
    let site = Site::empty();
    let program = script(&site, "server", SERVER);
    let mut fetchd = site.supervise(plain(&site, &[], &program, &["notify", "log"]));
    let address = fetchd.address();
    let (_, pid) = serves_from(&mut fetchd, 1);
    let _orphan = Orphan(pid);
    let load = load(tcp(address), 0, 0);
    let slow = kill_with_a_request_on_its_way(&mut fetchd, &load, pid);
    // It writes 200 kB, three times what a pipe usually holds, and nobody reads them any more.
    let answer = slow.wait().expect("the request was answered");
    assert_eq!(answer.pid, pid);
    gone(pid);
}

#[test]
fn a_service_that_is_to_be_kept_serves_on_without_its_supervisor() {
    let site = Site::new();
    let mut fetchd = site.run(&["--on-supervisor-death", "keep"]);
    let address = fetchd.address();
    let (_, pid) = serves_from(&mut fetchd, 1);
    let _orphan = Orphan(pid);
    let load = load(tcp(address), 2, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    fetchd.signal(Signal::KILL);
    assert_eq!(fetchd.wait_for_end().code(), None);
    // Answers to requests that were sent after its end.
    for _ in 0..20 {
        load.wait_for_version("1.0.0", PATIENCE).unwrap();
    }
    assert!(get(address, "/").unwrap().contains(&format!("\"pid\":{pid}")));
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    // Nobody is left to tell it, but anybody may: SIGTERM is a drain as ever.
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    gone(pid);
}
