//! What was going on goes on.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fetchd::demo::Trailer;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::bench::{Orphan, gone, in_phase, ms, restart, script, serves_from, settled};
use crate::site::{FETCHD, Site, get, wait_until};
use crate::stand::{from_own_path, plain, refused, replace, try_replace};

/// Says that it is ready, and does not go when it is told to.
const STAYS: &str = r#"
import os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
address = os.environ["NOTIFY_SOCKET"]
to = "\0" + address[1:] if address.startswith("@") else address
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", to)
while True:
    time.sleep(3600)
"#;

#[test]
fn a_draining_generation_is_ended_at_its_deadline() {
    let site = Site::empty();
    let program = script(&site, "stays", STAYS);
    let mut fetchd = plain(&site, &["--drain-deadline", "4s"], &program, &[]);
    serves_from(&mut fetchd, 1);
    let (_, old) = settled(&mut fetchd);
    let begun = Instant::now();
    restart(&fetchd);
    replace(&fetchd);
    let status = fetchd.try_status().unwrap();
    assert_eq!(in_phase(&status, "draining").iter().map(|g| g.1).collect::<Vec<_>>(), [old], "{status:?}");
    gone(old);
    let took = begun.elapsed();
    assert!(took >= ms(4000) && took < Duration::from_secs(30), "it was ended after {took:?}");
    assert!(fetchd.log().contains("service.killed"));
    fetchd.signal(Signal::INT);
    fetchd.signal(Signal::INT);
    fetchd.wait_for_end();
}

#[test]
fn a_wait_after_a_crash_goes_on() {
    let site = Site::new();
    let mut fetchd = plain(&site, &["--crash-backoff", "6s"], &site.program(), &[]);
    let address = fetchd.address();
    let begun = Instant::now();
    let _ = get(address, "/exit?code=9");
    fetchd.wait("nothing serves", |status| status.service.generations.is_empty());
    replace(&fetchd);
    let replaced = begun.elapsed();
    assert_eq!(serves_from(&mut fetchd, 2).0, 2);
    let again = begun.elapsed();
    assert!(replaced < again && again >= ms(6000), "replaced after {replaced:?}, started after {again:?}");
    assert!(again < Duration::from_secs(30), "the wait began anew: {again:?}");
}

/// Says that it is ready, and then a number on each line of its stderr until it is told to stop.
const COUNTS: &str = r#"
import os, signal, socket, sys, time
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
address = os.environ["NOTIFY_SOCKET"]
to = "\0" + address[1:] if address.startswith("@") else address
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", to)
number = 0
while going:
    # In bursts: the one that copies them is to be in the middle of it when it is held up.
    for _ in range(40):
        os.write(2, b"line %d\n" % number)
        number += 1
    time.sleep(0.0005)
os.write(2, b"last %d\n" % number)
"#;

#[test]
fn no_byte_of_a_services_stderr_is_lost_or_doubled() {
    let site = Site::empty();
    let program = script(&site, "counts", COUNTS);
    let mut fetchd = plain(&site, &[], &program, &[]);
    serves_from(&mut fetchd, 1);
    for _ in 0..40 {
        replace(&fetchd);
    }
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
    let log = without_own_lines(&fetchd.log());
    let numbers: Vec<u64> = log.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    let last: u64 = log.lines().find_map(|line| line.strip_prefix("last ")?.parse().ok()).expect("it said good-bye");
    assert_eq!(numbers, (0..last).collect::<Vec<_>>());
    assert!(last > 20, "it wrote all the time");
}

