//! Whatever is wrong with a successor: the old process serves, and the next upgrade works.

use std::fs;

use fetchd::demo::{Fault, Trailer};
use fetchd::load::{Load, LoadPlan, Target};

use crate::chain::{Chain, put_bytes, site};
use crate::site::{PATIENCE, get, wait_until};

/// A way to be no good successor, how to make it, and the code of the outcome.
type Kind = (&'static str, fn(&Chain<'_>), &'static str);

/// Those that never accept a connection.
const KINDS: [Kind; 8] = [
    (
        "not executable",
        |c| put_bytes(&c.site.program(), &c.site.binary(&Trailer::version("2.0.0")), 0o644),
        "upgrade.exec",
    ),
    ("garbage", |c| put_bytes(&c.site.program(), &[0xa5; 200_000], 0o755), "upgrade.exec"),
    ("missing", |c| fs::remove_file(c.site.program()).unwrap(), "upgrade.exec"),
    (
        "of another machine",
        |c| {
            let mut bytes = c.site.binary(&Trailer::version("2.0.0"));
            // `e_machine`, to that of a SPARC.
            bytes[18..20].copy_from_slice(&2_u16.to_le_bytes());
            put_bytes(&c.site.program(), &bytes, 0o755);
        },
        "upgrade.exec",
    ),
    (
        "exits before it is ready",
        |c| c.deploy(&Trailer::version("2.0.0").with_fault(Fault::ExitBeforeReady)),
        "upgrade.exited",
    ),
    (
        "exits with success before it is ready",
        |c| c.deploy(&Trailer::version("2.0.0").with_fault(Fault::ExitZeroBeforeReady)),
        "upgrade.exited",
    ),
    ("hangs", |c| c.deploy(&Trailer::version("2.0.0").with_fault(Fault::NeverReady)), "upgrade.not_ready"),
    ("refuses", |c| c.deploy(&Trailer::version("2.0.0").with_fault(Fault::Reject)), "upgrade.rejected"),
];

/// Tries each kind, and a good successor after it.
fn try_each(kinds: &[Kind], chain: &Chain<'_>) {
    for (name, make, code) in kinds {
        let (pid, generation) = (chain.pid(), chain.generation());
        make(chain);
        let outcome = chain.upgrade();
        assert_eq!(outcome.split(':').next(), Some(*code), "{name}: {outcome}");
        assert_eq!((chain.pid(), chain.answering(), chain.generation()), (pid, pid, generation), "{name}");

        chain.deploy(&Trailer::version("1.0.0"));
        let successor = chain.switch();
        wait_until(&format!("the next upgrade works after: {name}"), || chain.answering() == successor);
        assert_eq!(chain.generation(), generation + 1, "{name}");
    }
}

#[test]
fn whatever_is_wrong_with_a_successor_the_old_process_serves_and_the_next_upgrade_works() {
    let site = site();
    let chain = Chain::start(&site, &["--ready-ms", "5000", "--pause-ms", "10000"]);
    let load = Load::start(LoadPlan {
        fresh: 2,
        keep_alive: 2,
        timeout: PATIENCE,
        ..LoadPlan::new(Target::Tcp(chain.address))
    })
    .unwrap();
    try_each(&KINDS, &chain);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
}

#[test]
fn a_successor_that_dies_right_after_it_took_over_is_replaced_by_its_parent() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "60000"]);
    let make: fn(&Chain<'_>) = |c| c.deploy(&Trailer::version("2.0.0").with_fault(Fault::CrashAtReady));
    try_each(&[("dies right after it took over", make, "upgrade.died")], &chain);
}

#[test]
fn a_successor_that_dies_while_it_is_watched_is_replaced_by_its_parent() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "60000"]);
    let pid = chain.pid();
    for number in 0..2 {
        chain.deploy(&Trailer::version("2.0.0").with_fault(Fault::CrashLater));
        let successor = chain.switch();
        wait_until("the successor answers", || chain.answering() == successor);
        assert!(get(chain.address, "/crash").unwrap_or_default().is_empty(), "it dies of it");
        let outcome = chain.outcome(pid, number);
        assert!(outcome.starts_with("upgrade.died: ") && outcome.ends_with("exit code 9"), "{outcome}");
        assert_eq!((chain.answering(), chain.pid(), chain.generation()), (pid, pid, 1));
    }
    chain.deploy(&Trailer::version("3.0.0"));
    let successor = chain.switch();
    wait_until("the next upgrade works", || chain.answering() == successor);
}

/// A successor that says `ready` and does not answer to `go`.
const DEAF: &str = r#"#!/usr/bin/env python3
import os, socket, time
line = socket.socket(fileno=int(os.environ["FETCHD_CONTROL_FD"]))
while line.recv(512) != b"begin":
    pass
line.send(b"ready")
time.sleep(120)
"#;

#[test]
fn a_successor_that_does_not_answer_to_go_is_killed_and_its_parent_accepts() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "60000"]);
    let pid = chain.pid();
    put_bytes(&site.program(), DEAF.as_bytes(), 0o755);
    let outcome = chain.upgrade();
    assert!(outcome.starts_with("upgrade.not_taken: "), "{outcome}");
    assert_eq!((chain.answering(), chain.pid()), (pid, pid));
    wait_until("the successor is killed and reaped", || crate::processes::children(pid).is_empty());
    chain.deploy(&Trailer::version("2.0.0"));
    let successor = chain.switch();
    wait_until("the next upgrade works", || chain.answering() == successor);
}
