//! A supervisor that somebody disturbs: through its control socket, its notify socket, its service.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/processes.rs"]
mod processes;
#[path = "support/site.rs"]
mod site;

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fetchd::control::{self, Line, Request};
use fetchd::demo::Trailer;
use fetchd::load::{Load, LoadPlan, Target};
use rustix::process::Signal;

use processes::{Leftovers, runs, services_of, signal, slow_request};
use site::{FETCHD, Site, get, text, wait_until};

/// An answer in less than this was not held up by anybody's deadline of ten seconds.
const SOON: Duration = Duration::from_secs(9);

/// Asks for the status; it must come soon.
#[track_caller]
fn answers_soon(site: &Site) {
    let begun = Instant::now();
    let line = control::ask(&control::path(&site.state_dir()), &Request::Status, SOON, |_| {});
    assert!(matches!(line, Ok(Line::Status(_))), "{line:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

fn disturbed_by_clients(connect: impl Fn(UnixStream) -> Option<UnixStream>) {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let path = control::path(&site.state_dir());
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.extend(connect(UnixStream::connect(&path).unwrap()));
        answers_soon(&site);
    }
    site.publish(&Trailer::version("1.1.0"));
    wait_until("1.1.0 serves", || get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    answers_soon(&site);
    let output = fetchd.fetchd("hold", &[]);
    assert!(output.status.success(), "{}", text(&output));
    drop(clients);
    answers_soon(&site);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn clients_that_say_nothing_hold_up_nobody() {
    disturbed_by_clients(Some);
}

#[test]
fn clients_that_never_end_their_line_hold_up_nobody() {
    disturbed_by_clients(|mut client| {
        client.write_all(b"{\"command\":").unwrap();
        Some(client)
    });
}

#[test]
fn clients_that_talk_nonsense_hold_up_nobody() {
    disturbed_by_clients(|mut client| {
        client.write_all(b"\x00\xff GET / HTTP/1.1\r\n\r\n").unwrap();
        Some(client)
    });
}

#[test]
fn clients_that_write_a_megabyte_hold_up_nobody() {
    disturbed_by_clients(|mut client| {
        client.set_write_timeout(Some(SOON)).unwrap();
        // It may be turned away before it has written everything.
        let _ = client.write_all(&vec![b'x'; (1 << 20) + 1]);
        Some(client)
    });
}

#[test]
fn clients_that_never_read_their_answer_hold_up_nobody() {
    disturbed_by_clients(|mut client| {
        client.write_all(b"{\"command\":\"status\"}\n").unwrap();
        Some(client)
    });
}

#[test]
fn commands_that_wait_for_a_long_pass_do_not_use_up_the_places_for_status() {
    let site = Site::new();
    let fetchd = site.run(&["--watch", "20s", "--interval", "1h"]);
    let mut fetchd = fetchd;
    fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    let path = control::path(&site.state_dir());
    let waiting: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"{\"command\":\"apply\"}\n").unwrap();
            answers_soon(&site);
            client
        })
        .collect();
    answers_soon(&site);
    drop(waiting);
}

#[test]
fn a_stopped_service_stops_nobody_else() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let service = fetchd.wait_for_version("1.0.0").service.generations[0].pid;
    let _left = Leftovers(vec![service]);
    signal(service, Signal::STOP);
    let waits = slow_request(address, Duration::from_millis(10));
    for _ in 0..10 {
        answers_soon(&site);
    }
    assert_eq!(services_of(fetchd.pid()), [service], "stopped is not dead");
    signal(service, Signal::CONT);
    assert!(waits.join().unwrap().unwrap().contains("200 OK"));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_stopped_generation_is_replaced_all_the_same() {
    let site = Site::new();
    let mut fetchd = site.run(&["--drain-deadline", "1s"]);
    let address = fetchd.address();
    let old = fetchd.wait_for_version("1.0.0").service.generations[0].pid;
    let _left = Leftovers(vec![old]);
    signal(old, Signal::STOP);
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    wait_until("the stopped one is killed at the end of its drain", || !runs(old));
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// A service that says `first` to its supervisor and then talks without end.
fn chatterbox(site: &Site, first: &str) {
    let script = format!(
        "#!{}\nimport os, signal, socket\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])\ns.send(b'{first}')\n\
         while True:\n    s.send(b'STATUS=' + b'x' * 3000)\n",
        python()
    );
    fs::write(site.program(), script).unwrap();
    fs::set_permissions(site.program(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The interpreter itself: a script's first line takes no search path.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let output = output.expect("the program `python3` is installed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn supervise<'a>(site: &'a Site, more: &[&str]) -> site::Supervised<'a> {
    let mut command = Command::new(FETCHD);
    command.args(["run", "--product", "app", "--state-dir"]).arg(site.state_dir());
    command.args(["--listen", "web=127.0.0.1:0"]).args(more).arg("--").arg(site.program());
    site.supervise(command)
}

#[test]
fn a_flood_of_notify_messages_does_not_put_off_the_ready_deadline() {
    let site = Site::empty();
    chatterbox(&site, "STATUS=not yet");
    let fetchd = supervise(&site, &["--ready-deadline", "1s"]);
    wait_until("the start is given up", || fetchd.log().contains("handoff.failed"));
    assert!(fetchd.log().contains("ready_deadline") || fetchd.log().contains("ready"), "{}", fetchd.log());
}

#[test]
fn a_flood_of_notify_messages_does_not_put_off_a_stop() {
    let site = Site::empty();
    chatterbox(&site, "READY=1");
    let mut fetchd = supervise(&site, &["--drain-deadline", "1s"]);
    let status = fetchd.wait("it serves", |s| s.service.generations.iter().any(|g| g.phase == "serving"));
    let service = status.service.generations[0].pid;
    let _left = Leftovers(vec![service]);
    for _ in 0..20 {
        answers_soon(&site);
    }
    let begun = Instant::now();
    fetchd.signal(Signal::TERM);
    fetchd.wait_for_end();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(!runs(service));
}

#[test]
fn strangers_that_write_to_the_notify_socket_change_nothing_and_fill_no_log() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let service = fetchd.wait_for_version("1.0.0").service.generations[0].pid;
    let environment = fs::read(format!("/proc/{service}/environ")).unwrap();
    let name = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"NOTIFY_SOCKET=@"));
    let notify = SocketAddr::from_abstract_name(name.unwrap()).unwrap();
    let plan =
        LoadPlan { fresh: 1, keep_alive: 1, think: Duration::from_millis(20), ..LoadPlan::new(Target::Tcp(address)) };
    let load = Load::start(plan).unwrap();
    let enough = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let stranger = UnixDatagram::unbound().unwrap();
            let mut sent = 0_u64;
            while !enough.load(Ordering::Relaxed) && sent < 1_000_000 {
                let message: &[u8] = if sent.is_multiple_of(2) { b"STOPPING=1" } else { b"X_FETCHD_RESTART=1" };
                stranger.send_to_addr(message, &notify).unwrap();
                sent += 1;
            }
            sent
        });
        site.publish(&Trailer::version("1.1.0"));
        fetchd.wait_for_version("1.1.0");
        answers_soon(&site);
        enough.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    assert!(sent > 1000, "{sent}");
    let lines = fetchd.log().lines().count();
    assert!(lines < 100, "{lines} lines of log for {sent} messages of a stranger");
    assert!(!site.happened("service.restarted", ""));
    assert_eq!(load.stop().totals.failed.total(), 0);
    assert_eq!(fetchd.stop().code(), Some(0));
}
