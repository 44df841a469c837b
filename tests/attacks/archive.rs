//! Archives. Where one reader sees the binary that was signed and another would do something else, none is right.

mod act;
pub mod pack;
mod tar;
mod zip;

use crate::maker::Maker;
use crate::table::{Carry, Case, Change, Files, Play, Verdict};
use pack::{binary, gz, release, xz, zst};

pub const CASES: &[Case] = &[
    Case {
        id: 68,
        attack: "an entry's name leads outside or names no file",
        fixture: "entry-name",
        plays: &[
            everywhere("tar-parent", |m| beside(m, b"../../etc/x"), "archive.unsafe_name"),
            refused("tar-absolute", |m| beside(m, b"/etc/x"), "archive.unsafe_name"),
            refused("tar-drive-letter", |m| beside(m, b"C:/x"), "archive.unsafe_name"),
            refused("tar-backslash", |m| beside(m, b"..\\x"), "archive.unsafe_name"),
            refused("tar-not-utf8", |m| beside(m, b"x\xff\xfe"), "archive.unsafe_name"),
            refused("tar-nul", |m| extended(m, &[tar::pax(b'x', "path", b"x\0y")]), "archive.unsafe_name"),
            refused("tar-pax-name", |m| extended(m, &[tar::pax(b'x', "path", b"/etc/x")]), "archive.unsafe_name"),
            refused(
                "tar-gnu-name",
                |m| extended(m, &[tar::member(b"././@LongLink", b'L', b"../x\0")]),
                "archive.unsafe_name",
            ),
            refused(
                "tar-the-signed-entry",
                |m| tar_gz(m, Some("../app"), &[tar::file("../app", &binary())]),
                "archive.unsafe_name",
            ),
            refused("zip-parent", |m| zip_beside(m, b"../../etc/x"), "archive.unsafe_name"),
            refused("zip-absolute", |m| zip_beside(m, b"/etc/x"), "archive.unsafe_name"),
            refused("zip-drive-letter", |m| zip_beside(m, b"C:\\x"), "archive.unsafe_name"),
            refused("zip-nul", |m| zip_beside(m, b"x\0y"), "archive.unsafe_name"),
            refused("zip-not-utf8", |m| zip_beside(m, b"x\xff\xfe"), "archive.unsafe_name"),
        ],
    },
    Case {
        id: 69,
        attack: "the entry is no regular file, and its bytes are those that were signed",
        fixture: "entry-kind",
        plays: &[
            everywhere("tar-symlink", |m| of_kind(m, b'2'), "archive.not_a_file"),
            refused("tar-hard-link", |m| of_kind(m, b'1'), "archive.not_a_file"),
            refused("tar-character-device", |m| of_kind(m, b'3'), "archive.not_a_file"),
            refused("tar-block-device", |m| of_kind(m, b'4'), "archive.not_a_file"),
            refused("tar-directory", |m| of_kind(m, b'5'), "archive.not_a_file"),
            refused("tar-fifo", |m| of_kind(m, b'6'), "archive.not_a_file"),
            refused(
                "tar-sparse",
                |m| tar_gz(m, Some("app"), &[tar::pax(b'x', "GNU.sparse.major", b"1"), app()]),
                "archive.not_a_file",
            ),
            refused("zip-symlink", |m| zip_kind(m, b"app", 0o120_777), "archive.not_a_file"),
            refused("zip-character-device", |m| zip_kind(m, b"app", 0o020_666), "archive.not_a_file"),
            refused("zip-fifo", |m| zip_kind(m, b"app", 0o010_644), "archive.not_a_file"),
            refused("zip-directory", |m| zip_kind(m, b"app/", 0o040_755), "archive.not_a_file"),
        ],
    },
    Case {
        id: 70,
        attack: "a link to a directory outside, then entries below it (CVE-2026-33056)",
        fixture: "link-then-directory",
        plays: &[Play::Act {
            variant: "",
            over: Carry::FILE,
            verdict: Verdict::accepted(),
            act: act::link_then_directory,
        }],
    },
    Case {
        id: 71,
        attack: "two headers disagree about an entry (CVE-2025-62518, CVE-2026-33055)",
        fixture: "size-disagreement",
        plays: &[
            everywhere("header-says-nothing", hidden_archive, "archive.disagreement"),
            refused("pax-says-nothing", |m| sizes(m, b'x', b"0"), "archive.disagreement"),
            refused("pax-says-less", |m| sizes(m, b'x', b"16"), "archive.disagreement"),
            refused("pax-says-more", |m| sizes(m, b'x', b"99999999"), "archive.disagreement"),
            refused("pax-says-nonsense", |m| sizes(m, b'x', b"-1"), "archive.disagreement"),
            refused("for-all-entries", |m| sizes(m, b'g', b"512"), "archive.disagreement"),
            refused(
                "two-names",
                |m| {
                    tar_gz(
                        m,
                        Some("app"),
                        &[tar::pax(b'x', "path", b"app"), tar::member(b"././@LongLink", b'L', b"other\0"), app()],
                    )
                },
                "archive.disagreement",
            ),
        ],
    },
    Case {
        id: 72,
        attack: "a bomb",
        fixture: "bomb",
        plays: &[
            bomb("gz-10-MiB-to-10-GiB", act::bomb_gz),
            bomb("zst-10-GiB", act::bomb_zst),
            bomb("xz", act::bomb_xz),
            bomb("tar-entry", act::bomb_tar),
            bomb("tar-entry-nobody-asked-for", act::bomb_beside),
            bomb("tar-padding", act::bomb_padding),
            bomb("zip", act::bomb_zip),
            Play::Act {
                variant: "zip-that-claims-less",
                over: Carry::FILE,
                verdict: refusal("archive.damaged"),
                act: act::bomb_zip_claims_less,
            },
            Play::Act {
                variant: "without-a-signed-size",
                over: Carry::FILE,
                verdict: Verdict::fetch(23, "archive.too_large"),
                act: act::bomb_bound,
            },
        ],
    },
    Case {
        id: 73,
        attack: "the entry is there twice",
        fixture: "entry-twice",
        plays: &[
            everywhere("tar", |m| tar_gz(m, Some("app"), &[app(), app()]), "archive.ambiguous"),
            refused(
                "tar-two-spellings",
                |m| tar_gz(m, Some("app"), &[app(), tar::file("./app", &binary())]),
                "archive.ambiguous",
            ),
            refused(
                "tar-then-a-link",
                |m| tar_gz(m, Some("app"), &[app(), tar::member(b"app", b'2', b"")]),
                "archive.ambiguous",
            ),
            refused(
                "tar-unnamed",
                |m| tar_gz(m, None, &[tar::file("a/app", &binary()), tar::file("b/app", &binary())]),
                "archive.ambiguous",
            ),
            refused(
                "zip",
                |m| zipped(m, Some("app"), &[(b"app", 0o100_755), (b"app", 0o100_755)]),
                "archive.ambiguous",
            ),
            refused(
                "zip-two-spellings",
                |m| zipped(m, Some("app"), &[(b"app", 0o100_755), (b"./app", 0o100_755)]),
                "archive.ambiguous",
            ),
        ],
    },
    Case {
        id: 74,
        attack: "something follows the end, or the end is cut off",
        fixture: "end",
        plays: &[
            everywhere("gz-trailing", |m| followed(m, "gz", gz(&binary()), b"\0"), "archive.trailing"),
            refused("gz-second-member", |m| followed(m, "gz", gz(&binary()), &gz(b"more")), "archive.trailing"),
            refused("xz-trailing", |m| followed(m, "xz", xz(&binary()), b"x"), "archive.trailing"),
            refused("xz-second-stream", |m| followed(m, "xz", xz(&binary()), &xz(b"more")), "archive.trailing"),
            refused("zst-trailing", |m| followed(m, "zst", zst(&binary()), b"x"), "archive.trailing"),
            refused("zst-second-frame", |m| followed(m, "zst", zst(&binary()), &zst(b"more")), "archive.trailing"),
            refused("tar-gz-trailing", |m| followed(m, "tar.gz", gz(&good_tar()), b"x"), "archive.trailing"),
            refused(
                "tar-trailing",
                |m| release(m, "tar.gz", Some("app"), gz(&[good_tar(), app()].concat())),
                "archive.trailing",
            ),
            refused("zip-trailing", |m| followed(m, "zip", good_zip(), b"x"), "archive.trailing"),
            refused("gz-cut", |m| cut(m, "gz", gz(&binary())), "archive.damaged"),
            refused("xz-cut", |m| cut(m, "xz", xz(&binary())), "archive.damaged"),
            refused("zst-cut", |m| cut_block(m, zst(&binary())), "archive.damaged"),
            refused("tar-gz-cut", |m| cut(m, "tar.gz", gz(&good_tar())), "archive.damaged"),
            refused("zip-cut", |m| cut(m, "zip", good_zip()), "archive.damaged"),
        ],
    },
    Case {
        id: 75,
        attack: "the archive asks for set-user-ID",
        fixture: "set-user-id",
        plays: &[
            Play::Act { variant: "tar", over: Carry::FILE, verdict: Verdict::accepted(), act: act::set_user_id_tar },
            Play::Act { variant: "zip", over: Carry::FILE, verdict: Verdict::accepted(), act: act::set_user_id_zip },
        ],
    },
];

