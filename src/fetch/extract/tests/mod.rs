#![cfg(feature = "archives")]

mod damage;

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use ::zip::write::SimpleFileOptions;
use tempfile::TempDir;

use super::*;
use crate::failure::{Exit, Failure as _};

const BINARY: &[u8] = b"\x7fELF not really, but the same bytes every time";

/// An artifact and the place it is unpacked to.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap() }
    }

    fn job(&self, format: Format, artifact: &[u8]) -> ExtractJob {
        let path = self.directory.path().join("artifact");
        fs::write(&path, artifact).unwrap();
        let out = self.directory.path().join("out");
        ExtractJob { format, entry: None, program: None, binary_size: None, max_size: 1 << 20, artifact: path, out }
    }

    fn unpack(&self, format: Format, entry: Option<&str>, artifact: &[u8]) -> Result<Vec<u8>, FetchFailure> {
        let job = ExtractJob { entry: entry.map(str::to_owned), ..self.job(format, artifact) };
        let result = extract(&job);
        let left = fs::read(&job.out);
        let measured = measure(&job.artifact, job.format, entry);
        let result = match result {
            Ok(extracted) => {
                let bytes = left.unwrap();
                assert_eq!(extracted.size, bytes.len() as u64);
                assert_eq!(measured.unwrap(), (Sha256::of(&bytes), extracted.size), "both read the same");
                Ok(bytes)
            }
            Err(failure) => {
                assert!(left.is_err(), "the output is gone");
                assert!(measured.is_err(), "publishing refuses what unpacking refuses");
                assert_eq!(failure.exit(), Exit::Content, "{failure}");
                Err(failure)
            }
        };
        let _ = fs::remove_file(&job.out);
        let names: Vec<_> = fs::read_dir(self.directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["artifact"], "nothing else became a file");
        result
    }

    fn code(&self, format: Format, entry: Option<&str>, artifact: &[u8]) -> &'static str {
        self.unpack(format, entry, artifact).unwrap_err().code()
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn packed(format: Format, bytes: &[u8]) -> Vec<u8> {
    match format {
        Format::Gz | Format::TarGz => gz(bytes),
        Format::Xz | Format::TarXz => xz(bytes),
        _ => zst(bytes),
    }
}

/// A tar block, with whatever name bytes and kind are asked for.
fn block(name: &[u8], kind: u8, size: u64) -> Vec<u8> {
    let mut header = ::tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o6755);
    header.set_size(size);
    header.as_old_mut().linkflag = [kind];
    if kind == b'1' || kind == b'2' {
        header.set_link_name("/etc").unwrap();
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn member(name: &[u8], kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = block(name, kind, bytes.len() as u64);
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn pax(kind: u8, pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        text.extend_from_slice(format!("{length} {key}=").as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    member(b"PaxHeaders/x", kind, &text)
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut all = members.concat();
    all.extend_from_slice(&[0; 1024]);
    all
}

fn tar_gz(members: &[Vec<u8>]) -> Vec<u8> {
    gz(&tar(members))
}

fn app() -> Vec<u8> {
    member(b"app", b'0', BINARY)
}

fn zipped(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes, mode) in files {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `name` of every header of a zip overwritten with one of the same length.
fn renamed(mut archive: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    for at in 0..archive.len() - from.len() {
        if &archive[at..at + from.len()] == from {
            archive[at..at + from.len()].copy_from_slice(to);
        }
    }
    archive
}

#[test]
fn every_format_yields_the_binary() {
    let bench = Bench::new();
    assert_eq!(bench.unpack(Format::Raw, None, BINARY).unwrap(), BINARY);
    for format in [Format::Gz, Format::Xz, Format::Zst] {
        assert_eq!(bench.unpack(format, None, &packed(format, BINARY)).unwrap(), BINARY, "{format:?}");
    }
    let archive = tar(&[member(b"app-1/", b'5', b""), member(b"./app-1/app", b'0', BINARY)]);
    for format in [Format::TarGz, Format::TarXz, Format::TarZst] {
        for entry in [None, Some("app-1/app")] {
            assert_eq!(bench.unpack(format, entry, &packed(format, &archive)).unwrap(), BINARY, "{format:?}");
        }
    }
    let archive = zipped(&[("README", b"read me", 0o644), ("bin/app", BINARY, 0o755)]);
    assert_eq!(bench.unpack(Format::Zip, Some("bin/app"), &archive).unwrap(), BINARY);
}

#[test]
fn modes_of_an_archive_are_not_applied() {
    let bench = Bench::new();
    for (format, artifact) in [(Format::TarGz, tar_gz(&[app()])), (Format::Zip, zipped(&[("app", BINARY, 0o4777)]))] {
        let job = bench.job(format, &artifact);
        extract(&job).unwrap();
        assert_eq!(fs::metadata(&job.out).unwrap().permissions().mode() & 0o7777, 0o600);
        fs::remove_file(&job.out).unwrap();
    }
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let bench = Bench::new();
    let job = bench.job(Format::Gz, &gz(BINARY));
    fs::write(&job.out, b"mine").unwrap();
    assert_eq!(extract(&job).unwrap_err().exit(), Exit::Install);
    assert_eq!(fs::read(&job.out).unwrap(), b"mine");
    let target = bench.directory.path().join("target");
    fs::remove_file(&job.out).unwrap();
    std::os::unix::fs::symlink(&target, &job.out).unwrap();
    assert_eq!(extract(&job).unwrap_err().exit(), Exit::Install);
    assert!(!target.exists(), "a dangling link is not followed");
}

#[test]
fn unsafe_names_are_refused() {
    let bench = Bench::new();
    let names: [&[u8]; 8] = [b"../app", b"a/../../app", b"/app", b"C:\\app", b"C:/app", b"a\\b", b"\xff\xfe", b"a\nb"];
    for name in names {
        // Also where another entry is the one that is meant.
        for entry in [None, Some("app")] {
            let artifact = tar_gz(&[member(name, b'0', BINARY), app()]);
            assert_eq!(bench.code(Format::TarGz, entry, &artifact), "archive.unsafe_name", "{name:?}");
        }
    }
    let long = pax(b'x', &[("path", b"app\0/../x")]);
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&[long, app()])), "archive.unsafe_name");
    let long = member(b"././@LongLink", b'L', b"/etc/app\0");
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&[long, app()])), "archive.unsafe_name");
    let artifact = zipped(&[("bin/app", BINARY, 0o755)]);
    for name in [&b"../pppp"[..], b"/bin/ap", b"C:/pppp", b"bin\\app", b"bin/\xff\xfep", b"bin/\0pp"] {
        let artifact = renamed(artifact.clone(), b"bin/app", name);
        assert_eq!(bench.unpack(Format::Zip, None, &artifact).unwrap_err().exit(), Exit::Content, "{name:?}");
    }
    assert_eq!(bench.code(Format::TarGz, Some("../app"), &tar_gz(&[app()])), "archive.unsafe_name");
}

