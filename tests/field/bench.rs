//! What the tests of this suite share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchd::control::{self, Line, Request, Status};
use fetchd::load::{Load, LoadPlan, Report, Target};
use fetchd::state::Store;

use crate::site::{PATIENCE, get};

/// A supervised service, as its supervisor shows it: the supervisor is the child of somebody else.
pub(crate) struct Service {
    state_dir: PathBuf,
}

impl Service {
    /// The one with this state directory.
    pub(crate) fn at(state_dir: &Path) -> Service {
        Service { state_dir: state_dir.to_owned() }
    }

    /// Its status, if it answers.
    pub(crate) fn status(&self) -> Option<Status> {
        match control::ask(&control::path(&self.state_dir), &Request::Status, PATIENCE, |_| {}) {
            Ok(Line::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// Waits until `what` holds of its status, and returns that status.
    #[track_caller]
    pub(crate) fn wait(&self, name: &str, what: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.status().filter(|status| what(status)) {
                return status;
            }
            assert!(Instant::now() < deadline, "never: {name}\nlast: {:#?}\n{:#?}", self.status(), self.history());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until generation `number` or a later one serves, and nothing is watched or drains.
    #[track_caller]
    pub(crate) fn settled(&self, number: u64) -> Status {
        self.wait(&format!("generation {number} serves, alone"), |status| match status.service.generations.as_slice() {
            [only] => only.phase == "serving" && only.generation >= number && !status.service.watching,
            _ => false,
        })
    }

    /// Waits until this version serves and is no longer watched.
    #[track_caller]
    pub(crate) fn wait_for_version(&self, version: &str) -> Status {
        self.wait(&format!("version {version} serves"), |status| {
            let settled = status.updates.version.as_deref() == Some(version) && !status.service.watching;
            settled && status.service.generations.iter().any(|g| g.phase == "serving")
        })
    }

    /// Waits until one more generation may drain without a fifth costing the oldest its requests.
    #[track_caller]
    pub(crate) fn room_to_drain(&self) {
        self.wait("there is room to drain", |status| status.service.generations.len() <= 4);
    }

    /// Waits until it serves; the address of its first listener.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        let status = self.wait("it serves", |status| status.service.generations.iter().any(|g| g.phase == "serving"));
        status.service.listeners[0].1.parse().unwrap()
    }

    /// `fetchd restart`, to its end.
    #[track_caller]
    pub(crate) fn restart(&self) {
        match control::ask(&control::path(&self.state_dir), &Request::Restart, PATIENCE, |_| {}) {
            Ok(Line::Answer(answer)) => assert_eq!(answer.outcome, "restarted", "{answer:#?}"),
            other => panic!("{other:?}"),
        }
    }

    /// What happened.
    pub(crate) fn history(&self) -> Vec<fetchd::state::Event> {
        Store::read_only(&self.state_dir).and_then(|store| store.history(usize::MAX)).unwrap_or_default()
    }
}

/// Clients of both kinds.
pub(crate) fn load(address: SocketAddr, fresh: usize, keep_alive: usize) -> Load {
    Load::start(LoadPlan { fresh, keep_alive, ..LoadPlan::new(Target::Tcp(address)) }).unwrap()
}

/// Every request was answered, and there were some.
#[track_caller]
pub(crate) fn nothing_lost(report: &Report) {
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert!(report.totals.requests > 0, "{:?}", report.totals);
}

/// How many descriptors the demo service has open, the connection that asks included.
#[track_caller]
pub(crate) fn open_descriptors(address: SocketAddr) -> usize {
    let answer = get(address, "/fds").unwrap();
    answer.rsplit_once("\r\n\r\n").unwrap().1.trim().parse().unwrap()
}