/// What the service wrote: fetchd's own lines, which begin with a time, may stand in the middle of one.
fn without_own_lines(log: &str) -> String {
    let is_time = |text: &str| text.as_bytes().get(..11).is_some_and(|t| (t[4], t[7], t[10]) == (b'-', b'-', b'T'));
    let (mut kept, mut rest) = (String::new(), log);
    while let Some(next) = rest.chars().next() {
        if is_time(rest) {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else {
            kept.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    kept
}

#[test]
fn what_nobody_reads_is_not_thrown_away_for_a_replacement() {
    let site = Site::empty();
    let program = script(&site, "counts", COUNTS);
    let command = from_own_path(&site, &crate::bench::plain(&site, &[], &program, &[]));
    let mut fetchd = site.supervise_unread(command);
    let (number, service) = serves_from(&mut fetchd, 1);
    // The service writes on, and what is read of that has nowhere to go once the pipe is full.
    let mut looks = 0;
    wait_until("the thread that copies it waits", || {
        looks = if copies_in_vain(fetchd.pid()) { looks + 1 } else { 0 };
        looks == 20
    });
    refused(&fetchd, "replace.unread", 42, "is not taken");
    assert_eq!(serves_from(&mut fetchd, 1), (number, service));
}

/// Whether the thread that copies a service's stderr is in the middle of a write.
fn copies_in_vain(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let read = |task: &std::path::Path, what: &str| std::fs::read_to_string(task.join(what)).unwrap_or_default();
    let copies = |task: &std::path::Path| read(task, "comm").trim() == "stderr";
    // The number of the system call it is in comes first.
    let writes = format!("{} ", libc::SYS_write);
    tasks.map(|task| task.path()).filter(|task| copies(task)).any(|task| read(&task, "syscall").starts_with(&writes))
}

#[test]
fn the_lock_is_never_free() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    fetchd.address();
    let path = site.state_dir().join("lock");
    let (stop, tried) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let file = File::open(&path).unwrap();
                if flock(file.as_fd(), FlockOperation::NonBlockingLockShared).is_ok() {
                    return true;
                }
                tried.fetch_add(1, Ordering::Relaxed);
            }
            false
        });
        for _ in 0..20 {
            replace(&fetchd);
        }
        let run = crate::bench::plain(&site, &[], &site.program(), &[]);
        let second = Command::new(FETCHD).args(run.get_args()).stdin(Stdio::null()).output().unwrap();
        assert_eq!(second.status.code(), Some(75), "{second:?}");
        stop.store(true, Ordering::Relaxed);
        assert!(!taken.join().unwrap(), "somebody else could take the lock");
    });
    assert!(tried.load(Ordering::Relaxed) > 100);
}

#[test]
fn a_signal_sent_meanwhile_is_not_lost() {
    for delay in [0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 80] {
        let site = Site::new();
        let mut fetchd = plain(&site, &[], &site.program(), &[]);
        fetchd.address();
        std::thread::scope(|scope| {
            // It may be told that the supervisor is stopping, or hear nothing any more.
            scope.spawn(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fetchd_asks(&site))));
            std::thread::sleep(ms(delay));
            fetchd.signal(Signal::TERM);
        });
        assert_eq!(fetchd.wait_for_end().code(), Some(0), "after {delay} ms\n{}", fetchd.log());
    }
}

fn fetchd_asks(site: &Site) -> bool {
    let path = fetchd::control::path(&site.state_dir());
    fetchd::control::ask(&path, &fetchd::control::Request::ReplaceSupervisor, ms(20_000), |_| {}).is_ok()
}

#[test]
fn a_supervisor_that_was_replaced_and_is_killed_takes_its_service_along() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    fetchd.address();
    let (_, service) = settled(&mut fetchd);
    let _left = Orphan(service);
    replace(&fetchd);
    fetchd.signal(Signal::KILL);
    fetchd.wait_for_end();
    gone(service);
}

#[test]
fn updates_go_on_where_they_were() {
    let site = Site::new();
    let mut command = site.command("run", &["--jitter", "0", "--interval", "1h", "--watch", "200ms"]);
    command.args(["--listen", "web=127.0.0.1:0", "--"]).arg(site.program());
    let mut fetchd = site.supervise(from_own_path(&site, &command));
    let address = fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    assert!(fetchd.fetchd("apply", &[]).status.success());
    let before = fetchd.wait_for_version("1.1.0").updates;
    let poll = before.next_poll.expect("an hour from now");
    replace(&fetchd);
    let after = fetchd.wait("the agent is idle", |status| status.updates.doing == "idle").updates;
    assert_eq!((&after.version, &after.sha256, &after.last), (&before.version, &before.sha256, &before.last));
    let moved = after.next_poll.unwrap().since(poll).max(poll.since(after.next_poll.unwrap()));
    // One that began anew would come within half a minute.
    assert!(moved <= Duration::from_secs(60), "the next poll moved by {moved:?}");
    site.publish(&Trailer::version("1.2.0"));
    assert!(fetchd.fetchd("apply", &[]).status.success());
    fetchd.wait_for_version("1.2.0");
    assert!(fetchd.fetchd("rollback", &[]).status.success());
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
}

#[test]
fn a_watch_is_waited_for() {
    let site = Site::new();
    let mut fetchd = plain(&site, &["--watch", "3s"], &site.program(), &[]);
    fetchd.address();
    fetchd.signal(Signal::USR2);
    fetchd.wait("it is watched", |status| status.service.watching);
    let begun = Instant::now();
    try_replace(&fetchd).unwrap();
    assert!(begun.elapsed() >= ms(2000), "{:?}", begun.elapsed());
    assert!(fetchd.log().contains("service.restarted"), "the handoff came to its end first");
    assert_eq!(settled(&mut fetchd).0, 2);
}
