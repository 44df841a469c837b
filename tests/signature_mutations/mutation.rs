//! Signatures and keys, and what can be done to them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use ed25519_dalek::{Signer as _, SigningKey};
use fetchd::trust::blake2b512;

/// The same numbers from the same seed, on every machine (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A signature file, the key and the bytes it is held against, and what was done to them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) file: Vec<u8>,
    pub(crate) key: String,
    pub(crate) message: Vec<u8>,
    pub(crate) done: Vec<&'static str>,
    /// Genuinely of the old kind.
    pub(crate) legacy: bool,
}

struct Signer {
    secret: SigningKey,
    keynum: [u8; 8],
}

impl Signer {
    fn new(seed: u8) -> Signer {
        Signer { secret: SigningKey::from_bytes(&[seed; 32]), keynum: [seed; 8] }
    }

    fn key(&self) -> String {
        let bytes = [&b"Ed"[..], &self.keynum, self.secret.verifying_key().as_bytes()].concat();
        format!("untrusted comment: minisign public key\n{}\n", STANDARD.encode(bytes))
    }

    fn sign(&self, letters: &[u8; 2], message: &[u8], comment: &str) -> Vec<u8> {
        let hash = blake2b512(message);
        let signed: &[u8] = if letters == b"ED" { &hash } else { message };
        let s = self.secret.sign(signed).to_bytes();
        let g = self.secret.sign(&[&s[..], comment.as_bytes()].concat()).to_bytes();
        let blob = STANDARD.encode([&letters[..], &self.keynum, &s].concat());
        let text = format!("untrusted comment: x\n{blob}\ntrusted comment: {comment}\n{}\n", STANDARD.encode(g));
        text.into_bytes()
    }
}

const MESSAGE: &[u8] = b"the bytes of an artifact";

/// A signature that is right, with comments of so many bytes.
pub(crate) fn with_comments(untrusted: usize, trusted: usize) -> Case {
    let signer = Signer::new(1);
    let text = String::from_utf8(signer.sign(b"ED", MESSAGE, &"t".repeat(trusted))).unwrap();
    Case {
        file: text.replacen(": x", &format!(": {}", "u".repeat(untrusted)), 1).into_bytes(),
        key: signer.key(),
        message: MESSAGE.to_vec(),
        done: vec!["comments"],
        legacy: false,
    }
}

/// Signatures that are right, the last of the old kind.
pub(crate) fn origins() -> Vec<Case> {
    let signer = Signer::new(1);
    let of = |done, letters: &[u8; 2], comment: &str| Case {
        file: signer.sign(letters, MESSAGE, comment),
        key: signer.key(),
        message: MESSAGE.to_vec(),
        done: vec![done],
        legacy: letters == b"Ed",
    };
    let bound = "fetchd:1\tproduct:app\tversion:1.4.2\tchannel:stable\ttarget:any\tfile:app\tsize:24";
    vec![
        of("plain", b"ED", "timestamp:1633700835\tfile:app\thashed"),
        of("bound", b"ED", bound),
        of("blanks", b"ED", "  a  "),
        of("unicode", b"ED", "größer \u{1f600} \u{202e}desrever"),
        of("long comment", b"ED", &"c".repeat(7000)),
        of("legacy", b"Ed", "timestamp:1633700835\tfile:app"),
    ]
}

type Change = fn(&mut Case, &mut Random);

