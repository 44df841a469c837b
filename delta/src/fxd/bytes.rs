//! Little-endian numbers at an offset that may lie outside, and integers of variable length.

use crate::ApplyError;

pub(super) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
pub(super) fn put_varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// 0, -1, 1, -2, … as 0, 1, 2, 3, …
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads what [`put_varint`] writes; refuses what it never writes: a needless last zero, more than 64 bits.
pub(super) fn varint(mut next: impl FnMut() -> Result<u8, ApplyError>) -> Result<u64, ApplyError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte < 0x80 {
            if byte == 0 && shift > 0 {
                break;
            }
            return Ok(value);
        }
    }
    Err(ApplyError::Damaged("a number is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_one_way() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut all = Vec::new();
            put_varint(value, &mut all);
            let mut bytes = all.into_iter();
            assert_eq!(varint(|| bytes.next().ok_or(ApplyError::NotADelta)), Ok(value));
            assert_eq!(bytes.next(), None);
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        for long in [vec![0x80, 0], vec![0xff; 11], [vec![0xff; 9], vec![2]].concat()] {
            let mut bytes = long.into_iter();
            varint(|| bytes.next().ok_or(ApplyError::NotADelta)).unwrap_err();
        }
    }
}
