//! Sockets that systemd passes, and those that it keeps while there is no fetchd.

use std::fs;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use fetchd::load::{Load, LoadPlan, Target};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::bench::{Service, nothing_lost};
use crate::site::{FETCHD, PATIENCE, Site, Supervised, is_alive, wait_until};

/// The arguments of a service that is not updated and that listens on what it is passed.
fn arguments(site: &Site, more: &[&str]) -> Vec<String> {
    let state = site.state_dir();
    let mut words = vec!["run", "--product", "app", "--watch", "100ms", "--state-dir", state.to_str().unwrap()];
    words.extend(more);
    let program = site.program();
    words.extend(["--", program.to_str().unwrap(), "--lame-duck-ms", "200"]);
    words.into_iter().map(str::to_owned).collect()
}

/// systemd's own program for it: it execs fetchd when the first client comes, who waits in the socket meanwhile.
#[test]
fn systemd_socket_activate_starts_it_with_its_socket_by_name() {
    let site = Site::new();
    // It knows no port of the kernel's choice.
    let path = site.path().join("web.sock");
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={}", path.display())).args(["--fdname=web", FETCHD]).args(arguments(&site, &[]));
    let fetchd = site.supervise(command);
    wait_until("systemd listens for us", || path.exists());
    let load = Load::start(LoadPlan { fresh: 4, keep_alive: 4, ..LoadPlan::new(Target::Unix(path)) }).unwrap();
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let service = Service::at(&site.state_dir());
    for generation in 2..=5 {
        service.room_to_drain();
        service.restart();
        let status = service.status().unwrap();
        assert!(status.service.generations.iter().any(|g| g.generation == generation));
        assert_eq!((status.pid, status.service.listeners), (fetchd.pid(), vec![("web".into(), "unix".into())]));
    }
    let report = load.stop();
    nothing_lost(&report);
    assert!(fetchd.stop().success());
}

/// The test's own end of the line to PID 1, and what it was given to keep.
struct Store {
    line: UnixDatagram,
    kept: Vec<(String, OwnedFd)>,
}

impl Store {
    fn at(path: &Path) -> Store {
        let line = UnixDatagram::bind(path).unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        Store { line, kept: Vec::new() }
    }

    /// Reads on to a message that holds this line; keeps what comes to be kept.
    #[track_caller]
    fn hears(&mut self, wanted: &str) {
        loop {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            let received = match recvmsg(&self.line, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => continue,
                received => received.unwrap_or_else(|e| panic!("never heard {wanted}: {e}")).bytes,
            };
            let text = String::from_utf8(bytes[..received].to_vec()).unwrap();
            let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    self.kept.extend(rights.map(|fd| (name.to_owned(), fd)));
                }
            }
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    }
}

/// fetchd with one socket passed as systemd does, so many `times`; a shell moves it, so that `LISTEN_PID` is fetchd's own.
fn activated<'a>(site: &'a Site, line: &Path, passed: Option<OwnedFd>, times: usize, more: &[&str]) -> Supervised<'a> {
    let moves = ["", "3<&0", "3<&0 4<&0"][times];
    let script = format!("exec {moves} 0</dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, FETCHD]).args(arguments(site, more)).env_remove("RUST_LOG");
    command.env("NOTIFY_SOCKET", line).env("FDSTORE", "16");
    if times > 0 {
        command.env("LISTEN_FDS", times.to_string()).env("LISTEN_FDNAMES", vec!["web"; times].join(":"));
    }
    command.stdin(passed.map_or_else(Stdio::null, Stdio::from));
    site.supervise(command)
}

#[test]
fn a_killed_supervisor_finds_its_socket_again_with_everybody_who_waits_in_it() {
    let site = Site::new();
    let path = site.path().join("line");
    let mut systemd = Store::at(&path);
    let mut fetchd = activated(&site, &path, None, 0, &["--listen", "web=127.0.0.1:0"]);
    systemd.hears("READY=1");
    let address = fetchd.address();
    let service = fetchd.try_status().unwrap().service.generations[0].pid;
    assert_eq!(systemd.kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["web"]);

    fetchd.signal(Signal::KILL);
    assert_eq!(fetchd.wait_for_end().code(), None);
    wait_until("its service has drained", || !runs(service));
    // Nobody accepts; the socket is PID 1's alone.
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("the socket still listens");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        })
        .collect();

    let (_, kept) = systemd.kept.remove(0);
    let mut fetchd = activated(&site, &path, Some(kept), 1, &["--listen", "web=127.0.0.1:0"]);
    systemd.hears("READY=1");
    assert_eq!(fetchd.address(), address);
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_socket_that_comes_from_its_unit_and_from_the_store_is_one_socket() {
    let site = Site::new();
    let path = site.path().join("line");
    let mut systemd = Store::at(&path);
    let socket = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let mut fetchd = activated(&site, &path, Some(socket), 2, &[]);
    systemd.hears("READY=1");
    fetchd.address();
    assert_eq!(fetchd.try_status().unwrap().service.listeners.len(), 1);
    assert_eq!(systemd.kept.len(), 1);
    let service = fetchd.try_status().unwrap().service.generations[0].pid;
    let environment = fs::read_to_string(format!("/proc/{service}/environ")).unwrap();
    assert!(environment.split('\0').any(|pair| pair == "LISTEN_FDS=1"), "{environment}");
}

/// Whether it runs: one that is dead and waits for somebody to reap it does not.
fn runs(pid: u32) -> bool {
    is_alive(pid) && fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