/// Each with its weight: most of what can be done is to single bytes, and there are many of them.
const CHANGES: [(&str, usize, Change); 34] = [
    ("flip a bit", 6, |case, random| {
        let at = random.below(case.file.len());
        let bit = random.below(8);
        if let Some(byte) = case.file.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }),
    ("replace a byte", 3, |case, random| {
        let (at, new) = (random.below(case.file.len()), random.below(256) as u8);
        if let Some(byte) = case.file.get_mut(at) {
            *byte = new;
        }
    }),
    ("insert a byte", 3, |case, random| {
        let at = random.below(case.file.len() + 1);
        let any = random.below(256) as u8;
        let new = random.of(&[b'\n', b'\r', b' ', b'=', b'\t', 0, any]);
        case.file.insert(at, new);
    }),
    ("remove a byte", 2, |case, random| {
        let at = random.below(case.file.len());
        if at < case.file.len() {
            case.file.remove(at);
        }
    }),
    ("truncate", 2, |case, random| case.file.truncate(random.below(case.file.len() + 1))),
    ("cut the end", 2, |case, random| {
        let length = case.file.len();
        case.file.truncate(length.saturating_sub(random.below(4)));
    }),
    ("drop a line", 1, |case, random| {
        lines(case, |lines| {
            let at = random.below(lines.len());
            lines.remove(at);
        });
    }),
    ("repeat a line", 1, |case, random| {
        lines(case, |lines| {
            let at = random.below(lines.len());
            lines.insert(at, lines[at].clone());
        });
    }),
    ("swap lines", 1, |case, random| {
        lines(case, |lines| {
            let (a, b) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(a, b);
        });
    }),
    ("repeat the file", 1, |case, _| case.file = case.file.repeat(2)),
    ("append a line", 2, |case, random| {
        case.file.extend_from_slice(random.of(&["\n", "more\n", "more", "trusted comment: x\n", "\r\n"]).as_bytes());
    }),
    ("prepend a line", 1, |case, random| {
        let before = random.of(&["\n", "\u{feff}", "untrusted comment: y\n", " "]);
        case.file.splice(0..0, before.bytes());
    }),
    ("Windows", 2, |case, _| {
        lines(case, |lines| lines.iter_mut().for_each(|line| line.push(b'\r')));
    }),
    ("a carriage return", 2, |case, random| {
        lines(case, |lines| {
            let at = random.below(lines.len());
            lines[at].push(b'\r');
        });
    }),
    ("line of another message", 1, |case, random| splice(case, random, &Signer::new(1).sign(b"ED", b"another", "c"))),
    ("line of another key", 1, |case, random| splice(case, random, &Signer::new(2).sign(b"ED", MESSAGE, "c"))),
    ("line of the old kind", 1, |case, random| splice(case, random, &Signer::new(1).sign(b"Ed", MESSAGE, "c"))),
    ("relabel", 2, |case, random| {
        let new = random.of(&[b"Ed", b"ED", b"EX", b"eD"]);
        blob(case, 1, |bytes| bytes.splice(0..2.min(bytes.len()), new.iter().copied()).for_each(drop));
    }),
    ("another key number", 1, |case, random| {
        let at = 2 + random.below(8);
        blob(case, 1, |bytes| flip(bytes, at));
    }),
    ("another S", 2, |case, random| {
        let at = 10 + random.below(64);
        blob(case, 1, |bytes| flip(bytes, at));
    }),
    ("another G", 2, |case, random| {
        let at = random.below(64);
        blob(case, 3, |bytes| flip(bytes, at));
    }),
    ("swap S and G", 1, |case, _| {
        let (mut s, mut g) = (Vec::new(), Vec::new());
        blob(case, 1, |bytes| s = bytes.split_off(10.min(bytes.len())));
        blob(case, 3, |bytes| g = std::mem::replace(bytes, s.clone()));
        blob(case, 1, |bytes| bytes.extend(&g));
    }),
    ("S or G beyond the group's order", 1, |case, random| {
        let line = random.of(&[1, 3]);
        blob(case, line, |bytes| {
            let from = bytes.len().saturating_sub(32);
            beyond(&mut bytes[from..]);
        });
    }),
    ("a byte more or less in base64", 2, |case, random| {
        let (line, more) = (random.of(&[1, 3]), random.below(2) == 0);
        blob(case, line, |bytes| {
            if more {
                bytes.push(0);
            } else {
                bytes.pop();
            }
        });
    }),
    ("another base64", 2, |case, random| {
        let (line, how) = (random.of(&[1, 3]), random.below(5));
        lines(case, |lines| {
            let Some(text) = lines.get_mut(line) else { return };
            let Ok(bytes) = STANDARD.decode(&*text) else { return };
            *text = match how {
                0 => STANDARD_NO_PAD.encode(bytes).into_bytes(),
                1 => URL_SAFE.encode(bytes).into_bytes(),
                2 => [&text[..], b"="].concat(),
                3 => [b" ", &text[..]].concat(),
                _ => [&text[..], b" "].concat(),
            };
        });
    }),
    ("bits that say nothing", 2, |case, random| {
        let line = random.of(&[1, 3]);
        lines(case, |lines| {
            let Some(text) = lines.get_mut(line) else { return };
            if let Some(last) = text.iter().rposition(|byte| *byte != b'=') {
                text[last] = text[last].saturating_add(1);
            }
        });
    }),
    ("edit the trusted comment", 3, |case, random| {
        let text = random.of(&["x", " ", "\t", "\0", "\u{7}", "\u{85}", "é", "\u{301}", "\u{202e}", "\u{2028}"]);
        lines(case, |lines| {
            let Some(line) = lines.get_mut(2) else { return };
            let at = line.len() - random.below(line.len().saturating_sub(17).max(1)).min(line.len());
            line.splice(at..at, text.bytes());
        });
    }),
    ("edit the untrusted comment", 4, |case, random| {
        let text = random.of(&["", "x", "é\u{1f600}", "\t", "\0", "\u{7}", "\u{9f}", "trusted comment: y", "\u{feff}"]);
        lines(case, |lines| lines[0] = format!("untrusted comment: {text}").into_bytes());
    }),
    ("another prefix", 2, |case, random| {
        let prefix = random.of(&["", "untrusted comment:", "Untrusted comment: ", "comment: ", " untrusted comment: "]);
        let line = random.of(&[0, 0, 2]);
        lines(case, |lines| {
            if let Some(text) = lines.get_mut(line) {
                *text = format!("{prefix}x").into_bytes();
            }
        });
    }),
    ("a long untrusted comment", 2, |case, random| {
        let length = random.of(&[900, 1003, 1004, 8192, 20_000]);
        lines(case, |lines| lines[0] = format!("untrusted comment: {}", "u".repeat(length)).into_bytes());
    }),
    ("another message", 1, |case, random| {
        let at = random.below(case.message.len());
        case.message[at] ^= 1;
    }),
    ("another key", 1, |case, random| {
        let mut other = Signer::new(2);
        if random.below(2) == 0 {
            other.keynum = [1; 8];
        }
        case.key = other.key();
    }),
    ("edit the key", 3, |case, random| {
        let bare = case.key.lines().nth(1).unwrap_or_default().to_owned();
        let Ok(bytes) = STANDARD.decode(&bare) else { return };
        let (at, letters) = (random.below(bytes.len().max(1)), random.of(&[b"ED", b"EX"]));
        let mut flipped = bytes.clone();
        flip(&mut flipped, at);
        let relabelled = [&letters[..], bytes.get(2..).unwrap_or_default()].concat();
        case.key = match random.below(6) {
            0 => STANDARD.encode(flipped),
            1 | 2 => STANDARD.encode(relabelled),
            3 => STANDARD_NO_PAD.encode(&bytes[..bytes.len().min(41)]),
            4 => URL_SAFE.encode(&bytes),
            _ => STANDARD.encode([&bytes[..], &[0]].concat()),
        };
    }),
    ("rewrite the key's file", 3, |case, random| {
        let bare = case.key.lines().nth(1).unwrap_or_default().to_owned();
        case.key = match random.below(6) {
            0 => bare,
            1 => format!("{bare}\n"),
            2 => format!("comment\n{bare}\n"),
            3 => format!("untrusted comment: x\n{bare}\nmore\n"),
            4 => format!("untrusted comment: é\r\n{bare}\r\n"),
            _ => format!("\n{bare}\n"),
        };
    }),
];

