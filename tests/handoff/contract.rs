//! What a service is given, and whose word counts.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use fetchd::demo::{Fault, Trailer};

use crate::bench::{descriptors, environment, in_phase, load, ms, plain, restart, script, serves_from, settled, tcp};
use crate::site::{PATIENCE, Site, get, wait_until};

pub(crate) const ODD: &str = include_str!("odd.py");

#[test]
fn the_environment_is_the_contract_and_nothing_leaks() {
    let site = Site::new();
    let foreign = site.path().join("systemd");
    let _systemd = UnixDatagram::bind(&foreign).unwrap();
    let more = ["--ready-deadline", "41s", "--drain-deadline", "17s"];
    let variables = [
        ("KEPT", "yes"),
        ("FETCHD_LOG_LEVEL", "info"),
        ("FETCHD_KEY_PASSWORD", "secret"),
        ("NOTIFY_SOCKET", foreign.to_str().unwrap()),
        ("WATCHDOG_USEC", "60000000"),
        ("LISTEN_FDS", "3"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "other"),
        ("FDSTORE", "7"),
    ];
    let mut fetchd = site.run_with(&more, &variables);
    let address = fetchd.address();
    let (_, first) = serves_from(&mut fetchd, 1);
    let expected = |pid: u32, generation: u64, version: &str| {
        let program = site.program();
        let digest = site.record().confirmed.unwrap().sha256.to_string();
        [
            ("LISTEN_PID", pid.to_string()),
            ("LISTEN_FDS", "1".to_owned()),
            ("LISTEN_FDNAMES", "web".to_owned()),
            ("FETCHD_PROTO", "1".to_owned()),
            ("FETCHD_ROLE", "service".to_owned()),
            ("FETCHD_GENERATION", generation.to_string()),
            ("FETCHD_VERSION", version.to_owned()),
            ("FETCHD_DIGEST", digest),
            ("FETCHD_PROGRAM", program.display().to_string()),
            ("FETCHD_CONTROL_FD", "4".to_owned()),
            ("FETCHD_READY_MS", "41000".to_owned()),
            ("FETCHD_DRAIN_MS", "17000".to_owned()),
        ]
    };
    let ours = |name: &str| {
        ["FETCHD_", "LISTEN_", "NOTIFY_", "WATCHDOG_"].iter().any(|prefix| name.starts_with(prefix))
            || name == "FDSTORE"
    };
    let check = |pid: u32, expected: &[(&str, String)]| {
        let mut found = environment(pid);
        assert_eq!(found["KEPT"], "yes", "what is not ours is passed on");
        assert!(found.remove("NOTIFY_SOCKET").unwrap().starts_with("@fetchd/"));
        found.retain(|name, _| ours(name));
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(found, expected);
    };

    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    let (_, second) = serves_from(&mut fetchd, 2);
    check(second, &expected(second, 2, "1.1.0"));
    restart(&fetchd);
    let (_, third) = serves_from(&mut fetchd, 3);
    assert!(third != second && second != first);
    check(third, &expected(third, 3, "1.1.0"));
    let digest = expected(third, 3, "1.1.0")[7].1.clone();
    let sum = fetchd::digest::Sha256::of(&std::fs::read(site.program()).unwrap());
    assert_eq!(sum.to_string(), digest, "the digest is that of the file that runs");
    // The library has taken everything away from whatever the service starts.
    let told = get(address, "/env").unwrap();
    assert!(told.contains(r#""left":[]"#), "{told}");
}

#[test]
fn the_first_generation_knows_its_version_and_digest() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    fetchd.address();
    let (_, first) = serves_from(&mut fetchd, 1);
    let found = environment(first);
    let sum = fetchd::digest::Sha256::of(&std::fs::read(site.program()).unwrap());
    assert_eq!(found["FETCHD_DIGEST"], sum.to_string());
    assert_eq!((found["FETCHD_GENERATION"].as_str(), found["LISTEN_PID"].as_str()), ("1", first.to_string().as_str()));
}

#[test]
fn a_service_has_the_expected_descriptors_and_no_other() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let more = ["--listen", "web=127.0.0.1:0", "--listen", "admin=127.0.0.1:0"];
    let mut fetchd = site.supervise(plain(&site, &more, &program, &[]));
    serves_from(&mut fetchd, 1);
    for _ in 0..2 {
        restart(&fetchd);
    }
    let (_, pid) = settled(&mut fetchd);
    wait_until("it does nothing any more", || descriptors(pid).len() == 7);
    let found = descriptors(pid);
    // 3 and 4 listen, 5 is the control descriptor, 6 keeps the pipe of stderr alive.
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6], "{found:?}");
    for number in [3, 4, 5] {
        assert!(found[&number].starts_with("socket:"), "{found:?}");
    }
    let held = descriptors(fetchd.pid());
    assert!(held.values().any(|what| *what == found[&3]) && held.values().any(|what| *what == found[&4]));
    assert!(held.values().all(|what| *what != found[&5]), "the far end of the control pair is the service's alone");
    assert!(found[&2].starts_with("pipe:") && found[&2] == found[&6], "{found:?}");
    // The old ones and this one had the same two listening sockets.
    assert_eq!(held.values().filter(|what| **what == found[&3]).count(), 1, "{held:?}");
}

#[test]
fn the_word_of_a_stranger_does_not_count() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let mut fetchd = site.supervise(plain(&site, &[], &program, &["never-ready"]));
    let status = fetchd.wait("it starts", |s| !in_phase(s, "starting").is_empty());
    let (_, pid) = in_phase(&status, "starting")[0];
    wait_until("it runs", || !crate::bench::lines(&site.path().join("heard")).is_empty());
    let name = environment(pid)["NOTIFY_SOCKET"].clone();
    // This process is no descendant of the service, though of the same user and even its grandparent.
    let socket = UnixDatagram::unbound().unwrap();
    socket
        .send_to_addr(b"READY=1\nSTATUS=forged", &SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap())
        .unwrap();
    wait_until("the stranger is noticed", || fetchd.log().contains("notify.stranger"));
    let status = fetchd.try_status().unwrap();
    assert_eq!(in_phase(&status, "starting").len(), 1, "{status:?}");
    assert_eq!(status.service.generations[0].status, None);
}

#[test]
fn the_word_of_a_descendant_counts() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let mut fetchd = site.supervise(plain(&site, &[], &program, &["child-ready"]));
    assert_eq!(serves_from(&mut fetchd, 1).0, 1);
}

#[test]
fn a_release_that_refuses_to_take_over_is_sent_away_and_a_later_one_is_taken() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let load = load(tcp(address), 2, 2);
    let (_, old) = settled(&mut fetchd);
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::Reject));
    fetchd.wait_for_event("handoff.failed", "handoff.rejected");
    let (number, serving) = settled(&mut fetchd);
    assert_eq!((number, serving), (1, old), "the old one was told nothing");
    let kept = &site.record().quarantine;
    assert_eq!((kept.len(), kept[0].code.as_str()), (1, "handoff.rejected"));
    assert!(kept[0].reason.contains("the state on disk is from a later version"), "{}", kept[0].reason);
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
    load.wait_for_version("1.2.0", PATIENCE).unwrap();
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert!(!report.saw("1.1.0") && report.elapsed > ms(0));
}
