//! A service that cannot keep quiet: nothing has to happen before anything is printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::bench::{Service, load, nothing_lost};
use crate::machine::repository;
use crate::site::{FETCHD, PATIENCE, Site};

/// Printed whatever it is started for: 40 lines on either stream, with versions of other things in those of a release
/// whose own version is signed. Where none is, the first that is printed counts.
const AT_ONCE: &str = r#"
for number in range(40):
    print(f"2026-01-01T00:00:00Z INFO plugin {number} is loaded, runtime RUNTIME", flush=True)
    print(f"2026-01-01T00:00:00Z WARN plugin {number} is deprecated since 8.0.0", file=sys.stderr, flush=True)
"#;

/// And while it starts to serve, more than a pipe holds.
const AT_START: &str = r#"
for number in range(200):
    print("INFO " + "migrating " * 100, flush=True)
    print("INFO " + "migrating " * 100, file=sys.stderr, flush=True)
server = Server("#;

fn release(version: &str, runtime: &str) -> Vec<u8> {
    let text = fs::read_to_string(repository("examples/other-languages/python/server.py")).unwrap();
    let text = text.replace("VERSION = \"1.0.0\"\n", &format!("VERSION = \"{version}\"\n{AT_ONCE}"));
    let text = text.replacen("\nserver = Server(", AT_START, 1);
    assert!(text.contains(AT_ONCE) && text.contains(AT_START));
    text.replace("RUNTIME", runtime).into_bytes()
}

#[test]
fn a_service_that_logs_before_and_during_its_start_passes_the_smoke_run_and_serves() {
    let site = Site::empty();
    let program = site.program();
    fs::write(&program, release("1.0.0", "nine")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(FETCHD);
    command
        .args(["run", "--product", "app", "--interval", "200ms", "--jitter", "0", "--watch", "200ms"])
        .args(["--listen", "web=127.0.0.1:0", "--source", &site.source(), "--target-check", "off", "--state-dir"])
        .arg(site.state_dir())
        .args(["--key", &site.publisher.public_key().to_string(), "--"])
        .arg(&program)
        .env_remove("RUST_LOG");
    let mut fetchd = site.supervise(command);
    let load = load(fetchd.address(), 2, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    site.publisher.publish("1.1.0", &release("1.1.0", "9.9.0")).unwrap();
    fetchd.wait_for_version("1.1.0");
    load.wait_for_version("1.1.0", PATIENCE).unwrap();
    Service::at(&site.state_dir()).settled(2);
    nothing_lost(&load.stop());
    // One that says another version all the same is refused, log lines or not.
    site.publisher.publish("1.2.0", &release("1.1.9", "9.9.0")).unwrap();
    fetchd.wait_for_event("release.refused", "smoke.version");
    fetchd.wait_for_version("1.1.0");
}
