//! A changed configuration, by SIGHUP and by a replacement.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use fetchd::control::Status;
use fetchd::demo::Trailer;
use rustix::process::Signal;

use crate::bench::{environment, in_phase, load, script, settled, tcp};
use crate::site::{PATIENCE, Site, Supervised, wait_until};
use crate::stand::{from_own_path, refused, replace};

/// Writes the configuration of a service that listens there, with `more` lines.
pub(crate) fn configure(site: &Site, listen: &[&str], arguments: &[&str], more: &str) {
    let state = site.state_dir();
    let mut program = vec![site.program().display().to_string()];
    program.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let text = format!(
        "product = \"app\"\nstate_dir = {state:?}\nlisten = {listen:?}\nprogram = {program:?}\nready_deadline = \"5s\"\n{more}\n"
    );
    fs::write(site.path().join("app.toml"), text).unwrap();
}

fn run(site: &Site) -> Supervised<'_> {
    site.supervise(configured(site))
}

/// `fetchd run` with that configuration.
pub(crate) fn configured(site: &Site) -> Command {
    let mut command = Command::new("fetchd");
    command.args(["run", "--config", "app.toml"]);
    from_own_path(site, &command)
}

/// Waits until the service of generation `number` serves alone, with these names.
#[track_caller]
pub(crate) fn serves_with(fetchd: &mut Supervised<'_>, number: u64, names: &[&str]) -> Status {
    let status = fetchd.wait(&format!("generation {number} serves on {names:?}"), |status| {
        let generations = &status.service.generations;
        let listening: Vec<&str> = status.service.listeners.iter().map(|(name, _)| name.as_str()).collect();
        generations.len() == 1
            && generations[0].generation == number
            && generations[0].phase == "serving"
            && !status.service.watching
            && status.updates.doing == "idle"
            && listening == names
    });
    assert_eq!(status.pid, fetchd.pid());
    status
}

pub(crate) fn address(status: &Status, name: &str) -> SocketAddr {
    status.service.listeners.iter().find(|(known, _)| known == name).unwrap().1.parse().unwrap()
}

#[test]
fn listeners_are_added_changed_and_removed_under_load() {
    let site = Site::new();
    let unix = format!("side=unix:{}", site.path().join("side.sock").display());
    configure(&site, &["web=127.0.0.1:0", "admin=127.0.0.1:0"], &[], "watch = \"200ms\"");
    let mut fetchd = run(&site);
    let status = serves_with(&mut fetchd, 1, &["web", "admin"]);
    let web = address(&status, "web");
    let admin = address(&status, "admin");
    let load = load(tcp(web), 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();

    configure(&site, &["web=127.0.0.1:0", "admin=[::1]:0", &unix], &[], "watch = \"200ms\"");
    fetchd.signal(Signal::HUP);
    let status = serves_with(&mut fetchd, 2, &["web", "admin", "side"]);
    assert_eq!(address(&status, "web"), web, "what did not change is the same socket");
    assert!(address(&status, "admin").is_ipv6());
    assert!(TcpStream::connect(address(&status, "admin")).is_ok());
    let theirs = environment(status.service.generations[0].pid);
    assert_eq!(theirs["LISTEN_FDNAMES"], "web:admin:side", "the service has them");
    assert!(UnixStream::connect(site.path().join("side.sock")).is_ok());
    wait_until("the old address is free", || TcpListener::bind(admin).is_ok());

    configure(&site, &["web=127.0.0.1:0"], &[], "watch = \"200ms\"");
    replace(&fetchd);
    serves_with(&mut fetchd, 3, &["web"]);
    assert!(!site.path().join("side.sock").exists(), "its path is gone with it");
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert!(fetchd.log().contains("configuration.applied"));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing_and_is_shown() {
    let site = Site::new();
    configure(&site, &["web=127.0.0.1:0"], &[], "");
    let mut fetchd = run(&site);
    let before = serves_with(&mut fetchd, 1, &["web"]);
    let web = address(&before, "web");
    let load = load(tcp(web), 2, 2);

    let shown = |fetchd: &mut Supervised<'_>, says: &str| {
        fetchd.signal(Signal::HUP);
        fetchd.wait(says, |status| status.configuration.as_ref().is_some_and(|why| why.message.contains(says)));
    };
    configure(&site, &["web=127.0.0.1:0"], &[], "no_such_setting = 1");
    shown(&mut fetchd, "no_such_setting");
    configure(&site, &["web=127.0.0.1:0"], &[], "layout = \"releases\"");
    shown(&mut fetchd, "`layout`");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("busy={}", taken.local_addr().unwrap());
    configure(&site, &["web=127.0.0.1:0", "more=127.0.0.1:0", &busy], &[], "");
    shown(&mut fetchd, "cannot listen on");
    refused(&fetchd, "replace.gave_up", 42, "cannot listen on");

    let text = crate::site::text(&fetchd.fetchd("status", &[]));
    assert!(text.contains("NOT APPLIED"), "{text}");
    let status = fetchd.try_status().unwrap();
    assert_eq!(status.service.listeners, before.service.listeners);
    assert_eq!((settled(&mut fetchd).1, status.pid), (before.service.generations[0].pid, fetchd.pid()));
    configure(&site, &["web=127.0.0.1:0"], &[], "");
    fetchd.signal(Signal::HUP);
    fetchd.wait("it is right again", |status| status.configuration.is_none());
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
}

/// Takes two sockets and no third, and writes down each SIGHUP.
const TWO: &str = r#"
import os, signal, socket, sys, time
if os.environ["LISTEN_FDS"] == "3" or "bad" in sys.argv:
    sys.exit("three are too many")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGHUP, lambda *_: open("hups", "a").write("hup\n"))
