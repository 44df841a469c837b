//! The steps of a change, each a place where a test pulls the plug.
//!
//! [`Checkpoint`](crate::checkpoint::Checkpoint) marks the places at which tests kill a real process; these lie
//! closer together. Outside tests a step does nothing.

/// A step that has just been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    MetadataCarried,
    JournalWritten,
    PreviousMoved,
    PreviousKept,
    ReleasePlaced,
    Renamed,
    Synced,
    UnconfirmedWritten,
    ConfirmWritten,
    RollBackWritten,
    Restored,
    Tidied,
}

impl Step {
    #[cfg(test)]
    pub(super) const ALL: [Step; 12] = [
        Step::MetadataCarried,
        Step::JournalWritten,
        Step::PreviousMoved,
        Step::PreviousKept,
        Step::ReleasePlaced,
        Step::Renamed,
        Step::Synced,
        Step::UnconfirmedWritten,
        Step::ConfirmWritten,
        Step::RollBackWritten,
        Step::Restored,
        Step::Tidied,
    ];

    #[inline]
    pub(super) fn done(self) {
        #[cfg(test)]
        plug::reached(self);
    }
}

#[cfg(test)]
pub(super) mod plug {
    use std::cell::RefCell;

    use super::Step;

    type Event = Box<dyn FnOnce()>;

    thread_local! {
        static NEXT: RefCell<Option<(Step, Event)>> = const { RefCell::new(None) };
    }

    /// Runs `change`, and in its middle, after the first `step`, `event`.
    pub(crate) fn meanwhile<T>(step: Step, event: impl FnOnce() + 'static, change: impl FnOnce() -> T) -> T {
        NEXT.set(Some((step, Box::new(event))));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        NEXT.set(None);
        outcome.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    }

    /// Runs `change` and ends it as a power cut after `step` would: nothing after that step happens.
    /// `None` if the power was cut.
    pub(crate) fn cut_after<T>(step: Step, change: impl FnOnce() -> T) -> Option<T> {
        struct PowerCut;
        let cut = || std::panic::resume_unwind(Box::new(PowerCut));
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(step, cut, change))) {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<PowerCut>() => None,
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }

    pub(super) fn reached(step: Step) {
        let next = NEXT.take();
        match next {
            Some((at, event)) if at == step => event(),
            other => NEXT.set(other),
        }
    }
}
