//! Which requests meet a fault.

use super::request::{Operation, Request};

/// Which requests meet a fault: all of them, until it is narrowed.
///
/// ```
/// use fetchd_stand_ins::s3::{Operation, When};
///
/// // The second PutObject to a key below `fleet/`, and no other.
/// let when = When::any().operation(Operation::Put).prefix("fleet/").nth(2);
/// # let _ = when;
/// ```
#[derive(Debug, Clone, Default)]
pub struct When {
    operations: Vec<Operation>,
    bucket: Option<String>,
    key: Option<Key>,
    first: usize,
    times: Option<usize>,
    seen: usize,
}

#[derive(Debug, Clone)]
enum Key {
    Exactly(String),
    Below(String),
}

impl When {
    /// Every request.
    pub fn any() -> When {
        When { first: 1, ..When::default() }
    }

    /// Only this operation; given again, that one too.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> When {
        self.operations.push(operation);
        self
    }

    /// Only GetObject and HeadObject.
    #[must_use]
    pub fn reading(self) -> When {
        self.operation(Operation::Get).operation(Operation::Head)
    }

    /// Only requests to this bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: &str) -> When {
        self.bucket = Some(bucket.to_owned());
        self
    }

    /// Only this key.
    #[must_use]
    pub fn key(mut self, key: &str) -> When {
        self.key = Some(Key::Exactly(key.to_owned()));
        self
    }

    /// Only keys that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> When {
        self.key = Some(Key::Below(prefix.to_owned()));
        self
    }

    /// Only the first so many of those requests, or from [`When::from`] on so many.
    #[must_use]
    pub fn times(mut self, times: usize) -> When {
        self.times = Some(times);
        self
    }

    /// [`When::times`] with 1.
    #[must_use]
    pub fn once(self) -> When {
        self.times(1)
    }

    /// Only from the `nth` of those requests on, counted from 1.
    #[must_use]
    pub fn from(mut self, nth: usize) -> When {
        self.first = nth;
        self
    }

    /// Only the `nth` of those requests, counted from 1.
    #[must_use]
    pub fn nth(self, nth: usize) -> When {
        self.from(nth).once()
    }

    /// Whether `request` meets the fault; counts it if it is one of those meant.
    pub(super) fn meets(&mut self, request: &Request) -> bool {
        let key = match &self.key {
            None => true,
            Some(Key::Exactly(key)) => *key == request.key,
            Some(Key::Below(prefix)) => request.key.starts_with(prefix),
        };
        let meant = key
            && (self.operations.is_empty() || self.operations.contains(&request.operation))
            && self.bucket.as_ref().is_none_or(|bucket| *bucket == request.bucket);
        if !meant {
            return false;
        }
        self.seen += 1;
        self.seen >= self.first && self.times.is_none_or(|times| self.seen - self.first < times)
    }
}
