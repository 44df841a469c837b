//! Zip archives written byte by byte.

use super::pack::crc32;

/// One entry, as the archive shall tell it.
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub mode: u32,
    /// 0: stored, 8: deflated.
    pub method: u16,
    /// As they stand in the archive.
    pub bytes: &'a [u8],
    pub crc32: u32,
    /// What it claims to be long once unpacked.
    pub claimed: u32,
}

/// An entry that is stored as it is.
pub fn stored<'a>(name: &'a [u8], mode: u32, bytes: &'a [u8]) -> Entry<'a> {
    Entry { name, mode, method: 0, bytes, crc32: crc32(bytes), claimed: bytes.len() as u32 }
}

/// A regular file.
pub fn file<'a>(name: &'a [u8], bytes: &'a [u8]) -> Entry<'a> {
    stored(name, 0o100_755, bytes)
}

/// Entries, their directory, and its end.
pub fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = all.len() as u32;
        // Version, flags, method, time and date, and what both places say of the bytes.
        let mut said = Vec::new();
        said.extend([20_u16, 0, entry.method, 0, 0x21].iter().flat_map(|field| field.to_le_bytes()));
        said.extend(
            [entry.crc32, entry.bytes.len() as u32, entry.claimed].iter().flat_map(|field| field.to_le_bytes()),
        );
        said.extend((entry.name.len() as u16).to_le_bytes());
        said.extend([0, 0]);
        all.extend(b"PK\x03\x04");
        all.extend(&said);
        all.extend(entry.name);
        all.extend(entry.bytes);
        // Made by Unix: the mode is in the upper half of the attributes.
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&said);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name);
    }
    let (offset, size, count) = (all.len() as u32, directory.len() as u32, entries.len() as u16);
    all.extend(directory);
    all.extend(b"PK\x05\x06\0\0\0\0");
    all.extend(count.to_le_bytes());
    all.extend(count.to_le_bytes());
    all.extend(size.to_le_bytes());
    all.extend(offset.to_le_bytes());
    all.extend([0, 0]);
    all
}
