//! Small programs in two versions, the deltas between them, and streams.

use fetchd_delta::fuzz::{join, uncoded};
use fetchd_delta::{Format, Options, create};

use crate::corpus::{Seed, bad, good};

/// The seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Seed> {
    match target {
        "delta" => delta(),
        "pair" => pair(),
        "stream" => stream(),
        other => panic!("`{other}` has no seeds"),
    }
}

/// Old files and deltas for them, as they are coded and not.
pub(crate) fn whole() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for Program { old, new, .. } in PROGRAMS {
        for (from, to) in [(old, new), (new, old)] {
            let delta = made(from, to, Format::Fxd1);
            all.push((from.to_vec(), uncoded(from, &delta)));
            all.push((from.to_vec(), delta));
        }
    }
    all
}

struct Program {
    name: &'static str,
    old: &'static [u8],
    new: &'static [u8],
}

macro_rules! program {
    ($name:literal) => {
        Program {
            name: $name,
            old: include_bytes!(concat!("programs/", $name, ".old")),
            new: include_bytes!(concat!("programs/", $name, ".new")),
        }
    };
}

const PROGRAMS: [Program; 4] = [program!("x86pie"), program!("x86abs"), program!("arm"), program!("go")];

fn made(old: &[u8], new: &[u8], format: Format) -> Vec<u8> {
    create(old, new, format, &Options { level: Some(3), progress: None }).unwrap()
}

fn delta() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for program in PROGRAMS {
        let fxd = made(program.old, program.new, Format::Fxd1);
        seeds.push(Seed { name: program.name, bytes: join(program.old, &uncoded(program.old, &fxd)), taken: true });
    }
    let [pie, _, arm, go] = PROGRAMS;
    let fxd = made(pie.old, pie.new, Format::Fxd1);
    seeds.extend([
        good("coded", join(pie.old, &fxd)),
        good("back", join(go.new, &uncoded(go.new, &made(go.new, go.old, Format::Fxd1)))),
        good("dcz", join(arm.old, &made(arm.old, arm.new, Format::Dcz))),
        good(
            "no-program",
            join(b"one two three four", &made(b"one two three four", b"one two five four", Format::Fxd1)),
        ),
        good("of-nothing", join(b"", &made(b"", b"all of it is new", Format::Fxd1))),
        bad("another-old", join(arm.old, &uncoded(pie.old, &fxd))),
        bad("cut", join(pie.old, &fxd[..fxd.len() - 1])),
        bad("longer", join(pie.old, &[&fxd[..], b"0"].concat())),
        bad("no-delta", join(pie.old, pie.new)),
        bad("empty", join(b"", b"")),
    ]);
    seeds
}

fn pair() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for program in PROGRAMS {
        seeds.push(Seed { name: program.name, bytes: join(program.old, program.new), taken: true });
    }
    let [pie, absolute, arm, go] = PROGRAMS;
    seeds.extend([
        good("back", join(arm.new, arm.old)),
        good("other-program", join(pie.old, absolute.new)),
        good("other-processor", join(pie.old, arm.old)),
        good("cut", join(go.old, &go.new[..1000])),
        bad("to-nothing", join(pie.old, b"")),
        good("of-nothing", join(b"", pie.new)),
        bad("text", join(b"one two three four", b"one two five four")),
        bad("nothing", join(b"", b"")),
    ]);
    seeds
}

fn stream() -> Vec<Seed> {
    let page = include_str!("../../../docs/formats/fxd-1-streams.md");
    let unhex = |text: &str| -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    };
    let names = [
        "literals",
        "control",
        "gaps",
        "references",
        "residuals",
        "zstd",
        "stored",
        "zeros",
        "changes",
        "words",
        "targets",
    ];
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.contains("` | `"));
    let mut seeds = Vec::new();
    for (name, row) in names.into_iter().zip(rows) {
        let [kind, bytes, coded] = [1, 3, 5].map(|cell| row.split('`').nth(cell).unwrap());
        const KINDS: [&str; 8] =
            ["control", "literals", "gaps", "residuals", "references", "changes", "words", "targets"];
        let kind = KINDS.iter().position(|known| *known == kind);
        let header = [kind.unwrap() as u8, (bytes.len() / 2) as u8, 0];
        seeds.push(good(name, [&header[..], &unhex(coded)].concat()));
    }
    seeds.extend([
        good("nothing", [0, 0, 0, 0]),
        bad("no-method", [0, 1, 0, 3, 1]),
        bad("no-frame", [0, 1, 0, 1, 1]),
        bad("too-short", [0, 9, 0, 0, 1]),
        bad("empty", []),
        // zstd gives another reason when it has room for one byte only.
        bad("two-reasons", [&[1, 23, 0, 1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 23, 5, 0, 0, 1, 5][..], &[2; 22]].concat()),
    ]);
    seeds
}
