//! What PID 1 hears of a replacement.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::reload::{address, configure, configured, serves_with};
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

/// The same, with the sockets that came with it.
#[track_caller]
fn told_with(systemd: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let (mut bytes, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))]);
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(systemd, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC);
    let length = message.expect("systemd is told something").bytes;
    let sockets = beside.drain().filter_map(|one| match one {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let sockets = sockets.flatten().collect();
    (String::from_utf8(bytes[..length].to_vec()).unwrap(), sockets)
}

/// What it is told until the service stops: in which order, in one word each, and what its store holds in the end.
fn store_of(systemd: &UnixDatagram) -> (Vec<String>, Vec<(String, TcpListener)>) {
    let (mut order, mut store) = (Vec::new(), Vec::<(String, TcpListener)>::new());
    loop {
        let (text, sockets) = told_with(systemd);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default().to_owned();
        if text.contains("FDSTOREREMOVE=1") {
            store.retain(|(known, _)| *known != name);
            order.push(format!("-{name}"));
        } else if text.contains("FDSTORE=1") {
            order.push(format!("+{name}"));
            store.extend(sockets.into_iter().map(|socket| (name.clone(), TcpListener::from(socket))));
        } else if text.starts_with("RELOADING=1") {
            order.push("reloading".to_owned());
        } else if text.starts_with("STOPPING=1") {
            return (order, store);
        }
    }
}

#[test]
fn the_descriptor_store_follows_a_changed_configuration() {
    let site = Site::new();
    let path = site.path().join("systemd");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    // All the time: only so many messages wait to be read.
    let told = std::thread::spawn(move || store_of(&systemd));
    configure(&site, &["web=127.0.0.1:0", "admin=127.0.0.1:0", "gone=127.0.0.1:0"], &[], "watch = \"100ms\"");
    let mut command = configured(&site);
    command.env("NOTIFY_SOCKET", &path).env("FDSTORE", "8");
    let mut fetchd = site.supervise(command);
    serves_with(&mut fetchd, 1, &["web", "admin", "gone"]);

    // `admin` moves, `gone` goes, `more` comes.
    configure(&site, &["web=127.0.0.1:0", "admin=[::1]:0", "more=127.0.0.1:0"], &[], "watch = \"100ms\"");
    fetchd.signal(Signal::HUP);
    let status = serves_with(&mut fetchd, 2, &["web", "admin", "more"]);
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
    let (order, store) = told.join().unwrap();
    // What is new is there before the handoff begins, and what is old until it has passed its watch.
    let first = ["+web", "+admin", "+gone", "reloading", "+admin", "+more", "reloading"];
    assert_eq!(order[..7], first, "{order:?}");
    let mut rest = order[7..].to_vec();
    rest.sort();
    assert_eq!(rest, ["+admin", "-admin", "-gone"], "{order:?}");
    let mut held: Vec<_> = store.iter().map(|(name, socket)| (name.as_str(), socket.local_addr().unwrap())).collect();
    held.sort();
    assert_eq!(held, ["admin", "more", "web"].map(|name| (name, address(&status, name))));
}
