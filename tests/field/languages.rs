//! The servers of `examples/other-languages`, as they stand there.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::bench::{Service, load, nothing_lost};
use crate::machine::repository;
use crate::site::{FETCHD, PATIENCE, Site, text};

/// Three releases and two restarts under the load of fresh and of kept connections, with a slow request across each.
#[track_caller]
fn hands_off_under_load(release: impl Fn(&str) -> Vec<u8>, more: &[&str]) {
    let site = Site::empty();
    let program = site.program();
    fs::write(&program, release("1.0.0")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(FETCHD);
    command
        .args(["run", "--product", "app", "--interval", "200ms", "--jitter", "0", "--watch", "200ms"])
        .args(["--listen", "web=127.0.0.1:0", "--source", &site.source(), "--state-dir"])
        .arg(site.state_dir())
        .args(["--key", &site.publisher.public_key().to_string()])
        .args(more)
        .arg("--")
        .arg(&program)
        .env_remove("RUST_LOG");
    let mut fetchd = site.supervise(command);
    let service = Service::at(&site.state_dir());
    let address = fetchd.address();
    let load = load(address, 8, 8);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for (generation, version) in [(2, Some("1.1.0")), (3, None), (4, Some("1.2.0")), (5, None), (6, Some("1.3.0"))] {
        service.room_to_drain();
        let slow = load.slow_request(std::time::Duration::from_secs(2));
        match version {
            Some(version) => {
                site.publisher.publish(version, &release(version)).unwrap();
                fetchd.wait_for_version(version);
                load.wait_for_version(version, PATIENCE).unwrap();
            }
            None => service.restart(),
        }
        slow.wait().expect("the slow request was answered");
        fetchd.wait("it serves", |s| s.service.generations.iter().any(|g| g.generation >= generation));
    }
    let report = load.stop();
    nothing_lost(&report);
    assert_eq!(report.versions.len(), 6, "each generation answered something: {:?}", report.versions);
    // A stop is a drain that ends by itself.
    service.settled(6);
    let log = fetchd.log();
    assert_eq!(fetchd.stop().code(), Some(0), "{log}");
    assert!(!log.contains("service.killed"), "{log}");
}

/// The example, whose line with the version is another one in each release.
fn script(path: &str, line: &'static str) -> impl Fn(&str) -> Vec<u8> {
    let text = fs::read_to_string(repository(path)).unwrap();
    assert_eq!(text.matches(line).count(), 1);
    move |version| text.replace(line, &line.replace("1.0.0", version)).into_bytes()
}

#[test]
fn the_python_server_hands_off_under_load() {
    let release = script("examples/other-languages/python/server.py", "VERSION = \"1.0.0\"");
    hands_off_under_load(release, &["--target-check", "off"]);
}

#[test]
fn the_node_server_hands_off_under_load() {
    for program in ["node", "systemd-notify"] {
        let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(there, "`{program}` is missing: `tests/all` installs it");
    }
    let release = script("examples/other-languages/node/server.js", "VERSION = '1.0.0'");
    hands_off_under_load(release, &["--target-check", "off"]);
}

#[test]
fn the_go_server_hands_off_under_load() {
    hands_off_under_load(built_with_go, &[]);
}

/// As the head of the example says, with a cache of the tests' own and no network.
fn built_with_go(version: &str) -> Vec<u8> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let program = cache.join(format!("server-{version}"));
    let output = Command::new("go")
        .args(["build", "-ldflags", &format!("-X main.version={version}"), "-o"])
        .args([program.as_os_str(), "server.go".as_ref()])
        .current_dir(repository("examples/other-languages/go"))
        .env("GOCACHE", cache.join("cache"))
        .env("GOPATH", cache.join("path"))
        .envs([("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("CGO_ENABLED", "0")])
        .output()
        .unwrap_or_else(|e| panic!("`go`: {e}; `tests/all` installs it"));
    assert!(output.status.success(), "{}", text(&output));
    fs::read(&program).unwrap()
}
