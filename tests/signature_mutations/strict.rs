//! In what we are stricter than other readers, decided from the bytes alone and without our own parser.

use crate::mutation::Case;

/// Why a signature or a key that another reader accepts is refused here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The file is longer than 16 KiB.
    Long,
    /// It is no UTF-8.
    NotText,
    /// It has not exactly four lines, with or without a line feed at the end.
    Lines,
    /// It has a carriage return.
    Return,
    /// Its first line does not begin with `untrusted comment: `.
    Prefix,
    /// A comment makes its line longer than minisign reads, 1 KiB and 8 KiB, or holds a control character
    /// other than a tab.
    Comment,
    /// It is a signature of the old kind, or labelled as one: the label is not signed.
    Legacy,
    /// A line of base64 has no or wrong padding, blanks, or bits that say nothing.
    Base64,
    /// The key has a line too many, or a first line that is no comment.
    KeyLines,
    /// The key's two letters are not `Ed`.
    KeyLetters,
}

impl Reason {
    /// Those that make a difference to `minisign-verify`, which is strict in the rest as well.
    pub(crate) const OF_MINISIGN_VERIFY: &[Reason] = &[
        Reason::Long,
        Reason::Lines,
        Reason::Return,
        Reason::Prefix,
        Reason::Comment,
        Reason::KeyLines,
        Reason::KeyLetters,
    ];
}

/// Every reason that `case` gives us.
pub(crate) fn reasons(case: &Case) -> Vec<Reason> {
    let mut found = Vec::new();
    let file = case.file.as_slice();
    let inner = file.strip_suffix(b"\n").unwrap_or(file);
    let lines: Vec<&[u8]> = inner.split(|byte| *byte == b'\n').collect();
    let line = |number: usize| lines.get(number).copied().unwrap_or_default();
    let comment = |text: &[u8], buffer: usize| {
        // The line feed and the end of a text in C take a byte each.
        let long = text.len() + 2 > buffer;
        long || String::from_utf8_lossy(text).chars().any(|c| c.is_control() && c != '\t')
    };
    let letters = |text: &[u8], letters: &[u8]| text.starts_with(letters);
    let mut add = |holds: bool, reason: Reason| {
        if holds {
            found.push(reason);
        }
    };
    add(file.len() > 16 * 1024, Reason::Long);
    add(std::str::from_utf8(file).is_err(), Reason::NotText);
    add(lines.len() != 4, Reason::Lines);
    add(file.contains(&b'\r'), Reason::Return);
    add(!line(0).starts_with(b"untrusted comment: "), Reason::Prefix);
    add(comment(line(0), 1024) || comment(line(2), 8192), Reason::Comment);
    // `Ed` and the first bits of the key's number.
    add(letters(line(1), b"RW"), Reason::Legacy);
    let digits = |number: usize| line(number).strip_suffix(b"\r").unwrap_or(line(number));
    add(!(canonical(digits(1), 74) && canonical(digits(3), 64)), Reason::Base64);
    let key: Vec<&str> = case.key.strip_suffix('\n').unwrap_or(&case.key).split('\n').collect();
    let commented = key.len() == 2 && key[0].starts_with("untrusted comment:");
    add(key.len() > 2 || (key.len() == 2 && !commented), Reason::KeyLines);
    add(letters(key[key.len().min(2) - 1].trim().as_bytes(), b"RU"), Reason::KeyLetters);
    found
}

/// Whether `text` is the one way to write `size` bytes.
fn canonical(text: &[u8], size: usize) -> bool {
    let padding = (3 - size % 3) % 3;
    if text.len() != size.div_ceil(3) * 4 {
        return false;
    }
    let (digits, end) = text.split_at(text.len() - padding);
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let unused = (1 << (2 * padding)) - 1;
    end.iter().all(|byte| *byte == b'=')
        && digits.iter().all(|byte| value(*byte).is_some())
        && digits.last().and_then(|byte| value(*byte)).is_some_and(|last| last & unused == 0)
}