#[test]
fn an_entry_that_is_no_regular_file_is_refused() {
    let bench = Bench::new();
    // Hard link, symbolic link, character device, block device, directory, FIFO, sparse, unknown.
    for kind in *b"123456SZ" {
        let artifact = tar_gz(&[member(b"app", kind, b"")]);
        assert_eq!(bench.code(Format::TarGz, Some("app"), &artifact), "archive.not_a_file", "{}", kind as char);
        assert_eq!(bench.code(Format::TarGz, None, &artifact), "archive.missing", "{}", kind as char);
    }
    let sparse = pax(b'x', &[("GNU.sparse.major", b"1")]);
    assert_eq!(bench.code(Format::TarGz, Some("app"), &tar_gz(&[sparse, app()])), "archive.not_a_file");
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.add_symlink("app", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.add_directory("dir/", SimpleFileOptions::default()).unwrap();
    let artifact = writer.finish().unwrap().into_inner();
    assert_eq!(bench.code(Format::Zip, Some("app"), &artifact), "archive.not_a_file");
    assert_eq!(bench.code(Format::Zip, Some("dir"), &artifact), "archive.not_a_file");
    assert_eq!(bench.code(Format::Zip, None, &artifact), "archive.missing");
}

#[test]
fn a_link_followed_by_a_directory_changes_nothing_outside() {
    // CVE-2026-33056: a directory entry made the mode of the link's target its own.
    let bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let before = fs::metadata(outside.path()).unwrap();
    let mut link = ::tar::Header::new_ustar();
    link.set_path("foo").unwrap();
    link.set_entry_type(::tar::EntryType::Symlink);
    link.set_link_name(outside.path()).unwrap();
    link.set_size(0);
    link.set_cksum();
    let members = [link.as_bytes().to_vec(), member(b"foo/", b'5', b""), member(b"foo/app", b'0', BINARY)];
    assert_eq!(bench.unpack(Format::TarGz, Some("foo/app"), &tar_gz(&members)).unwrap(), BINARY);
    let after = fs::metadata(outside.path()).unwrap();
    assert_eq!((before.mode(), before.ctime_nsec()), (after.mode(), after.ctime_nsec()));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn headers_that_disagree_are_refused() {
    let bench = Bench::new();
    let hidden = member(b"evil", b'0', b"other bytes");
    for size in [&b"0"[..], b"512", b"1024", b"99999999", b"nonsense", b"-1"] {
        let members = [pax(b'x', &[("size", size)]), app(), hidden.clone()];
        assert_eq!(bench.code(Format::TarGz, Some("app"), &tar_gz(&members)), "archive.disagreement");
    }
    let right = BINARY.len().to_string();
    let members = [pax(b'x', &[("size", right.as_bytes())]), app()];
    assert_eq!(bench.unpack(Format::TarGz, None, &tar_gz(&members)).unwrap(), BINARY);
    let members = [pax(b'x', &[("path", b"one"), ("path", b"two")]), app()];
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&members)), "archive.disagreement");
    let members = [pax(b'x', &[("path", b"one")]), member(b"././@LongLink", b'L', b"two\0"), app()];
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&members)), "archive.disagreement");
    let members = [pax(b'g', &[("path", b"app")]), app()];
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&members)), "archive.disagreement");
    let members = [pax(b'g', &[("comment", b"0123abcd")]), app()];
    assert_eq!(bench.unpack(Format::TarGz, None, &tar_gz(&members)).unwrap(), BINARY);
}

