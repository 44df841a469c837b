//! `Updater` and `Upgrader` together: a server that updates itself, in one process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use fetchd::demo::{Fault, Trailer};
use rustix::process::Signal;

use crate::bench::{Clients, Embed, said};
use crate::processes::{Leftovers, runs, signal};
use crate::site::wait_until;

/// The server and every successor of it. Dropping it ends them all.
struct Chain {
    first: Child,
    pid_file: PathBuf,
    seen: Leftovers,
}

impl Chain {
    fn start(embed: &Embed) -> (Chain, SocketAddr) {
        let pid_file = embed.site.path().join("one-process.pid");
        let file = pid_file.to_str().unwrap();
        let mut command = embed.command(&["127.0.0.1:0", file, "300"]);
        let mut first = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listens on ").unwrap().parse().unwrap();
        let seen = Leftovers(vec![first.id()]);
        let mut chain = Chain { first, pid_file, seen };
        wait_until("it serves", || chain.pid().is_some());
        (chain, address)
    }

    /// The process that serves, by the PID file.
    fn pid(&mut self) -> Option<u32> {
        let pid = fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        if !self.seen.0.contains(&pid) {
            self.seen.0.push(pid);
        }
        Some(pid)
    }

    #[track_caller]
    fn wait_for_version(&mut self, address: SocketAddr, version: &str) {
        wait_until(&format!("{version} serves"), || self.pid().is_some() && said(address, "version") == version);
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.pid();
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

#[test]
fn one_process_updates_itself_and_hands_over_and_no_request_is_lost() {
    let embed = Embed::of("one-process");
    embed.publish(&Trailer::version("1.0.0"));
    let (mut chain, address) = Chain::start(&embed);
    assert_eq!(said(address, "version"), "1.0.0");
    let clients = Clients::start(address);
    for version in ["2.0.0", "3.0.0"] {
        let before = chain.pid().unwrap();
        let published = embed.publish(&Trailer::version(version));
        chain.wait_for_version(address, version);
        wait_until("it is confirmed", || embed.site.record().confirmed.is_some_and(|c| c.sha256 == published));
        assert_eq!(embed.at_path(), published);
        assert_ne!(chain.pid().unwrap(), before);
    }
    // One that does not take over: the file is put back, the process serves on, and the next one is taken.
    let serves = chain.pid().unwrap();
    let good = embed.at_path();
    embed.publish(&Trailer::version("4.0.0").with_fault(Fault::ExitBeforeReady));
    wait_until("it is given up", || embed.site.happened("handoff.failed", "handoff.rejected"));
    wait_until("the file is put back", || embed.at_path() == good);
    assert_eq!((said(address, "version").as_str(), chain.pid().unwrap()), ("3.0.0", serves));
    let last = embed.publish(&Trailer::version("5.0.0"));
    chain.wait_for_version(address, "5.0.0");
    // Until then the process before it would take over again.
    wait_until("it is confirmed", || embed.site.record().confirmed.is_some_and(|c| c.sha256 == last));
    clients.stop();
    let last = chain.pid().unwrap();
    signal(last, Signal::TERM);
    wait_until("it ends", || !runs(last));
    assert_eq!(fs::read_to_string(&chain.pid_file).unwrap().trim(), last.to_string());
}
