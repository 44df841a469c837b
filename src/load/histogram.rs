//! Latencies in bounded memory.

use std::time::Duration;

/// Counts of latencies in buckets of one sixteenth of their value; the longest is kept exactly.
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    longest: Duration,
}

/// Buckets per power of two.
const PARTS: u64 = 16;
const BUCKETS: usize = 64 * PARTS as usize;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: Box::new([0; BUCKETS]), count: 0, longest: Duration::ZERO }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("longest", &self.longest)
            .finish()
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
        self.longest = self.longest.max(latency);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly; zero without any.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The latency that the share `part` (0 to 1) of all did not exceed, at most 7 % too high.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part.clamp(0.0, 1.0)).ceil() as u64;
        let mut counted = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            counted += count;
            if counted >= wanted && counted > 0 {
                return Duration::from_micros(upper(index)).min(self.longest);
            }
        }
        Duration::ZERO
    }
}

fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2());
    // The four bits below the highest one.
    let part = (micros >> (power - 4)) & (PARTS - 1);
    ((power - 3) * PARTS + part) as usize
}

/// The highest value of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < PARTS {
        return index;
    }
    let power = index / PARTS + 3;
    let low = (1u64 << power) + ((index % PARTS) << (power - 4));
    low + ((1u64 << (power - 4)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close_and_the_longest_is_exact() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        let p50 = histogram.quantile(0.5).as_micros();
        assert!((5_000..=5_350).contains(&p50), "{p50}");
        assert_eq!(histogram.longest(), Duration::from_micros(10_000));
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn every_value_falls_into_a_bucket_that_holds_it() {
        for micros in (0..2_000).chain([u64::from(u32::MAX), u64::MAX / 2, u64::MAX]) {
            let index = bucket(micros);
            assert!(index < BUCKETS && upper(index) >= micros, "{micros}");
            assert!(index == 0 || upper(index - 1) < micros, "{micros}");
        }
    }
}