address = os.environ["NOTIFY_SOCKET"]
to = "\0" + address[1:] if address.startswith("@") else address
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", to)
while True:
    time.sleep(3600)
"#;

#[test]
fn a_change_that_the_service_does_not_take_is_undone_and_hup_is_passed_on() {
    let site = Site::empty();
    fs::rename(script(&site, "two", TWO), site.program()).unwrap();
    let two = ["a=127.0.0.1:0", "b=127.0.0.1:0"];
    configure(&site, &two, &[], "watch = \"200ms\"");
    let mut fetchd = run(&site);
    let before = serves_with(&mut fetchd, 1, &["a", "b"]);
    let hups = || fs::read_to_string(site.path().join("hups")).unwrap_or_default().lines().count();

    fetchd.signal(Signal::HUP);
    wait_until("the service hears of it", || hups() == 1);
    configure(&site, &["a=127.0.0.1:0", "b=127.0.0.1:0", "c=127.0.0.1:0"], &[], "watch = \"200ms\"");
    fetchd.signal(Signal::HUP);
    wait_until("the service hears of it again", || hups() == 2);
    wait_until("the change is undone", || fetchd.log().contains("listeners.returned"));
    let status = serves_with(&mut fetchd, 1, &["a", "b"]);
    assert_eq!(status.service.listeners, before.service.listeners);

    configure(&site, &two, &["bad"], "watch = \"200ms\"");
    fetchd.signal(Signal::HUP);
    wait_until("that is undone, too", || fetchd.log().matches("listeners.returned").count() == 2);
    let crash = in_phase(&fetchd.try_status().unwrap(), "serving")[0].1;
    rustix::process::kill_process(rustix::process::Pid::from_raw(crash.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let again = fetchd.wait("it is started again", |s| in_phase(s, "serving").first().is_some_and(|g| g.1 != crash));
    assert_eq!(again.service.listeners, before.service.listeners, "with what it had");
}

#[test]
fn plain_settings_apply_at_once_and_the_service_is_left_alone() {
    let site = Site::new();
    let more = |interval: &str| {
        format!(
            "interval = \"{interval}\"\njitter = 0\nwatch = \"200ms\"\nsource = {:?}\nkey = [{:?}]",
            site.source(),
            site.publisher.public_key().to_string()
        )
    };
    configure(&site, &["web=127.0.0.1:0"], &[], &more("1h"));
    site.publish(&Trailer::version("1.1.0"));
    let mut fetchd = run(&site);
    let before = fetchd.wait("it serves", |status| !in_phase(status, "serving").is_empty());
    configure(&site, &["web=127.0.0.1:0"], &[], &more("200ms"));
    fetchd.signal(Signal::HUP);
    // An hour would be too long.
    let after = fetchd.wait_for_version("1.1.0");
    assert_eq!(after.service.listeners, before.service.listeners);
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
}
