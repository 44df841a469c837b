//! How a driver notices that fetchd is told to stop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A wish that is asked for once, by one thread, and noticed by another that waits for something else.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Asks. Whoever waits with [`Stop::wait`] wakes up.
    pub fn ask(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `at_most`, or until it is asked for; whether it was.
    pub fn wait(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*asked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            asked = self.0.1.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_woken() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::from_millis(1)));
        let asking = stop.clone();
        let thread = std::thread::spawn(move || asking.ask());
        assert!(stop.wait(Duration::from_secs(60)));
        thread.join().unwrap();
        assert!(stop.is_asked());
    }
}
