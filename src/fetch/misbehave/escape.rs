//! What somebody would try who has taken the worker over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use fetchd_fetchers::Kind;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

use crate::fetch::failure::FetchFailure;
use crate::fetch::wire::{Reply, Request};

/// `escape SITE SOCKET SUPERVISOR SERVICE PORT`: tries everything, and answers with a failure that says how each
/// attempt went: `name=done` or `name=ERRNO`.
pub(super) fn tried(mode: &str, request: &Request) -> Option<Reply> {
    let words: Vec<&str> = mode.split(' ').collect();
    let ["escape", site, socket, supervisor, service, port] = words[..] else { return None };
    let site = Path::new(site);
    let private = site.join("srv/.fetchd/app");
    let (staging, custody, program) = (private.join("staging"), private.join("custody"), site.join("srv/app"));
    let state = site.join("state/state.json");
    let write = |path: &Path| OpenOptions::new().write(true).open(path).map(drop);
    let number = |text: &str| text.parse().ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput);
    let attempts: Vec<(&str, io::Result<()>)> = vec![
        ("read_shadow", fs::read("/etc/shadow").map(drop)),
        ("list_etc", fs::read_dir("/etc").map(drop)),
        ("list_state", fs::read_dir(site.join("state")).map(drop)),
        ("read_state", fs::read(&state).map(drop)),
        ("write_state", write(&state)),
        ("truncate_state", File::create(&state).map(drop)),
        ("list_custody", fs::read_dir(&custody).map(drop)),
        ("write_custody", fs::write(custody.join("evil"), "evil")),
        ("write_program", write(&program)),
        (
            "replace_program",
            fs::write(staging.join("evil"), "evil").and_then(|()| fs::rename(staging.join("evil"), &program)),
        ),
        ("remove_program", fs::remove_file(&program)),
        ("link_program", fs::hard_link(&program, staging.join("linked"))),
        ("write_staging", fs::write(staging.join("mine"), "mine")),
        ("symlink_staging", symlink("/etc/passwd", staging.join("pointer"))),
        ("socket_staging", UnixListener::bind(staging.join("socket")).map(drop)),
        ("control", UnixStream::connect(socket).map(drop)),
        ("execute", Command::new("/bin/sh").args(["-c", "exit 0"]).status().map(drop)),
        ("kill_service", number(service).map_err(Into::into).and_then(|pid| Ok(kill_process(pid, Signal::KILL)?))),
        ("look_into_supervisor", File::open(format!("/proc/{supervisor}/mem")).map(drop)),
        ("environment", fs::read(format!("/proc/{supervisor}/environ")).map(drop)),
        ("chroot", std::os::unix::fs::chroot("/")),
        ("raise_limit", raise()),
        ("wait_for_connections", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
        ("connect", port.parse().map_or(Ok(()), |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop))),
    ];
    let _ = request;
    let said: Vec<String> = attempts
        .into_iter()
        .map(|(name, result)| match result {
            Ok(()) => format!("{name}=done"),
            Err(error) => format!("{name}={}", error.raw_os_error().unwrap_or(-1)),
        })
        .collect();
    let message = said.join(" ");
    Some(Reply::Failed(FetchFailure::Source { kind: Kind::Other, message, retry_after: None }))
}

fn raise() -> io::Result<()> {
    let limit = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
    Ok(setrlimit(Resource::Core, limit)?)
}
