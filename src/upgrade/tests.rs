//! Who may upgrade when, without a process: the rest is in `tests/upgrader`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;

use super::phase::Phase;
use super::*;

/// A process whose program is not there.
fn process(before: Option<Before>, after: Option<After>) -> Upgrader {
    let (orders, program) = channel::pair().unwrap();
    let options = Options {
        ready_deadline: Duration::from_secs(20),
        drain_deadline: Duration::from_secs(20),
        pause: Duration::ZERO,
        pid_file: None,
        before,
        after,
    };
    let shared = Shared {
        options,
        program: Program { path: "/nonexistent/app".into(), argv: vec!["app".into()], cwd: "/".into() },
        environment: Environment::default(),
        generation: 1,
        refusal: None,
        notify: Notify::default(),
        kept: Mutex::default(),
        elsewhere: Arc::default(),
        control: Mutex::new(Control::new(program)),
        orders: Some(orders),
        stage: Stage::new().unwrap(),
        parent: Mutex::default(),
        ancestors: Mutex::default(),
        signals: Mutex::new(Some(signals::Signals::listen(&[]).unwrap())),
    };
    Upgrader { shared: Arc::new(shared) }
}

fn code(upgrader: &Upgrader) -> &'static str {
    upgrader.upgrade().unwrap_err().code()
}

#[test]
fn only_a_process_that_serves_upgrades_and_one_upgrade_at_a_time() {
    let upgrader = process(None, None);
    assert_eq!(code(&upgrader), "upgrade.too_early");
    upgrader.ready().unwrap();
    assert!(matches!(upgrader.ready(), Err(ReadyError::Twice)));
    assert_eq!(code(&upgrader), "upgrade.exec");
    let claim = upgrader.shared.claim().unwrap();
    assert_eq!(code(&upgrader), "upgrade.busy");
    upgrader.shared.pause().unwrap();
    assert!(upgrader.has_handed_over());
    assert_eq!(code(&upgrader), "upgrade.busy");
    drop(claim);
    assert!(!upgrader.has_handed_over());
    assert_eq!(code(&upgrader), "upgrade.exec");
    upgrader.stop();
    upgrader.stop();
    assert_eq!(code(&upgrader), "upgrade.leaving");
    let control = upgrader.control().unwrap();
    let orders: Vec<_> = std::iter::from_fn(|| control.try_next().ok()).collect();
    use crate::service::Message::{Drain, Pause, Resume};
    assert_eq!(orders, [Pause, Resume, Drain(Some(Duration::from_secs(20)))]);
}

#[test]
fn hooks_hear_of_every_attempt_and_one_that_panics_ends_only_its_own() {
    let (attempts, outcomes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (attempt, outcome) = (Arc::clone(&attempts), Arc::clone(&outcomes));
    let before = move || match attempt.fetch_add(1, Ordering::SeqCst) {
        0 => Err("the disk is full".to_owned()),
        1 => panic!("a defect of the hook's"),
        _ => Ok(()),
    };
    let after = move |found: &Result<Upgraded, UpgradeError>| lock(&outcome).push(found.as_ref().unwrap_err().code());
    let upgrader = process(Some(Box::new(before)), Some(Box::new(after)));
    upgrader.ready().unwrap();
    let vetoed = upgrader.upgrade().unwrap_err();
    assert_eq!(vetoed.to_string(), "the hook before the upgrade refused: the disk is full");
    catch_unwind(AssertUnwindSafe(|| upgrader.upgrade())).unwrap_err();
    assert_eq!(*upgrader.shared.stage.phase(), Phase::Serving);
    assert_eq!(code(&upgrader), "upgrade.exec");
    assert_eq!(*lock(&outcomes), ["upgrade.vetoed", "upgrade.exec"]);
}

#[test]
fn descriptors_that_nobody_asks_for_end_with_ready() {
    let upgrader = process(None, None);
    let (one, other) = rustix::pipe::pipe().unwrap();
    upgrader.shared.kept().inherit("asked for", one);
    upgrader.shared.kept().inherit("not", other);
    upgrader.descriptor("asked for").unwrap();
    upgrader.ready().unwrap();
    upgrader.descriptor("asked for").unwrap();
    assert_eq!(upgrader.descriptor("not").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(matches!(upgrader.hand_on("a:b", upgrader.descriptor("asked for").unwrap()), Err(StartError::Name { .. })));
    let unknown = upgrader.listeners("web").unwrap_err();
    assert!(matches!(unknown, ListenError::NotPassed { name, .. } if name == "web"));
}
