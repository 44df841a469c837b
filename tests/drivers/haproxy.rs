//! `signal` with the real HAProxy: the master process executes the new binary and keeps its PID.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use crate::scene::{Foreign, free_port, load, nothing_was_lost, system_program};
use crate::site::{get, wait_until};

/// The binary with something behind it: the same program, and another file.
fn binary(version: &str) -> Vec<u8> {
    let mut bytes = system_program("/usr/sbin/haproxy");
    bytes.extend(format!("\n{version}\n").as_bytes());
    bytes
}

fn start() -> (Foreign, SocketAddr) {
    let scene = Foreign::with(&binary("1.0.0"), "1.0.0");
    // HAProxy cannot tell which port it was given, and one that was free may be taken a moment later.
    for _ in 0..20 {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let configuration = format!(
            "global\n  hard-stop-after 5s\ndefaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n\
             frontend web\n  bind {address}\n  http-request return status 200 content-type application/json \
             lf-string '{{\"version\":\"any\",\"pid\":%pid}}'\n"
        );
        fs::write(scene.path("haproxy.cfg"), configuration).unwrap();
        let mut haproxy = Command::new(scene.site.program());
        haproxy.args(["-W", "-D", "-p"]).arg(scene.path("app.pid")).arg("-f").arg(scene.path("haproxy.cfg"));
        haproxy.stdin(Stdio::null()).stderr(Stdio::null());
        if haproxy.status().unwrap().success() {
            wait_until("HAProxy serves", || get(address, "/").is_ok());
            return (scene, address);
        }
    }
    panic!("HAProxy does not start");
}

/// Whether the process executes what lies at the program path.
fn executes_the_program(scene: &Foreign) -> bool {
    let exe = fs::metadata(format!("/proc/{}/exe", scene.pid()));
    exe.is_ok_and(|exe| exe.ino() == fs::metadata(scene.site.program()).unwrap().ino())
}

#[test]
fn haproxy_executes_each_release_and_loses_no_request() {
    let (scene, address) = start();
    let (pid, pid_file) = (scene.pid(), scene.text_path("app.pid"));
    let flags =
        ["--smoke", "off", "--restart", "signal", "--restart-recipe", "haproxy", "--restart-pid-file", &pid_file];
    let mut fetchd = scene.run(&flags);
    let load = load(address);
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        scene.publish(version, &binary(version));
        fetchd.wait(&format!("{version} is confirmed"), |status| status.updates.version.as_deref() == Some(version));
        assert_eq!(scene.pid(), pid);
        assert!(executes_the_program(&scene));
    }
    nothing_was_lost(load, &fetchd);
}

#[test]
fn a_haproxy_that_starts_no_worker_is_taken_back() {
    let (scene, address) = start();
    let (pid, pid_file) = (scene.pid(), scene.text_path("app.pid"));
    let flags =
        ["--smoke", "off", "--restart", "signal", "--restart-recipe", "haproxy", "--restart-pid-file", &pid_file];
    let mut fetchd = scene.run(&[&flags[..], &["--restart-deadline", "3s"]].concat());
    let load = load(address);
    // The master executes the new binary, finds that it cannot begin, and waits beside the old workers.
    let configuration = fs::read_to_string(scene.path("haproxy.cfg")).unwrap();
    fs::write(scene.path("haproxy.cfg"), format!("{configuration}nonsense\n")).unwrap();
    scene.publish("1.1.0", &binary("1.1.0"));
    fetchd.wait_for_event("handoff.failed", "handoff.deadline");
    fs::write(scene.path("haproxy.cfg"), configuration).unwrap();
    scene.is_back_at(&mut fetchd, &binary("1.0.0"));
    wait_until("it is in quarantine", || scene.site.record().quarantine.len() == 1);
    scene.publish("1.2.0", &binary("1.2.0"));
    fetchd.wait_for_event("release.confirmed", "");
    assert_eq!(scene.pid(), pid);
    assert!(executes_the_program(&scene));
    nothing_was_lost(load, &fetchd);
}