/// The manifest was right, so the floor rose; the archive is not.
const fn refusal(code: &'static str) -> Verdict {
    Verdict::fetch(23, code).change(Change::Floor)
}

const fn refused(variant: &'static str, make: fn(&Maker) -> Files, code: &'static str) -> Play {
    Play::Serve { variant, make, flags: &[], over: Carry::FILE, verdict: refusal(code) }
}

/// One of each kind goes over everything: what carries an archive does not look into it.
const fn everywhere(variant: &'static str, make: fn(&Maker) -> Files, code: &'static str) -> Play {
    Play::Serve { variant, make, flags: &[], over: Carry::ALL, verdict: refusal(code) }
}

const fn bomb(variant: &'static str, act: fn(&mut crate::bench::Bench, &Verdict)) -> Play {
    Play::Act { variant, over: Carry::FILE, verdict: refusal("archive.too_large"), act }
}

/// The entry that is signed.
fn app() -> Vec<u8> {
    tar::file("app", &binary())
}

fn good_tar() -> Vec<u8> {
    tar::archive(&[app()])
}

fn good_zip() -> Vec<u8> {
    zip::archive(&[zip::file(b"app", &binary())])
}

fn tar_gz(maker: &Maker, entry: Option<&str>, members: &[Vec<u8>]) -> Files {
    release(maker, "tar.gz", entry, gz(&tar::archive(members)))
}

