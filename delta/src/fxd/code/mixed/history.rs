//! The last bytes of a stream that holds none of the new file, and where they were seen before.

/// A place is looked for by its last four bytes, and compared for so many.
const SHORTEST: usize = 4;
const LONGEST: u32 = 32;
const MOST_LOG: u32 = 18;

pub(super) struct History {
    ring: Vec<u8>,
    mask: usize,
    /// How many bytes there were.
    length: usize,
    /// The place behind each last occurrence, by a hash of the four bytes before it; 0 = none.
    seen: Vec<u32>,
    shift: u32,
    /// Where the bytes come from that are expected now, for how long they were right, and the next of them.
    from: usize,
    matched: u32,
    expected: u8,
}

fn logs(length: u64) -> (u32, u32) {
    let log = length.next_power_of_two().ilog2();
    (log.clamp(8, MOST_LOG), log.clamp(8, 14))
}

impl History {
    pub(super) fn memory(length: u64) -> u64 {
        let (ring, seen) = logs(length.min(1 << MOST_LOG));
        (1 << ring) + (4 << seen)
    }

    /// Of a stream of `length` bytes.
    pub(super) fn new(length: u64) -> History {
        let (ring, seen) = logs(length.min(1 << MOST_LOG));
        History {
            ring: vec![0; 1 << ring],
            mask: (1 << ring) - 1,
            length: 0,
            seen: vec![0; 1 << seen],
            shift: 32 - seen,
            from: 0,
            matched: 0,
            expected: 0,
        }
    }

    /// The byte `back` before the next one; 0 before the first.
    fn back(&self, back: usize) -> u8 {
        self.ring[self.length.wrapping_sub(back) & self.mask]
    }

    /// What is expected next, and for how long it was right: 0 where nothing is.
    pub(super) fn expected(&self) -> (u8, usize) {
        (self.expected, self.matched as usize)
    }

    pub(super) fn push(&mut self, byte: u8) {
        if self.matched > 0 && self.ring[self.from & self.mask] == byte {
            self.matched = self.matched.saturating_add(1);
            self.from += 1;
        } else {
            self.matched = 0;
        }
        self.ring[self.length & self.mask] = byte;
        self.length += 1;
        if self.length >= SHORTEST {
            let last = u32::from_le_bytes([self.back(1), self.back(2), self.back(3), self.back(4)]);
            let entry = (last.wrapping_mul(0x9e37_79b1) >> self.shift) as usize;
            if self.matched == 0 {
                self.look(self.seen[entry]);
            }
            self.seen[entry] = self.length as u32;
        }
        if self.matched > 0 {
            self.expected = self.ring[self.from & self.mask];
        }
    }

    /// Whether the bytes before `place` are the last ones.
    fn look(&mut self, place: u32) {
        let place = place as usize;
        // What the ring has lost cannot be compared.
        if place == 0 || self.length - place + LONGEST as usize >= self.ring.len() {
            return;
        }
        let mut same = 0;
        while same < LONGEST
            && same < place as u32
            && self.ring[(place - 1 - same as usize) & self.mask] == self.back(1 + same as usize)
        {
            same += 1;
        }
        if same as usize >= SHORTEST {
            self.matched = same;
            self.from = place;
        }
    }
}
