//! The load against servers that misbehave in known ways: each loss is counted in its class.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn answer(stream: &mut TcpStream, text: &str) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(text.as_bytes());
}

fn plan(address: SocketAddr) -> LoadPlan {
    LoadPlan {
        fresh: 1,
        keep_alive: 0,
        timeout: Duration::from_millis(200),
        lifetime: Duration::from_secs(30),
        ..LoadPlan::new(Target::Tcp(address))
    }
}

/// Runs a server of one connection after the other until the load has lost three requests.
fn lost(serve: impl Fn(TcpStream) + Send + 'static, keep_alive: bool) -> Failures {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    let clients = if keep_alive { (0, 1) } else { (1, 0) };
    let load = Load::start(LoadPlan { fresh: clients.0, keep_alive: clients.1, ..plan(address) }).unwrap();
    let deadline = Instant::now() + SOON;
    while load.snapshot().totals.failed.total() < 3 {
        assert!(Instant::now() < deadline, "{:?}", load.snapshot());
        std::thread::sleep(Duration::from_millis(5));
    }
    load.stop().totals.failed
}

#[test]
fn an_early_end_is_eof() {
    let failed = lost(|mut stream| answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), false);
    assert!(failed.eof >= 3 && failed.total() == failed.eof, "{failed:?}");
}

#[test]
fn silence_is_a_timeout() {
    let held = std::sync::Mutex::new(Vec::new());
    let failed = lost(move |stream| held.lock().unwrap().push(stream), false);
    assert!(failed.timeout >= 3 && failed.total() == failed.timeout, "{failed:?}");
}

#[test]
fn another_status_is_a_failure() {
    let failed = lost(|mut stream| answer(&mut stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), false);
    assert!(failed.status >= 3 && failed.total() == failed.status, "{failed:?}");
}

#[test]
fn a_keep_alive_connection_closed_without_a_word_loses_the_next_request() {
    let failed = lost(|mut stream| answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), true);
    assert!(failed.eof + failed.reset >= 3 && failed.total() == failed.eof + failed.reset, "{failed:?}");
}

#[test]
fn nobody_there_is_refused() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = Load::start(plan(address)).unwrap();
    let deadline = Instant::now() + SOON;
    while load.snapshot().totals.requests == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let failed = load.stop().totals.failed;
    assert!(failed.refused >= 1 && failed.total() == failed.refused, "{failed:?}");
}

#[test]
fn versions_and_windows_are_kept_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (count, mut stream) in listener.incoming().flatten().enumerate() {
            let body = format!("{{\"version\":\"{}.0.0\",\"pid\":{}}}", 1 + count / 5, 100 + count / 5);
            answer(&mut stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let load = Load::start(plan(address)).unwrap();
    load.wait_for_version("1.0.0", SOON).unwrap();
    load.mark("later");
    load.wait_for_version("3.0.0", SOON).unwrap();
    assert!(load.wait_for_version("1.0.0", Duration::from_millis(20)).is_err());
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0);
    assert_eq!((report.versions[0].version.as_str(), report.versions[0].answers), ("1.0.0", 5));
    assert_eq!(report.versions[1].pid, 101);
    assert!(report.window("later").unwrap().latency.longest() > Duration::ZERO);
    assert_eq!(report.windows.iter().map(|window| window.totals.requests).sum::<u64>(), report.totals.requests);
}

#[test]
fn other_machines_and_too_much_are_refused() {
    let far = LoadPlan::new(Target::Tcp("192.0.2.1:80".parse().unwrap()));
    assert!(matches!(Load::start(far), Err(LoadError::NotLoopback(_))));
    let many = LoadPlan { fresh: usize::MAX, ..plan("127.0.0.1:1".parse().unwrap()) };
    assert!(matches!(Load::start(many), Err(LoadError::TooMuch)));
}
