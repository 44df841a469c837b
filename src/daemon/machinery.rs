//! The machinery of updates, and why there is none.

use std::fs::File;
use std::path::Path;

use super::{Outfit, setup, worker};
use crate::agent::{Line, Reopen, Wanted};
use crate::config::Config;
use crate::control;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::install::Install;
use crate::state::{StateError, Store};

/// What updates need, or why there are none.
#[derive(Debug)]
pub(super) struct Machinery {
    pub(super) line: Option<Line>,
    pub(super) off: Option<Reported>,
    pub(super) reopen: Option<Reopen>,
    /// Held for its lock where there is no source: two supervisors of one service are one too many.
    pub(super) store: Option<Store>,
}

/// What is wrong with the state or with the disk stops updates, never the service. The lock is not held then: `fetchd
/// state repair` needs it.
///
/// `resumed`: the service runs already, perhaps with this digest, and nothing that is wrong stops more than updates.
pub(super) fn machinery(
    config: &Config,
    wanted: Option<Wanted>,
    open: impl FnOnce() -> Result<Store, StateError>,
    resumed: Option<Option<Sha256>>,
    outfit: &Outfit,
) -> Result<Machinery, Reported> {
    let mut machinery = Machinery { line: None, off: None, reopen: None, store: None };
    let opened = open();
    if let Err(locked @ StateError::Locked { .. }) = opened {
        return Err(locked.into());
    }
    let Some(wanted) = wanted else {
        match opened {
            Ok(store) => machinery.store = Some(store),
            Err(e) => machinery.off = Some(updates_off(config, e.into())?),
        }
        return Ok(machinery);
    };
    let again = wanted.clone();
    let made = match opened {
        Ok(store) => {
            let make = |install: &Install| worker::worker_process(config, install);
            // With the store goes its lock.
            setup::line(config, wanted, store, make).map_err(|(_store, report)| report)
        }
        Err(e) => Err(e.into()),
    };
    match made {
        Ok(line) => machinery.line = Some(outfit.fitted(line)),
        Err(report) if resumed.is_some() || matches!(report.exit, Exit::State | Exit::Install) => {
            machinery.off = Some(if resumed.is_some() { report } else { updates_off(config, report)? });
            machinery.reopen = Some(reopen(config, again, resumed.flatten(), outfit.clone()));
        }
        Err(report) => return Err(report),
    }
    Ok(machinery)
}

/// Fails if another supervisor looks after this service: without a state to lock, its control socket tells. In a
/// directory that others can write to, nobody's word keeps the service from starting.
fn updates_off(config: &Config, report: Reported) -> Result<Reported, Reported> {
    if report.code != "state.unsafe"
        && let Some(pid) = control::supervisor(&config.place.state_dir)
    {
        return Err(StateError::Locked { path: config.place.state_dir.clone(), pid: Some(pid) }.into());
    }
    tracing::error!(event = "updates.off", code = report.code, "{}; updates are off, the service runs", report.message);
    Ok(report)
}

/// Makes the line later. The service was started from what lies at the program path now.
fn reopen(config: &Config, wanted: Wanted, serves: Option<Sha256>, outfit: Outfit) -> Reopen {
    let config = config.clone();
    let digest = |path: &Path| File::open(path).and_then(|mut file| Sha256::of_reader(&mut file)).ok().map(|of| of.0);
    let served = serves.or_else(|| digest(&config.program.path));
    Reopen::new(move || {
        let store = Store::open(&config.place.state_dir)?;
        let make = |install: &Install| worker::worker_process(&config, install);
        let line = setup::line(&config, wanted.clone(), store, make).map_err(|(_store, report)| report)?;
        let line = outfit.fitted(line);
        let found = line.install.startable(line.store.record())?;
        found.filter(|found| Some(*found.sha256()) == served).map(|found| (line, found)).ok_or_else(|| Reported {
            code: "program.changed".to_owned(),
            exit: Exit::Install,
            message: format!("what serves is not what lies at `{}`", config.program.path.display()),
            hint: Some("start fetchd again, and the service with it".to_owned()),
        })
    })
}
