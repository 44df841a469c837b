//! The floor, before the first poll: whatever became of the record, nothing below what can be proved is accepted.

use crate::agent::Wanted;
use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::state::{Event, Record, StateError, Store};
use crate::trust::{self, KeySet, Trust};

/// Raises the record to the provisioned floor and to what `last.bundle` proves; lowers nothing.
///
/// A bundle above the record means that somebody set the record back, or took it away: that is logged and written to the
/// history as `state.floor_edited`. A bundle that cannot be read or whose signature does not hold is ignored, as
/// `state.last_bundle`: the keys may have changed since.
pub(super) fn establish(store: &mut Store, wanted: &Wanted, provisioned: Option<(u64, u64)>) -> Result<(), StateError> {
    if store.is_new() {
        note(store, Event::new(Timestamp::now(), "state.new").message("there was no record; it begins now"));
    }
    if let Some(floor) = provisioned
        && store.update(|record| trust::provision(record, floor))?
    {
        let message = format!("the floor is raised to the provisioned {}", place(floor));
        tracing::info!(event = "state.floor_provisioned", "{message}");
        note(store, Event::new(Timestamp::now(), "state.floor_provisioned").message(message));
    }
    match &wanted.trust {
        Trust::Bundle { keys, .. } => raise_to_bundle(store, keys, wanted),
        _ => Ok(()),
    }
}

/// What [`establish`] would make of a record, for those who only look.
pub(crate) fn established(
    record: &Record,
    bundle: Option<&[u8]>,
    wanted: &Wanted,
    provisioned: Option<(u64, u64)>,
) -> Record {
    let mut record = record.clone();
    if let Some(floor) = provisioned {
        trust::provision(&mut record, floor);
    }
    if let (Trust::Bundle { keys, .. }, Some(bundle)) = (&wanted.trust, bundle)
        && let Ok(proved) = trust::proved(bundle, keys, &wanted.expect)
    {
        proved.raise(&mut record);
    }
    record
}

fn raise_to_bundle(store: &mut Store, keys: &KeySet, wanted: &Wanted) -> Result<(), StateError> {
    let bundle = match store.last_bundle() {
        Ok(None) => return Ok(()),
        Ok(Some(bundle)) => bundle,
        Err(damaged) => {
            let report = Reported::of(&damaged);
            // Out of the way of the next one, and not lost to whoever wants to know how it came there.
            let moved = store.set_bundle_aside("damaged")?;
            return alarm(store, &report, format!("{}; it is now `{moved}`", report.message));
        }
    };
    let proved = match trust::proved(&bundle, keys, &wanted.expect) {
        Ok(proved) => proved,
        Err(refused) => {
            let report = Reported::of(&refused);
            let message = format!("`last.bundle` proves nothing: {}; were the keys changed?", report.message);
            return alarm(store, &report, message);
        }
    };
    let before = store.record().floor();
    let mut record = store.record().clone();
    if !proved.raise(&mut record) {
        return Ok(());
    }
    store.update(|kept| *kept = record)?;
    let message = format!(
        "`last.bundle` proves {}, the record says {}: somebody set it back or took it away; the floor is raised",
        place((proved.epoch, proved.seq)),
        place(before)
    );
    tracing::error!(event = "state.floor_edited", "{message}");
    note(store, Event::new(Timestamp::now(), "state.floor_edited").message(message));
    Ok(())
}

fn alarm(store: &Store, report: &Reported, message: String) -> Result<(), StateError> {
    tracing::warn!(event = "state.last_bundle", code = report.code, "{message}");
    note(store, Event::new(Timestamp::now(), "state.last_bundle").failure(report).message(message));
    Ok(())
}

fn note(store: &Store, event: Event) {
    // A history that cannot be written stops nothing.
    if let Err(e) = store.history().append(&event) {
        tracing::warn!(
            event = "history.unwritable",
            error = crate::failure::chain(&e),
            "a line of the history was lost"
        );
    }
}

/// A floor as people read it.
pub(crate) fn place((epoch, seq): (u64, u64)) -> String {
    if epoch == 0 { format!("number {seq}") } else { format!("epoch {epoch}, number {seq}") }
}
