//! Signals that begin an upgrade.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGUSR2};

use super::{Shared, Trigger};

/// The signals, heard from now on and acted upon once [`obey`](Signals::obey) runs. One that comes during an upgrade is
/// acted upon after it, several as one.
#[derive(Debug)]
pub(super) struct Signals(Option<signal_hook::iterator::Signals>);

impl Signals {
    pub(super) fn listen(triggers: &[Trigger]) -> io::Result<Signals> {
        let number = |trigger: &Trigger| match trigger {
            Trigger::Usr2 => SIGUSR2,
            Trigger::Hup => SIGHUP,
        };
        if triggers.is_empty() {
            return Ok(Signals(None));
        }
        signal_hook::iterator::Signals::new(triggers.iter().map(number)).map(Some).map(Signals)
    }

    /// Upgrades `shared` at each signal, on a thread of its own. The outcome goes to the log and to the hook.
    pub(super) fn obey(self, shared: Arc<Shared>) -> io::Result<()> {
        let Some(mut signals) = self.0 else { return Ok(()) };
        let obey = move || {
            for _ in signals.forever() {
                // The hook and the log have the outcome. A hook that panics has been heard on stderr, and must not
                // end the upgrades that come after it.
                let _ = catch_unwind(AssertUnwindSafe(|| shared.upgrade()));
            }
        };
        std::thread::Builder::new().name("fetchd-upgrade".to_owned()).spawn(obey).map(drop)
    }
}
