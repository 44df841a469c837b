//! What is known of the new file's addresses by the references already restored.

/// Slots that are looked at before a pair is given up; so a lookup's time is bounded.
const MOST_PROBES: usize = 32;

/// Old addresses and where they are now, in a table whose size the delta says.
///
/// Open addressing: the first slot is `address * 0x9e3779b1 mod 2^32`, scaled to the number of slots; the
/// next ones follow. A pair that finds no slot within [`MOST_PROBES`] is forgotten, on both sides alike.
#[derive(Debug)]
pub(super) struct Learned {
    /// `(old, new)`; an old address of 0 is a free slot.
    slots: Vec<(u32, u32)>,
    /// Pairs that are held.
    count: usize,
}

pub(super) fn memory(slots: u64) -> u64 {
    slots * size_of::<(u32, u32)>() as u64
}

impl Learned {
    pub(super) fn new(slots: usize) -> Learned {
        Learned { slots: vec![(0, 0); slots], count: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn probes(&self, old: u32) -> impl Iterator<Item = usize> + use<> {
        let length = self.slots.len();
        let first = ((u64::from(old.wrapping_mul(0x9e37_79b1)) * length as u64) >> 32) as usize;
        (0..MOST_PROBES.min(length)).map(move |step| {
            let slot = first + step;
            if slot >= length { slot - length } else { slot }
        })
    }

    pub(super) fn get(&self, old: u32) -> Option<u32> {
        for slot in self.probes(old) {
            match self.slots[slot] {
                (0, _) => return None,
                (held, new) if held == old => return Some(new),
                _ => {}
            }
        }
        None
    }

    pub(super) fn put(&mut self, old: u32, new: u32) {
        if old == 0 {
            return;
        }
        for slot in self.probes(old) {
            let held = self.slots[slot].0;
            if held == old || held == 0 {
                self.slots[slot] = (old, new);
                self.count += usize::from(held == 0);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_again_and_replaced() {
        let mut learned = Learned::new(1500);
        for old in 1..=1000u32 {
            learned.put(old * 4, old);
            learned.put(old * 4, old + 1);
        }
        assert_eq!(learned.count(), 1000);
        assert!((1..=1000u32).all(|old| learned.get(old * 4) == Some(old + 1)));
        assert_eq!(learned.get(3), None);
    }

    #[test]
    fn a_full_table_forgets() {
        let mut learned = Learned::new(8);
        (1..100).for_each(|old| learned.put(old, old));
        assert_eq!(learned.count(), 8);
        let mut none = Learned::new(0);
        none.put(1, 1);
        assert_eq!(none.get(1), None);
    }
}