#[test]
fn an_extension_header_takes_no_memory_to_speak_of() {
    let bench = Bench::new();
    let members = [member(b"PaxHeaders/x", b'x', &vec![b'0'; 100_000]), app()];
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&members)), "archive.damaged");
}

#[test]
fn a_bomb_stops_at_the_size_that_was_signed() {
    let bench = Bench::new();
    let zeros = vec![0; 2 << 20];
    let as_tar = tar(&[member(b"app", b'0', &zeros)]);
    let artifacts = [
        (Format::Gz, gz(&zeros)),
        (Format::Xz, xz(&zeros)),
        (Format::Zst, zst(&zeros)),
        (Format::TarGz, gz(&as_tar)),
        (Format::Zip, zipped(&[("app", &zeros, 0o755)])),
    ];
    for (format, artifact) in artifacts {
        for binary_size in [None, Some(1000)] {
            let job = ExtractJob { binary_size, ..bench.job(format, &artifact) };
            let limit = binary_size.unwrap_or(job.max_size);
            assert_eq!(extract(&job).unwrap_err(), ArchiveFault::TooLarge { limit }.into(), "{format:?}");
            assert!(!job.out.exists());
        }
    }
    // Also where the bomb is an entry that nobody asked for, or padding.
    let artifact = zst(&tar(&[member(b"bomb", b'0', &vec![0; 20 << 20]), app()]));
    assert_eq!(bench.code_of(&artifact, Some("app")), "archive.too_large");
    let mut padded = tar(&[app()]);
    padded.resize(20 << 20, 0);
    assert_eq!(bench.code_of(&zst(&padded), None), "archive.too_large");
}

impl Bench {
    /// Without `measure`, whose limits are its own.
    fn code_of(&self, tar_zst: &[u8], entry: Option<&str>) -> &'static str {
        let job = ExtractJob { entry: entry.map(str::to_owned), ..self.job(Format::TarZst, tar_zst) };
        let failure = extract(&job).unwrap_err();
        assert!(!job.out.exists());
        failure.code()
    }
}

#[test]
fn a_binary_shorter_than_signed_is_refused() {
    let bench = Bench::new();
    let job = ExtractJob { binary_size: Some(1000), ..bench.job(Format::Gz, &gz(BINARY)) };
    let found = BINARY.len() as u64;
    assert_eq!(extract(&job).unwrap_err(), ArchiveFault::Size { expected: 1000, found }.into());
    assert!(!job.out.exists());
}

#[test]
fn two_entries_that_could_be_meant_are_ambiguous() {
    let bench = Bench::new();
    let other = member(b"other", b'0', b"other");
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&[app(), other])), "archive.ambiguous");
    for second in [member(b"app", b'0', b"evil"), member(b"./app", b'0', b"evil"), member(b"app", b'2', b"")] {
        assert_eq!(bench.code(Format::TarGz, Some("app"), &tar_gz(&[app(), second])), "archive.ambiguous");
    }
    let artifact = zipped(&[("app", BINARY, 0o755), ("bpp", b"evil", 0o755)]);
    assert_eq!(bench.code(Format::Zip, None, &artifact), "archive.ambiguous");
    let twice = renamed(artifact, b"bpp", b"app");
    assert_eq!(bench.code(Format::Zip, Some("app"), &twice), "archive.ambiguous");
}

#[test]
fn a_missing_entry_is_named() {
    let bench = Bench::new();
    let failure = bench.unpack(Format::TarGz, Some("bin/app"), &tar_gz(&[app()])).unwrap_err();
    assert_eq!(failure.to_string(), "the archive has no entry `bin/app`");
    assert_eq!(bench.code(Format::Zip, Some("x"), &zipped(&[("app", BINARY, 0o755)])), "archive.missing");
    assert_eq!(bench.code(Format::TarGz, None, &tar_gz(&[])), "archive.missing");
}

