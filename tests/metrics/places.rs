//! Where metrics are served: what happens to an address that is taken, changed, or taken over.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use fetchd::control::{self, Line, Request};
use rustix::process::Signal;

use crate::client::{endpoint, get, health, scrape, scrape_until, send_unix};
use crate::site::{FETCHD, PATIENCE, Site, get as ask_service, wait_until};

#[test]
fn a_service_does_not_wait_for_an_address_that_is_taken() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut fetchd = site.run(&["--metrics", &at.to_string(), "--interval", "1h"]);
    let address = fetchd.address();
    assert!(ask_service(address, "/").is_ok());
    let shown = fetchd.try_status().unwrap().metrics.unwrap();
    assert_eq!((shown.address, shown.trouble.unwrap().code.as_str()), (at.to_string(), "listen.bind"));
    assert!(fetchd.log().contains("metrics.unavailable"), "{}", fetchd.log());
    let said = fetchd.fetchd("status", &[]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("NOT SERVED"), "{said:?}");
    drop(taken);
    assert_eq!(endpoint(&mut fetchd), at);
    assert!(scrape(at).count() > 30);
    assert_eq!(fetchd.log().matches("metrics.unavailable").count(), 1, "said once: {}", fetchd.log());
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_unix_socket_serves_as_well_and_is_removed_at_the_end() {
    let site = Site::new();
    let path = site.path().join("metrics.sock");
    // Left behind by somebody who was killed.
    drop(UnixListener::bind(&path).unwrap());
    let mut fetchd = site.run(&["--metrics", &format!("unix:{}", path.display()), "--interval", "1h"]);
    fetchd.wait("it is served", |status| status.metrics.as_ref().is_some_and(|at| at.trouble.is_none()));
    let ask = |path_asked: &str| {
        send_unix(&path, format!("GET {path_asked} HTTP/1.1\r\nHost: whatever\r\n\r\n").as_bytes()).unwrap()
    };
    assert_eq!(ask("/metrics").status, 200);
    wait_until("it is well", || ask("/healthz").status == 200);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(fetchd.stop().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn only_who_insists_is_reached_by_other_machines() {
    let site = Site::new();
    let check = |flags: &[&str]| {
        let mut check = Command::new(FETCHD);
        check.args(["config", "check", "--product", "app", "--state-dir"]).arg(site.state_dir()).args(flags);
        check.arg("--").arg(site.program()).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
    };
    for (flags, code, says) in [
        (&["--metrics", "127.0.0.1:9464"][..], 0, ""),
        (&["--metrics", "[::1]:9464"], 0, ""),
        (&["--metrics", "unix:/run/app/metrics.sock"], 0, ""),
        (&["--metrics", "off"], 0, ""),
        (&["--metrics", "0.0.0.0:9464"], 64, "write `127.0.0.1:9464`, behind a proxy"),
        (&["--metrics", ":9464"], 64, "other machines"),
        (&["--metrics", "10.0.0.1:9464"], 64, "metrics_anyway = true"),
        (&["--metrics", "0.0.0.0:9464", "--metrics-anyway"], 0, ""),
        (&["--metrics", "localhost:9464"], 64, "host names are not looked up"),
        (&["--metrics", "udp:127.0.0.1:9464"], 64, "datagrams"),
        (&["--metrics", "m=127.0.0.1:9464"], 64, "nobody asks for it"),
        (&["--metrics", "127.0.0.1:9464", "--listen", "127.0.0.1:9464"], 64, "one of the service's own"),
    ] {
        let output = check(flags);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {text}");
        assert!(text.contains(says), "{flags:?}: {text}");
    }
}

/// Writes a configuration with this line.
fn configure(site: &Site, line: &str) {
    let (state, program) = (site.state_dir(), site.program());
    let (source, key) = (site.source(), site.publisher.public_key().to_string());
    let text = format!(
        "product = \"app\"\nstate_dir = {state:?}\nlisten = [\"web=127.0.0.1:0\"]\nprogram = [{program:?}]\nwatch = \"0s\"\n\
         source = {source:?}\nkey = [{key:?}]\ninterval = \"200ms\"\njitter = 0\n{line}\n"
    );
    fs::write(site.path().join("app.toml"), text).unwrap();
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn another_address_and_another_supervisor_go_on_counting() {
    let site = Site::new();
    site.publish(&fetchd::demo::Trailer::version("1.0.0"));
    configure(&site, "metrics = \"127.0.0.1:0\"");
    let mut command = Command::new(FETCHD);
    command.args(["run", "--config", "app.toml"]).current_dir(site.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    let mut fetchd = site.supervise(command);
    let first = endpoint(&mut fetchd);
    let polled = [("outcome", "unchanged")];
    let before = scrape_until(first, "two polls", |now| now.of("fetchd_polls_total", &polled) >= 2.0);
    assert_eq!(before.of("fetchd_service_starts_total", &[]), 1.0);
    // By a changed file and SIGHUP.
    let second = free_address();
    configure(&site, &format!("metrics = \"{second}\""));
    fetchd.signal(Signal::HUP);
    wait_until("the new address answers", || get(second, "/healthz").is_ok_and(|answer| answer.status == 200));
    assert!(get(first, "/healthz").is_err(), "the old one still does");
    let after = scrape(second);
    assert_eq!(after.fallen_since(&before), Vec::<String>::new());
    // By another program in the same process, at the same address.
    let replaced = control::ask(&control::path(&site.state_dir()), &Request::ReplaceSupervisor, PATIENCE, |_| {});
    assert!(matches!(&replaced, Ok(Line::Answer(answer)) if answer.error.is_none()), "{replaced:?}\n{}", fetchd.log());
    let last = scrape_until(second, "another poll", |now| {
        now.of("fetchd_polls_total", &polled) > after.of("fetchd_polls_total", &polled)
    });
    assert_eq!(last.fallen_since(&after), Vec::<String>::new());
    assert_eq!(last.of("fetchd_service_starts_total", &[]), 1.0);
    assert_eq!(health(second), (200, "ok: generation 1 serves".to_owned()));
    // Off.
    configure(&site, "");
    fetchd.signal(Signal::HUP);
    wait_until("nobody answers any more", || get(second, "/healthz").is_err());
    fetchd.wait("status says so", |status| status.metrics.is_none());
    assert_eq!(fetchd.stop().code(), Some(0));
}
