//! A server of threads as a supervisor sees it: the example on the standard library, message by message.

use std::io::Read as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::activate::{Activated, Activation, SOON, fetchd};
use crate::{answer, closes, connect, copy, get, listener, wait_until};

fn threads(socket: &std::net::TcpListener, env: &[(&str, &str)]) -> Activated {
    let program = fetchd().parent().unwrap().join("examples/service-std");
    assert!(program.is_file(), "`{}` is missing: run `cargo build --workspace --examples`", program.display());
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let listeners = vec![("web", copy(socket))];
    let service = Activation { program: Some(program), env, listeners, ..Activation::default() }.start();
    assert_eq!(service.said(), "hello pause");
    service.ready()
}

#[test]
fn threads_pause_resume_and_drain_by_the_control_descriptor() {
    let (socket, address) = listener();
    let mut service = threads(&socket, &[]);
    let mut old = connect(address);
    get(&mut old, "/").unwrap();
    service.order("pause");
    let mut queued = connect(address);
    wait_until("paused", || {
        queued = connect(address);
        queued.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        get(&mut queued, "/").is_err()
    });
    let (head, _) = get(&mut old, "/").unwrap();
    assert!(!closes(&head), "{head}");
    service.order("resume");
    queued.set_read_timeout(Some(SOON)).unwrap();
    answer(&mut queued).expect("answered after the resume");

    let mut slow = connect(address);
    write!(slow, "GET /slow?ms=30000 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    get(&mut connect(address), "/").unwrap();
    let begun = Instant::now();
    service.order("drain 1000");
    assert_eq!(service.told(), "STOPPING=1");
    assert!(service.ended().success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(answer(&mut slow).is_err(), "cut at the deadline");
}

#[test]
fn threads_serve_the_silent_then_close_the_idle_and_finish_what_is_in_flight() {
    let (socket, address) = listener();
    let mut service = threads(&socket, &[]);
    let mut silent = connect(address);
    let mut idle = connect(address);
    let (head, _) = get(&mut idle, "/").unwrap();
    assert!(!closes(&head));
    let mut slow = connect(address);
    write!(slow, "GET /slow?ms=2500 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // Later connections are accepted after earlier ones, so all of these have been.
    get(&mut connect(address), "/").unwrap();

    let begun = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.told(), "STOPPING=1");
    std::thread::sleep(Duration::from_millis(300));
    let (head, _) = get(&mut silent, "/").expect("the first byte came a while after SIGTERM");
    assert!(closes(&head), "{head}");
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "idle connections end in order");
    let closed = begun.elapsed();
    assert!(closed >= Duration::from_millis(1950) && closed < SOON, "{closed:?}");
    let (head, _) = answer(&mut slow).expect("in flight");
    assert!(closes(&head), "{head}");
    assert!(service.ended().success());
}

#[test]
fn threads_drain_when_their_supervisor_dies_and_beat_its_watchdog_before() {
    let (socket, _) = listener();
    let mut service = threads(&socket, &[("WATCHDOG_USEC", "200000")]);
    for _ in 0..3 {
        assert_eq!(service.told(), "WATCHDOG=1");
    }
    service.abandon();
    assert!(service.ended().success());
}

#[test]
fn a_second_interrupt_cuts_the_drain_of_threads_short() {
    let (socket, address) = listener();
    let mut service = threads(&socket, &[]);
    let mut slow = connect(address);
    write!(slow, "GET /slow?ms=30000 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    get(&mut connect(address), "/").unwrap();
    service.signal(Signal::INT);
    assert_eq!(service.told(), "STOPPING=1");
    service.signal(Signal::INT);
    assert!(service.ended().success());
}
