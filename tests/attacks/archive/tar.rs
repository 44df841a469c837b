//! Tar archives written block by block: a header says what the test says, true or not.

/// The mode that entries claim, with set-user-ID and set-group-ID: nobody may apply it.
pub const CLAIMED_MODE: u32 = 0o6755;

/// A header of the old kind.
pub fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{CLAIMED_MODE:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An entry and its bytes.
pub fn member(name: &[u8], kind: u8, bytes: &[u8]) -> Vec<u8> {
    let link: &[u8] = if kind == b'1' || kind == b'2' { b"/etc/passwd" } else { b"" };
    sized(header(name, kind, bytes.len() as u64, link), bytes)
}

/// A regular file.
pub fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    member(name.as_bytes(), b'0', bytes)
}

/// A header and the bytes behind it, filled up to a whole block.
pub fn sized(mut header: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    header.extend_from_slice(bytes);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// An extension header: `kind` is `x` for the next entry, `g` for all.
pub fn pax(kind: u8, key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    let text = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
    member(b"PaxHeaders/x", kind, &text)
}

/// Members, and the end.
pub fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut all = members.concat();
    all.resize(all.len() + 1024, 0);
    all
}