#[test]
fn whatever_follows_the_end_is_refused() {
    let bench = Bench::new();
    let archive = tar(&[app()]);
    for format in [Format::Gz, Format::Xz, Format::Zst, Format::TarGz, Format::TarXz, Format::TarZst] {
        let inner = if matches!(format, Format::Gz | Format::Xz | Format::Zst) { BINARY } else { &archive };
        let mut artifact = packed(format, inner);
        for garbage in [b"garbage!".to_vec(), vec![0; 512], packed(format, inner)] {
            let artifact = [artifact.clone(), garbage].concat();
            assert_eq!(bench.code(format, None, &artifact), "archive.trailing", "{format:?}");
        }
        artifact.push(b'x');
        assert_eq!(bench.code(format, None, &artifact), "archive.trailing", "{format:?}");
    }
    for garbage in [b"x".to_vec(), app()] {
        let artifact = gz(&[archive.clone(), garbage].concat());
        assert_eq!(bench.code(Format::TarGz, None, &artifact), "archive.trailing");
    }
    let mut padded = archive;
    padded.resize(10_240, 0);
    assert_eq!(bench.unpack(Format::TarGz, None, &gz(&padded)).unwrap(), BINARY, "tar pads to 10 KiB");
    let archive = zipped(&[("app", BINARY, 0o755)]);
    assert_eq!(bench.code(Format::Zip, None, &[&archive[..], b"garbage"].concat()), "archive.trailing");
    assert_eq!(bench.code(Format::Zip, None, &[b"garbage", &archive[..]].concat()), "archive.disagreement");
    // A second directory in the comment of the first.
    let mut nested = archive.clone();
    let end = nested.len();
    nested[end - 2..].copy_from_slice(&(archive.len() as u16).to_le_bytes());
    nested.extend_from_slice(&archive);
    assert_eq!(bench.code(Format::Zip, None, &nested), "archive.disagreement");
}

#[test]
fn decoders_have_a_bound_on_memory() {
    let bench = Bench::new();
    let mut options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
    options.dict_size(256 << 20);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(BINARY).unwrap();
    assert_eq!(bench.code(Format::Xz, None, &encoder.finish().unwrap()), "archive.memory");
    // A frame header that asks for a window of 2 GiB, with one empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    assert_eq!(bench.code(Format::Zst, None, &frame), "archive.memory");
}

#[test]
fn an_extraction_can_be_stopped() {
    let bench = Bench::new();
    let job = bench.job(Format::Gz, &gz(BINARY));
    assert_eq!(
        extract_unless(&job, Unpacking::open(&job).unwrap(), &AtomicBool::new(true)).unwrap_err(),
        FetchFailure::Stopped
    );
    assert!(!job.out.exists());
}

#[test]
fn a_full_disk_is_named() {
    let bench = Bench::new();
    let job = bench.job(Format::Raw, BINARY);
    let stop = AtomicBool::new(false);
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut quota = Quota::new(1 << 20, 1 << 20, &stop);
    let failure =
        unpack(File::open(&job.artifact).unwrap(), job.format, Which::Only, &mut full, &mut quota).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("download.disk_full", Exit::Install));
}

#[test]
fn beside_a_licence_and_a_manual_the_binary_is_the_one_called_like_the_product() {
    let bench = Bench::new();
    let zip = {
        let mut writer = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in [("LICENSE", &b"MIT"[..]), ("app-1.2.0/app", BINARY), ("app-1.2.0/README.md", b"read me")]
        {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let members = [
        member(b"app-1.2.0/", b'5', b""),
        member(b"app-1.2.0/LICENSE", b'0', &[b'l'; 3000]),
        member(b"app-1.2.0/app", b'0', BINARY),
        member(b"app-1.2.0/README.md", b'0', b"read me"),
    ];
    for (format, archive) in [(Format::TarGz, tar_gz(&members)), (Format::Zip, zip)] {
        let called = |program: &str| {
            let job = ExtractJob { program: Some(program.to_owned()), ..bench.job(format, &archive) };
            let result = extract(&job);
            let bytes = fs::read(&job.out).ok();
            let _ = fs::remove_file(&job.out);
            (result, bytes)
        };
        let (result, bytes) = called("app");
        assert_eq!((result.unwrap().size, bytes.as_deref()), (BINARY.len() as u64, Some(BINARY)), "{format:?}");
        let (result, bytes) = called("other");
        assert_eq!((result.unwrap_err().code(), bytes), ("archive.missing", None), "{format:?}");
    }
    let twice = tar_gz(&[member(b"app", b'0', BINARY), member(b"bin/app", b'0', BINARY)]);
    let job = ExtractJob { program: Some("app".to_owned()), ..bench.job(Format::TarGz, &twice) };
    assert_eq!(extract(&job).unwrap_err().code(), "archive.ambiguous");
    assert!(!job.out.exists());
}
