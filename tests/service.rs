//! The child side with real processes: what is inherited, what is said, and a drain under load.
#![allow(clippy::unwrap_used)]

#[path = "support/activate.rs"]
mod activate;
#[path = "service/blocking.rs"]
mod blocking;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use activate::{Activated, Activation, Alone, SOON, fetchd};
use fetchd::demo::trailer::{self, Fault, Trailer};
use fetchd::load::{Load, LoadPlan, Target};
use rustix::process::{Pid, Signal};

/// A listener as a supervisor holds it: the queue is long.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 4096).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn copy(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().unwrap().into()
}

fn web(listener: &TcpListener) -> Activated {
    Activation { listeners: vec![("web", copy(listener))], ..Activation::default() }.start().ready()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends a request; the head and the body of its answer.
fn get(stream: &mut (impl Read + Write), path: &str) -> io::Result<(String, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    answer(stream)
}

fn answer(stream: &mut impl Read) -> io::Result<(String, String)> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            if body.len() == length.lines().next().unwrap().parse::<usize>().unwrap() {
                return Ok((head, body.to_owned()));
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => received.extend(&part[..length]),
        }
    }
}

fn closes(head: &str) -> bool {
    head.lines().any(|line| line == "connection: close")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn listeners_arrive_by_name_and_nothing_is_left_in_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let admin = UnixListener::bind(&path).unwrap();
    let (socket, address) = listener();
    let service = Activation {
        args: ["--name", "web", "--name", "admin"].map(String::from).to_vec(),
        env: vec![("FETCHD_GENERATION".into(), "7".into()), ("FETCHD_DRAIN_MS".into(), "1500".into())],
        listeners: vec![("admin", admin.into()), ("web", copy(&socket))],
        ..Activation::default()
    }
    .start();
    assert_eq!(service.said(), "hello pause");
    let service = service.ready();

    let (_, body) = get(&mut connect(address), "/env").unwrap();
    assert!(body.contains(&format!("\"listener web {address}\"")), "{body}");
    assert!(body.contains(&format!("\"listener admin unix:{}\"", path.display())), "{body}");
    assert!(body.contains("\"drain 1500 ms\"") && body.contains("\"control\""), "{body}");
    assert!(body.contains("\"left\":[]"), "{body}");
    assert!(body.contains("has been taken before"), "{body}");
    let (_, body) = get(&mut UnixStream::connect(&path).unwrap(), "/").unwrap();
    assert!(body.contains(&format!("\"pid\":{},\"generation\":7", service.pid())), "{body}");
}

#[test]
fn a_name_that_was_not_passed_is_an_error_and_not_a_private_socket() {
    let (socket, _) = listener();
    let mut service = Activation {
        args: ["--name", "admin"].map(String::from).to_vec(),
        listeners: vec![("web", copy(&socket))],
        ..Activation::default()
    }
    .start();
    assert_eq!(service.ended().code(), Some(64));
}

#[test]
fn a_connected_socket_is_refused_before_it_is_ever_accepted_on() {
    let (_socket, address) = listener();
    let mut service = Activation { listeners: vec![("web", connect(address).into())], ..Activation::default() }.start();
    assert_eq!(service.ended().code(), Some(64));
}

#[test]
fn without_a_supervisor_it_binds_and_terminates_in_order() {
    let mut service = Alone::start(fetchd(), &["--lame-duck-ms", "50"]);
    let address = service.address.parse().unwrap();
    get(&mut connect(address), "/").unwrap();
    // Accepted by the kernel and perhaps not yet by the process: it is answered all the same.
    let mut queued: Vec<_> = (0..50).map(|_| connect(address)).collect();
    for stream in &mut queued {
        write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    rustix::process::kill_process(Pid::from_child(&service.child), Signal::TERM).unwrap();
    for stream in &mut queued {
        answer(stream).unwrap();
    }
    assert!(service.ended().success());
}

/// Starts 1.0.0 on a socket, load, 2.0.0 on the same socket, then ends the first.
fn hand_over(copy: impl Fn() -> OwnedFd, target: Target) {
    let dir = tempfile::tempdir().unwrap();
    let next = dir.path().join("next");
    trailer::append(fetchd(), &next, &Trailer::version("2.0.0").with_boot(Duration::from_millis(300))).unwrap();
    let mut old = Activation { listeners: vec![("web", copy())], ..Activation::default() }.start().ready();
    let load = Load::start(LoadPlan {
        think: Duration::from_millis(2),
        lifetime: Duration::from_secs(60),
        ..LoadPlan::new(target)
    })
    .unwrap();
    load.wait_for_version("1.0.0", SOON).unwrap();

    let slow = load.slow_request(Duration::from_secs(2));
    load.mark("boot");
    // An answer to a request sent now: the slow one was sent before it.
    load.wait_for_version("1.0.0", SOON).unwrap();
    let new = Activation { program: Some(next), listeners: vec![("web", copy())], ..Activation::default() };
    let new = new.start().ready();
    load.mark("drain");
    old.signal(Signal::TERM);
    load.wait_for_version("2.0.0", SOON).unwrap();
    assert!(old.ended().success());

    let slow = slow.wait().expect("the slow request is answered");
    assert_eq!(slow.pid, old.pid());
    load.mark("after");
    load.wait_for_version("2.0.0", SOON).unwrap();
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert!(report.window("after").unwrap().totals.requests > 0);
    assert!(report.versions.iter().any(|seen| seen.pid == new.pid()));
}

#[test]
fn a_handoff_under_load_loses_nothing() {
    let (socket, address) = listener();
    hand_over(|| copy(&socket), Target::Tcp(address));
}

#[test]
fn a_handoff_over_a_unix_socket_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    let socket = UnixListener::bind(&path).unwrap();
    hand_over(|| socket.try_clone().unwrap().into(), Target::Unix(path));
}

