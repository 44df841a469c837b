//! What PID 1 hears of a replacement.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::site::{PATIENCE, Site};
use crate::stand::{from_own_path, put_back, put_script, refused, replace};

#[track_caller]
fn told(systemd: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = systemd.recv(&mut bytes).expect("systemd is told something");
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[test]
fn systemd_hears_of_a_reload_with_its_time_and_of_its_end() {
    let site = Site::new();
    let path = site.path().join("systemd");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = from_own_path(&site, &crate::bench::plain(&site, &[], &site.program(), &[]));
    command.env("NOTIFY_SOCKET", &path).env("FDSTORE", "4");
    let mut fetchd = site.supervise(command);
    fetchd.address();
    assert!(told(&systemd).contains("FDSTORE=1"));
    assert!(told(&systemd).starts_with("READY=1"));

    // One that is refused when it is asked is no reload.
    put_script(&site, "exit 1");
    refused(&fetchd, "replace.unfit", 42, "exit code 1");
    put_back(&site);
    for _ in 0..2 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        replace(&fetchd);
        let reloading = told(&systemd);
        assert!(reloading.starts_with("RELOADING=1\n"), "{reloading}");
        let stamp = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse::<i64>().ok());
        assert!(stamp.unwrap() >= now.tv_sec * 1_000_000 + now.tv_nsec / 1000, "{reloading}");
        // The sockets are in its store already.
        let ready = told(&systemd);
        assert!(ready.starts_with("READY=1\n"), "{ready}");
    }
    fetchd.signal(Signal::TERM);
    assert!(told(&systemd).starts_with("STOPPING=1"));
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
}
