//! Signals to the supervisor.

use std::time::Instant;

use fetchd::demo::{Fault, Trailer};
use rustix::process::Signal;

use crate::bench::{gone, in_phase, lines, ms, plain, script, serves_from, settled};
use crate::contract::ODD;
use crate::site::{Site, get, text, wait_until};

#[test]
fn hup_and_usr1_reach_the_service_and_term_ends_both_with_its_code() {
    let site = Site::empty();
    let heard = site.path().join("heard");
    let program = script(&site, "odd", ODD);
    let mut fetchd = site.supervise(plain(&site, &[], &program, &[]));
    let (_, pid) = serves_from(&mut fetchd, 1);
    wait_until("it is up", || lines(&heard).contains(&format!("{pid} up")));
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        fetchd.signal(signal);
        wait_until(name, || lines(&heard).contains(&format!("{pid} {name}")));
    }
    assert_eq!(settled(&mut fetchd), (1, pid), "neither is a restart");
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(7));
    assert_eq!(lines(&heard).last().unwrap(), &format!("{pid} TERM"));
    gone(pid);
}

#[test]
fn usr2_restarts_and_what_comes_during_a_handoff_is_one_more() {
    let site = Site::new();
    let mut fetchd = site.run(&["--interval", "1h", "--watch", "1s"]);
    let address = fetchd.address();
    let (_, first) = settled(&mut fetchd);
    fetchd.signal(Signal::USR2);
    let (_, second) = serves_from(&mut fetchd, 2);
    assert_ne!(first, second);
    for _ in 0..10 {
        fetchd.signal(Signal::USR2);
        // Answered by a turn of the loop, which has taken the signal.
        assert!(fetchd.try_status().unwrap().service.watching, "the first handoff still runs");
    }
    // Carried out when everything that was asked before is done.
    let output = fetchd.fetchd("unhold", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let (last, pid) = settled(&mut fetchd);
    assert_eq!(last, 3, "ten triggers during a handoff are one follow-up");
    assert!(get(address, "/").unwrap().contains(&format!("\"pid\":{pid}")));
}

#[test]
fn a_second_int_kills() {
    let site = Site::empty();
    site.put(&site.program(), &Trailer::version("1.0.0").with_fault(Fault::NeverDrain));
    let mut fetchd = site.run(&["--drain-deadline", "10m"]);
    let (_, pid) = serves_from(&mut fetchd, 1);
    fetchd.signal(Signal::INT);
    fetchd.wait("it drains", |s| in_phase(s, "draining") == [(1, pid)]);
    let begun = Instant::now();
    fetchd.signal(Signal::INT);
    assert_eq!(fetchd.wait_for_end().code(), Some(128 + 9));
    assert!(begun.elapsed() < ms(20_000), "{:?}", begun.elapsed());
    gone(pid);
}

#[test]
fn a_drain_ends_at_its_deadline_by_force() {
    let site = Site::empty();
    site.put(&site.program(), &Trailer::version("1.0.0").with_fault(Fault::NeverDrain));
    let mut fetchd = site.run(&["--drain-deadline", "1s"]);
    let (_, pid) = serves_from(&mut fetchd, 1);
    let begun = Instant::now();
    fetchd.signal(Signal::TERM);
    // Once more is the same request, not a harder one.
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(128 + 9));
    assert!((ms(1000)..ms(15_000)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert!(fetchd.log().contains("service.killed"));
    gone(pid);
}