/// One to three changes to one of `origins`.
pub(crate) fn mutated(origins: &[Case], random: &mut Random) -> Case {
    let mut case = origins[random.below(origins.len())].clone();
    let weights: usize = CHANGES.iter().map(|(_, weight, _)| weight).sum();
    for _ in 0..random.of(&[1, 1, 1, 2, 2, 3]) {
        let mut at = random.below(weights);
        for (name, weight, change) in CHANGES {
            if at < weight {
                change(&mut case, random);
                case.done.push(name);
                break;
            }
            at -= weight;
        }
    }
    case
}

/// Changes the lines of the file; a line feed at its end stays.
fn lines(case: &mut Case, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let ended = case.file.ends_with(b"\n");
    let inner = case.file.strip_suffix(b"\n").unwrap_or(&case.file);
    let mut lines: Vec<Vec<u8>> = inner.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    case.file = lines.join(&b'\n');
    if ended {
        case.file.push(b'\n');
    }
}

/// Changes what a line of base64 stands for.
fn blob(case: &mut Case, line: usize, change: impl FnOnce(&mut Vec<u8>)) {
    lines(case, |lines| {
        let Some(text) = lines.get_mut(line) else { return };
        let Ok(mut bytes) = STANDARD.decode(&*text) else { return };
        change(&mut bytes);
        *text = STANDARD.encode(bytes).into_bytes();
    });
}

fn splice(case: &mut Case, random: &mut Random, other: &[u8]) {
    let line = random.below(4);
    let new = other.split(|byte| *byte == b'\n').nth(line).unwrap_or_default().to_vec();
    lines(case, |lines| {
        if let Some(old) = lines.get_mut(line) {
            *old = new;
        }
    });
}

fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
}

/// Adds the group's order to a scalar: the same number to a careless verifier.
fn beyond(scalar: &mut [u8]) {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, order) in scalar.iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}
