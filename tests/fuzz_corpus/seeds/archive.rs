//! Artifacts behind the three bytes that say how they are packed and what is asked of them.

use std::io::{Cursor, Write as _};

use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Seed, bad, good};

const BINARY: &[u8] = b"\x7fELF not really, but the same bytes every time";

/// The first byte: see `fetchd::fuzz::archive`.
const RAW: u8 = 0;
const GZ: u8 = 1;
const XZ: u8 = 2;
const ZST: u8 = 3;
const TAR_GZ: u8 = 4;
const TAR_XZ: u8 = 5;
const TAR_ZST: u8 = 6;
const ZIP: u8 = 7;
const PLAIN_TAR: u8 = 8;
/// The second: the entry `app`, the entry `app-1.0/app`, the program `app`.
const ENTRY: u8 = 4;
const DEEP_ENTRY: u8 = 5;
const OUTSIDE: u8 = 7;
const PROGRAM: u8 = 8;

fn of(how: u8, asked: u8, signed: u8, bytes: &[u8]) -> Vec<u8> {
    [&[how, asked, signed], bytes].concat()
}

fn entry(kind: EntryType, name: &[u8], link: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(bytes.len() as u64);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    if let Some(link) = link {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name.as_bytes(), None, bytes)
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    while format!("{length} {key}={value}\n").len() != length {
        length += 1;
    }
    entry(EntryType::XHeader, b"pax", None, format!("{length} {key}={value}\n").as_bytes())
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 1);
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(super) fn seeds() -> Vec<Seed> {
    let one = tar(&[file("app", BINARY)]);
    let release = tar(&[
        entry(EntryType::Directory, b"app-1.0/", None, b""),
        file("app-1.0/README", b"read me"),
        file("app-1.0/app", BINARY),
    ]);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let deflated = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let zipped = zip(&[("app-1.0/README", b"read me"), ("app-1.0/app", BINARY)], deflated);
    let mut gnu = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(BINARY.len() as u64);
    header.set_mode(0o755);
    gnu.append_data(&mut header, format!("{}app", "a/".repeat(80)), BINARY).unwrap();
    let gnu = gnu.into_inner().unwrap();
    let link = |kind| tar(&[entry(kind, b"app", Some("/etc/passwd"), b"")]);
    let bomb = vec![0; 1 << 20];
    let (packed_xz, packed_zst) = (xz(BINARY), zstd::encode_all(BINARY, 3).unwrap());
    vec![
        good("raw", of(RAW, 0, 0, BINARY)),
        good("gz", of(GZ, 0, 0, &gz(BINARY))),
        good("xz", of(XZ, 0, 0, &packed_xz)),
        good("zst", of(ZST, 0, 0, &packed_zst)),
        good("tar-gz", of(TAR_GZ, 0, 0, &gz(&one))),
        good("tar-xz", of(TAR_XZ, ENTRY, 0, &xz(&one))),
        good("tar-zst", of(TAR_ZST, PROGRAM, 0, &zstd::encode_all(&release[..], 3).unwrap())),
        good("tar", of(PLAIN_TAR, 0, 0, &one)),
        good("tar-signed-size", of(PLAIN_TAR, 0, 1, &tar(&[file("app", &[7; 64])]))),
        good("tar-deep", of(PLAIN_TAR, DEEP_ENTRY, 0, &release)),
        good("tar-program", of(PLAIN_TAR, PROGRAM, 0, &release)),
        good("tar-long-name", of(PLAIN_TAR, PROGRAM, 0, &gnu)),
        good("tar-pax-name", of(PLAIN_TAR, ENTRY, 0, &tar(&[pax("path", "app"), file("x", BINARY)]))),
        good("zip", of(ZIP, DEEP_ENTRY, 0, &zipped)),
        good("zip-program", of(ZIP, PROGRAM, 0, &zipped)),
        good("zip-stored", of(ZIP, 0, 0, &zip(&[("app", BINARY)], stored))),
        bad("tar-outside", of(PLAIN_TAR, 0, 0, &tar(&[file("../app", BINARY)]))),
        bad("tar-asked-outside", of(PLAIN_TAR, OUTSIDE, 0, &tar(&[file("../app", BINARY)]))),
        bad("tar-absolute", of(PLAIN_TAR, 0, 0, &tar(&[file("/etc/app", BINARY)]))),
        bad("tar-symlink", of(PLAIN_TAR, ENTRY, 0, &link(EntryType::Symlink))),
        bad("tar-hard-link", of(PLAIN_TAR, ENTRY, 0, &link(EntryType::Link))),
        bad("tar-fifo", of(PLAIN_TAR, ENTRY, 0, &tar(&[entry(EntryType::Fifo, b"app", None, b"")]))),
        bad(
            "tar-link-then-file",
            of(
                PLAIN_TAR,
                DEEP_ENTRY,
                0,
                &tar(&[
                    entry(EntryType::Symlink, b"app-1.0", Some("/etc"), b""),
                    file("app-1.0/app", BINARY),
                    file("app-1.0/app", BINARY),
                ]),
            ),
        ),
        bad("tar-twice", of(PLAIN_TAR, ENTRY, 0, &tar(&[file("app", BINARY), file("./app", BINARY)]))),
        bad("tar-sizes-disagree", of(PLAIN_TAR, 0, 0, &tar(&[pax("size", "12"), file("app", BINARY)]))),
        bad("tar-sparse", of(PLAIN_TAR, 0, 0, &tar(&[pax("GNU.sparse.major", "1"), file("app", BINARY)]))),
        bad("tar-cut-off", of(PLAIN_TAR, 0, 0, &one[..530])),
        bad("tar-trailing", of(PLAIN_TAR, 0, 0, &[&one[..], b"x"].concat())),
        bad("another-size", of(RAW, 0, 1, BINARY)),
        bad("gz-bomb", of(GZ, 0, 0, &gz(&bomb))),
        bad("zst-bomb", of(ZST, 0, 0, &zstd::encode_all(&bomb[..], 19).unwrap())),
        bad("gz-trailing", of(GZ, 0, 0, &[gz(BINARY), vec![0]].concat())),
        bad("xz-cut-off", of(XZ, 0, 0, &packed_xz[..packed_xz.len() - 3])),
        bad("zst-two-frames", of(ZST, 0, 0, &packed_zst.repeat(2))),
        bad("zip-trailing", of(ZIP, 0, 0, &[&zipped[..], b"x"].concat())),
        bad("zip-outside", of(ZIP, 0, 0, &zip(&[("../app", BINARY)], stored))),
        bad("zip-bomb", of(ZIP, 0, 0, &zip(&[("app", &bomb)], deflated))),
        bad("empty", vec![]),
    ]
}