#[test]
fn draining_serves_the_silent_then_closes_the_idle_and_finishes_what_is_in_flight() {
    let (socket, address) = listener();
    let mut service = web(&socket);
    let mut silent = connect(address);
    let mut idle = connect(address);
    let (head, _) = get(&mut idle, "/").unwrap();
    assert!(!closes(&head));
    let mut half = connect(address);
    get(&mut half, "/").unwrap();
    let mut slow = connect(address);
    write!(slow, "GET /slow?ms=2500 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    write!(half, "GET / HT").unwrap();
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
    write!(half, "TP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (head, _) = answer(&mut half).expect("half a request is not idle");
    assert!(closes(&head), "{head}");
    let (head, _) = answer(&mut slow).expect("in flight");
    assert!(closes(&head), "{head}");
    assert!(service.ended().success());
}

#[test]
fn the_deadline_cuts_what_does_not_end() {
    let (socket, address) = listener();
    let mut service = web(&socket);
    let mut slow = connect(address);
    write!(slow, "GET /slow?ms=30000 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    get(&mut connect(address), "/").unwrap();
    let begun = Instant::now();
    service.order("drain 1000");
    assert!(service.ended().success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(answer(&mut slow).is_err());
}

#[test]
fn an_answer_that_the_client_reads_slowly_is_not_idle() {
    const LENGTH: usize = 20 << 20;
    let (socket, address) = listener();
    let mut service = Activation {
        args: ["--lame-duck-ms", "1000"].map(String::from).to_vec(),
        listeners: vec![("web", copy(&socket))],
        ..Activation::default()
    }
    .start()
    .ready();
    let mut slow = connect(address);
    write!(slow, "GET /bytes?n={LENGTH} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 1];
    slow.read_exact(&mut first).unwrap();
    let mut idle = connect(address);
    get(&mut idle, "/").unwrap();
    service.signal(Signal::TERM);
    // The lame-duck period is over when the idle one has been closed.
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    // No answer has told this client to leave, so after a long answer it may go on asking.
    let mut received = vec![first[0]];
    let head = loop {
        let mut byte = [0; 1];
        slow.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
        if received.ends_with(b"\r\n\r\n") {
            break String::from_utf8_lossy(&received).to_ascii_lowercase();
        }
    };
    assert!(!closes(&head), "{head}");
    let mut body = vec![0; LENGTH];
    slow.read_exact(&mut body).unwrap();
    let (head, _) = get(&mut slow, "/").expect("its period begins with the end of its answer");
    assert!(closes(&head), "{head}");
    assert!(service.ended().success());
}

#[test]
fn running_out_of_descriptors_does_not_end_the_accept_loop() {
    let (socket, address) = listener();
    let _service =
        Activation { listeners: vec![("web", copy(&socket))], descriptors: Some(24), ..Activation::default() }
            .start()
            .ready();
    let mut many: Vec<_> = (0..40).map(|_| connect(address)).collect();
    let mut last = many.pop().unwrap();
    write!(last, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(answer(&mut last).is_err(), "the limit is reached");
    drop(many);
    last.set_read_timeout(Some(SOON)).unwrap();
    answer(&mut last).expect("answered once there is room");
}

#[test]
fn paused_it_serves_its_connections_and_leaves_new_ones_to_others_until_resumed() {
    let (socket, address) = listener();
    let service = web(&socket);
    assert_eq!(service.said(), "hello pause");
    let mut old = connect(address);
    get(&mut old, "/").unwrap();
    service.order("pause");
    // From some moment on, new connections stay in the queue.
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
}

#[test]
fn a_dead_supervisor_is_a_reason_to_drain() {
    let (socket, _) = listener();
    let mut service = web(&socket);
    service.abandon();
    assert!(service.ended().success());
}

#[test]
fn faults_do_what_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let release = |fault: Fault| {
        let path = dir.path().join(fault.name());
        trailer::append(fetchd(), &path, &Trailer::version("2.0.0").with_fault(fault)).unwrap();
        path
    };
    let start = |fault: Fault| {
        let (socket, _) = listener();
        let listeners = vec![("web", copy(&socket))];
        Activation { program: Some(release(fault)), listeners, ..Activation::default() }.start()
    };
    assert_eq!(start(Fault::ExitBeforeReady).ended().code(), Some(3));
    assert_eq!(start(Fault::ExitZeroBeforeReady).ended().code(), Some(0));
    assert_eq!(start(Fault::CrashAfterReady).ready().ended().code(), Some(9));
    assert!(start(Fault::Reject).told().starts_with("X_FETCHD_REJECT="));
    let (socket, address) = listener();
    let listeners = vec![("web", copy(&socket))];
    let program = Some(release(Fault::NeverDrain));
    let stubborn = Activation { program, listeners, ..Activation::default() }.start().ready();
    stubborn.signal(Signal::TERM);
    for _ in 0..2 {
        let (head, _) = get(&mut connect(address), "/slow?ms=100").unwrap();
        assert!(!closes(&head), "{head}");
    }

    let mut later = {
        let listeners = vec![("web", copy(&socket))];
        drop(stubborn);
        let program = Some(release(Fault::CrashLater));
        Activation { program, listeners, ..Activation::default() }.start().ready()
    };
    get(&mut connect(address), "/").unwrap();
    assert!(get(&mut connect(address), "/crash").is_err());
    assert_eq!(later.ended().code(), Some(9));

    let version = |fault: Fault| Command::new(release(fault)).args(["demo-service", "--version"]).output().unwrap();
    assert_eq!(version(Fault::VersionWrong).stdout, b"demo-service 0.0.0-wrong\n");
    assert_eq!(version(Fault::VersionExit1).status.code(), Some(1));
    assert_eq!(version(Fault::CrashLoop).stdout, b"demo-service 2.0.0\n");
}

#[test]
fn version_faults_that_outlive_their_process_are_real() {
    let dir = tempfile::tempdir().unwrap();
    let spawn = |fault: Fault| {
        let path = dir.path().join(fault.name());
        trailer::append(fetchd(), &path, &Trailer::default().with_fault(fault)).unwrap();
        let mut command = Command::new(path);
        command.args(["demo-service", "--version"]).process_group(0).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut flood = spawn(Fault::VersionFlood);
    let mut megabyte = vec![0; 1 << 20];
    flood.stdout.take().unwrap().read_exact(&mut megabyte).unwrap();
    // Nobody reads any more, and it ends.
    flood.wait().unwrap();

    let mut fork = spawn(Fault::VersionFork);
    let group = Pid::from_child(&fork);
    let mut output = fork.stdout.take().unwrap();
    assert!(fork.wait().unwrap().success());
    rustix::process::test_kill_process_group(group).expect("a child is left");
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "demo-service 1.0.0\n");
}

/// A listener of this process.
fn bound() -> (fetchd::service::Listener, SocketAddr) {
    let listener = fetchd::service::Listener::bind("web", "127.0.0.1:0").unwrap();
    let fetchd::service::Address::Tcp(address) = listener.address().unwrap() else { panic!("a TCP address") };
    (listener, address)
}

#[test]
fn an_axum_router_is_served_and_drained() {
    use axum::{Router, routing::get as route};
    use fetchd::service::http::Server;
    use hyper_util::service::TowerToHyperService;

    let (listener, address) = bound();
    let router = Router::new().route("/", route(|| async { "hello" }));
    let server = Server::new([listener]).lame_duck(Duration::from_millis(100));
    let handle = server.handle();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server.serve(TowerToHyperService::new(router)))
    });
    let mut stream = connect(address);
    let (head, body) = get(&mut stream, "/").unwrap();
    assert!(!closes(&head));
    assert_eq!(body, "hello");
    handle.drain();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    let summary = runtime.join().unwrap().unwrap();
    assert_eq!((summary.connections, summary.requests, summary.drained, summary.aborted), (1, 1, 1, 0));
}
