//! Clients that are slow, many, or wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{endpoint, get, health, scrape, send};
use crate::site::{PATIENCE, Site, Supervised, get as ask_service, wait_until};

fn quiet(site: &Site) -> Supervised<'_> {
    site.run(&["--metrics", "127.0.0.1:0", "--interval", "1h", "--watch", "0s"])
}

#[test]
fn only_what_is_there_can_be_read() {
    let site = Site::new();
    let mut fetchd = quiet(&site);
    let at = endpoint(&mut fetchd);
    wait_until("it serves", || health(at).0 == 200);
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /metrics?x=y HTTP/1.0\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /metrics/../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
        ("nonsense", 400),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
    ] {
        let answer = send(at, request.as_bytes()).unwrap_or_else(|e| panic!("{request:?}: {e}"));
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{request:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"));
    }
    // What was sent along does not cost the answer its end, whatever its length.
    let post =
        format!("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000));
    assert_eq!(send(at, post.as_bytes()).unwrap().status, 405);
    let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(send(at, long.as_bytes()).unwrap().status, 431);
    let head = send(at, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let whole = get(at, "/metrics").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-type"), whole.header("content-type"));
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 1000);
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// How many threads and descriptors the supervisor has.
fn holds(fetchd: &Supervised<'_>) -> (usize, usize) {
    let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", fetchd.pid())).unwrap().count();
    (count("task"), count("fd"))
}

/// Waits for the end of a connection; what came before it.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn clients_that_say_nothing_hold_up_nobody_and_are_let_go() {
    let site = Site::new();
    let mut fetchd = quiet(&site);
    let (at, address) = (endpoint(&mut fetchd), fetchd.address());
    let mut before = holds(&fetchd);
    wait_until("it has come to rest", || std::mem::replace(&mut before, holds(&fetchd)) == holds(&fetchd));
    let mut silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    for stream in &mut silent {
        // Some have begun, and those that were turned away already cannot be written to.
        let _ = stream.write_all(b"GET /met");
    }
    let asked = Instant::now();
    assert_eq!(health(at).0, 200);
    assert!(scrape(at).count() > 30);
    assert!(fetchd.try_status().is_some() && ask_service(address, "/").is_ok());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}: the silent ones were waited for");
    let (threads, descriptors) = holds(&fetchd);
    assert!(descriptors <= before.1 + 16, "{descriptors} after {}", before.1);
    assert!(threads <= before.0, "{threads} after {}", before.0);
    // None of them has closed its end: fetchd does.
    for stream in &mut silent {
        assert_eq!(read_to_end(stream), b"");
    }
    wait_until("nothing of them is left", || holds(&fetchd).1 <= before.1);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_client_that_drips_is_given_its_time_and_no_more() {
    let site = Site::new();
    let mut fetchd = quiet(&site);
    let at = endpoint(&mut fetchd);
    let began = Instant::now();
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ").unwrap();
    let mut byte = [0];
    // A byte every 50 ms keeps no connection open.
    while stream.write_all(b"x").is_ok()
        && stream.read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    {
        assert!(began.elapsed() < PATIENCE, "it is never let go");
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4), "{took:?}: it was not given its time");
    // One that asks in pieces and within its time is answered.
    let mut stream = TcpStream::connect(at).unwrap();
    for piece in ["GET /hea", "lthz HTTP/1.1\r", "\nHost: loc", "alhost\r\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut stream).starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let site = Site::new();
    let mut fetchd = quiet(&site);
    let at = endpoint(&mut fetchd);
    let ask = |at: SocketAddr| (0..40).map(|_| scrape(at).count()).min().unwrap();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(move || ask(at))).collect();
        assert!(clients.into_iter().all(|client| client.join().unwrap() > 30));
    });
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// How often the loop's thread has slept.
fn sleeps(fetchd: &Supervised<'_>) -> u64 {
    let pid = fetchd.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/task/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn while_nobody_asks_it_costs_no_wake_up_and_no_thread() {
    let (site, without) = (Site::new(), Site::new());
    let mut fetchd = quiet(&site);
    let mut other = without.run(&["--interval", "1h", "--watch", "0s"]);
    let at = endpoint(&mut fetchd);
    other.address();
    scrape(at);
    let (mut since, mut seen) = (Instant::now(), sleeps(&fetchd));
    wait_until("it sleeps for 5 s without waking up", || {
        let now = sleeps(&fetchd);
        if now != seen {
            (since, seen) = (Instant::now(), now);
        }
        since.elapsed() > Duration::from_secs(5)
    });
    assert_eq!(holds(&fetchd).0, holds(&other).0, "as many threads as without metrics");
    (0..20).for_each(|_| assert!(scrape(at).count() > 30));
    assert_eq!(holds(&fetchd).0, holds(&other).0);
    assert_eq!(other.stop().code(), Some(0));
    assert_eq!(fetchd.stop().code(), Some(0));
}
