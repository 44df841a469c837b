//! What time it is, for somebody who trusts neither his own clock nor the bucket's alone.

use crate::clock::Timestamp;

/// A host's clock beside that of the store.
///
/// Whether something may begin is asked of the earlier of the two, whether something has expired of the later: a
/// clock that is wrong delays a rollout and speeds nothing up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What this machine says.
    pub local: Timestamp,
    /// By how many seconds the store is ahead of it, as far as an answer has told.
    pub ahead: Option<i64>,
}

impl Clock {
    /// A clock that nobody has compared yet.
    pub fn local(local: Timestamp) -> Clock {
        Clock { local, ahead: None }
    }

    /// The store's time now: the local one where nothing is known.
    pub fn store(self) -> Timestamp {
        let ahead = self.ahead.unwrap_or(0);
        Timestamp(self.local.0.saturating_add_signed(ahead))
    }

    /// The time to ask "may this begin?" with.
    pub fn earlier(self) -> Timestamp {
        self.local.min(self.store())
    }

    /// The time to ask "has this expired?" with.
    pub fn later(self) -> Timestamp {
        self.local.max(self.store())
    }

    /// Whether the two are further apart than [`Clock::TOLERATED`].
    pub fn is_off(self) -> bool {
        self.ahead.is_some_and(|ahead| ahead.unsigned_abs() > Clock::TOLERATED)
    }

    /// How far apart the two may be, in seconds, before it is reported.
    pub const TOLERATED: u64 = 300;

    /// The same clock after an answer with the store's time `date` in it.
    #[must_use]
    pub fn told(self, date: Option<Timestamp>) -> Clock {
        let Some(date) = date else { return self };
        #[allow(clippy::cast_possible_wrap, reason = "seconds since 1970")]
        let ahead = date.0 as i64 - self.local.0 as i64;
        Clock { ahead: Some(ahead), ..self }
    }
}

/// A share of so many seconds, in whole ones.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
pub(super) fn part(share: f64, of: u64) -> u64 {
    (share * of as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_never_hastens_anything() {
        let clock = Clock::local(Timestamp(1_000_000));
        assert_eq!((clock.earlier(), clock.later(), clock.is_off()), (clock.local, clock.local, false));
        let fast = clock.told(Some(Timestamp(1_000_000 - 86_400)));
        assert_eq!((fast.earlier(), fast.later(), fast.is_off()), (Timestamp(913_600), Timestamp(1_000_000), true));
        let slow = clock.told(Some(Timestamp(1_000_200)));
        assert_eq!((slow.earlier(), slow.later(), slow.is_off()), (Timestamp(1_000_000), Timestamp(1_000_200), false));
        assert_eq!(slow.told(None), slow);
    }
}
