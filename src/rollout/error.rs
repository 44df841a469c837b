//! Why an operator's change was not made.

use super::view::Halted;
use crate::failure::{Exit, Failure};
use crate::fleet::store::Trouble;
use crate::publish::PublishError;
use crate::trust::Refused;

/// A change that was not made, or a look that failed. Nothing was written unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// A document is not what it should be, a key not one that may sign, or a plan faster than its bounds.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Signing or publishing failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// There is no rollout.
    #[error("there is no rollout at `{key}` yet")]
    NoRollout {
        /// Where its head would be.
        key: String,
    },
    /// There is no such release in the bucket.
    #[error("there is no release `{release}` at `{key}`")]
    NoRelease {
        /// The release.
        release: String,
        /// Where its manifest would be.
        key: String,
        /// One that is there, and was probably meant.
        near: Option<String>,
    },
    /// What was named is nobody that was ever seen.
    #[error("{message}")]
    Unseen {
        /// What.
        message: String,
        /// What was probably meant.
        hint: String,
    },
    /// Somebody else has changed the rollout since it was read.
    #[error("the rollout was changed meanwhile: it was read as state {read}, and {now} is there now")]
    Changed {
        /// The number of the state that was read; 0 = there was none.
        read: u64,
        /// What is there now.
        now: String,
    },
    /// The store did not answer.
    #[error("`{key}` could not be {doing}: {trouble}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// Where.
        key: String,
        /// What the store said.
        trouble: Trouble,
    },
    /// The store did not say whether it has written, and cannot be asked.
    #[error("it is not known whether `{key}` was written")]
    Unconfirmed {
        /// Where.
        key: String,
    },
    /// The rollout is in a state in which this cannot be done.
    #[error("{message}")]
    Phase {
        /// Why.
        message: String,
        /// What can be done instead.
        hint: String,
    },
    /// The rollout has halted, and nobody has said that he has seen it.
    #[error("the rollout has halted: `{key}` is there")]
    Latched {
        /// The latch.
        key: String,
        /// Its digest.
        sha256: String,
    },
    /// The halt that was acknowledged is not the one that is there.
    #[error("`{given}` is not the halt that is there: {there}")]
    OtherLatch {
        /// What was named.
        given: String,
        /// What is there.
        there: String,
    },
    /// The offline key has not listed this way back.
    #[error("`{from}` may not be rolled back to {to}: its signed bounds do not list it")]
    NotAWayBack {
        /// The running release.
        from: String,
        /// The version that was asked for.
        to: String,
    },
    /// A plan, a bound or another thing that was asked for makes no sense.
    #[error("{message}")]
    Asked {
        /// Why.
        message: String,
        /// How to say it.
        hint: String,
    },
}

impl RolloutError {
    pub(super) fn asked(message: impl Into<String>, hint: impl Into<String>) -> RolloutError {
        RolloutError::Asked { message: message.into(), hint: hint.into() }
    }

    pub(super) fn phase(message: impl Into<String>, hint: impl Into<String>) -> RolloutError {
        RolloutError::Phase { message: message.into(), hint: hint.into() }
    }
}

impl Failure for RolloutError {
    fn code(&self) -> &'static str {
        match self {
            RolloutError::Refused(refused) => refused.code(),
            RolloutError::Publish(error) => error.code(),
            RolloutError::NoRollout { .. } => "fleet.no_rollout",
            RolloutError::NoRelease { .. } => "fleet.no_release",
            RolloutError::Unseen { .. } => "fleet.unseen",
            RolloutError::Changed { .. } => "fleet.changed_meanwhile",
            RolloutError::Store { .. } => "fleet.store",
            RolloutError::Unconfirmed { .. } => "fleet.unconfirmed",
            RolloutError::Phase { .. } => "fleet.phase",
            RolloutError::Latched { .. } => "fleet.halted",
            RolloutError::OtherLatch { .. } => "fleet.other_halt",
            RolloutError::NotAWayBack { .. } => "fleet.not_a_way_back",
            RolloutError::Asked { .. } => "fleet.usage",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            RolloutError::Refused(refused) => refused.exit(),
            RolloutError::Publish(error) => error.exit(),
            RolloutError::Changed { .. } => Exit::Locked,
            RolloutError::Store { .. } | RolloutError::Unconfirmed { .. } => Exit::Unreachable,
            RolloutError::Latched { .. } | RolloutError::OtherLatch { .. } => Exit::Stale,
            RolloutError::NotAWayBack { .. } => Exit::Trust,
            RolloutError::NoRollout { .. }
            | RolloutError::NoRelease { .. }
            | RolloutError::Unseen { .. }
            | RolloutError::Phase { .. }
            | RolloutError::Asked { .. } => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RolloutError::Refused(refused) => refused.hint(),
            RolloutError::Publish(error) => error.hint(),
            RolloutError::NoRollout { .. } => Some(
                "`fetchd fleet start` begins one; store, product and channel must be those that it was begun with"
                    .to_owned(),
            ),
            RolloutError::NoRelease { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            RolloutError::NoRelease { .. } => {
                Some("`fetchd fleet releases` lists those that are there; `fetchd fleet publish` adds one".to_owned())
            }
            RolloutError::Changed { .. } => {
                Some("look at what is there (`fetchd fleet status`) and run this again if it is still right".to_owned())
            }
            RolloutError::Store { .. } => Some("nothing was written; run it again".to_owned()),
            RolloutError::Unconfirmed { .. } => {
                Some("look at what is there (`fetchd fleet status`) before anything else".to_owned())
            }
            RolloutError::Latched { sha256, .. } => Some(format!(
                "find out why (`fetchd fleet hosts --state bad`), then name it: `fetchd fleet resume --ack {}`",
                Halted::short(sha256)
            )),
            RolloutError::OtherLatch { .. } => {
                Some("`fetchd fleet status` shows the halt; look at it before it is acknowledged".to_owned())
            }
            RolloutError::NotAWayBack { .. } => Some(
                "the offline key says what may go back to what: publish a release with `--rollback-to VERSION`"
                    .to_owned(),
            ),
            RolloutError::Phase { hint, .. } | RolloutError::Asked { hint, .. } | RolloutError::Unseen { hint, .. } => {
                Some(hint.clone())
            }
        }
    }
}
