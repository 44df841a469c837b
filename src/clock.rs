//! Wall-clock time as it stands in files: whole seconds, RFC 3339, UTC; and steady time as one program leaves it to the next.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// What the machine's clock says. A clock before 1970 reads as 1970.
    pub fn now() -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }

    /// This time moved on by `by`.
    pub fn plus(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(by.as_secs()))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The formatter rejects what lies beyond the year 9999.
        let seconds = self.0.min(253_402_300_799);
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).fmt(f)
    }
}

/// The text is not an RFC 3339 time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-22T14:30:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Timestamp, NotATime> {
        let time = humantime::parse_rfc3339(text).map_err(|_| NotATime)?;
        Ok(Timestamp(time.duration_since(UNIX_EPOCH).map_err(|_| NotATime)?.as_secs()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An [`Instant`] that another program of the same boot can read: nanoseconds of the kernel's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Steady(u64);

impl Steady {
    /// The same moment.
    pub fn of(instant: Instant) -> Steady {
        let now = Instant::now();
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (ahead, behind) = (instant.saturating_duration_since(now), now.saturating_duration_since(instant));
        Steady(monotonic().saturating_add(nanos(ahead)).saturating_sub(nanos(behind)))
    }

    /// The same moment. One that lies before what an [`Instant`] can hold is now.
    pub fn instant(self) -> Instant {
        let (now, clock) = (Instant::now(), monotonic());
        let moved = match self.0.checked_sub(clock) {
            Some(ahead) => now.checked_add(Duration::from_nanos(ahead)),
            None => now.checked_sub(Duration::from_nanos(clock - self.0)),
        };
        moved.unwrap_or(now)
    }
}

fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither part of it is ever negative on this clock.
    now.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_time_is_the_instant_it_was_made_of() {
        let now = Instant::now();
        for instant in [now, now + Duration::from_secs(90), now.checked_sub(Duration::from_secs(5)).unwrap_or(now)] {
            // On a busy machine something else may run between two looks at the clocks.
            let apart = (0..20).map(|_| {
                let back = Steady::of(instant).instant();
                back.saturating_duration_since(instant).max(instant.saturating_duration_since(back))
            });
            let least = apart.min().unwrap();
            assert!(least < Duration::from_millis(50), "{least:?}");
        }
    }
}