/// An archive in which the entry that is signed is right, and another is called `name`.
fn beside(maker: &Maker, name: &[u8]) -> Files {
    tar_gz(maker, Some("app"), &[tar::member(name, b'0', b"other"), app()])
}

/// The same with what comes before the other entry.
fn extended(maker: &Maker, before: &[Vec<u8>]) -> Files {
    tar_gz(maker, Some("app"), &[before.concat(), tar::file("other", b"other"), app()])
}

fn of_kind(maker: &Maker, kind: u8) -> Files {
    tar_gz(maker, Some("app"), &[tar::member(b"app", kind, &binary())])
}

fn zipped(maker: &Maker, entry: Option<&str>, files: &[(&[u8], u32)]) -> Files {
    let binary = binary();
    let entries: Vec<_> = files.iter().map(|(name, mode)| zip::stored(name, *mode, &binary)).collect();
    release(maker, "zip", entry, zip::archive(&entries))
}

fn zip_beside(maker: &Maker, name: &[u8]) -> Files {
    zipped(maker, Some("app"), &[(name, 0o100_644), (b"app", 0o100_755)])
}

fn zip_kind(maker: &Maker, name: &[u8], mode: u32) -> Files {
    zipped(maker, Some("app"), &[(name, mode)])
}

/// The entry that is signed, before which an extension header says something else of its size.
fn sizes(maker: &Maker, kind: u8, size: &[u8]) -> Files {
    tar_gz(maker, Some("app"), &[tar::pax(kind, "size", size), app()])
}

/// Whoever believes the header finds the entry in what the extension header calls the bytes of another.
fn hidden_archive(maker: &Maker) -> Files {
    let inner = app();
    let outer = tar::sized(tar::header(b"notes", b'0', 0, b""), &inner);
    tar_gz(maker, Some("app"), &[tar::pax(b'x', "size", inner.len().to_string().as_bytes()), outer])
}

fn entry_of(format: &str) -> Option<&'static str> {
    matches!(format, "tar.gz" | "zip").then_some("app")
}

fn followed(maker: &Maker, format: &str, mut stream: Vec<u8>, by: &[u8]) -> Files {
    stream.extend_from_slice(by);
    release(maker, format, entry_of(format), stream)
}

/// Without the last byte: everything that was signed is there, and the end is not.
fn cut(maker: &Maker, format: &str, mut stream: Vec<u8>) -> Files {
    stream.pop();
    release(maker, format, entry_of(format), stream)
}

/// The frame with an empty block for its last one, and without that: the binary is whole.
fn cut_block(maker: &Maker, mut frame: Vec<u8>) -> Files {
    // The first block says that it is the last.
    frame[6] &= !1;
    release(maker, "zst", None, frame)
}
