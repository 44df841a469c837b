//! Archives too large for a fixture, or about a place that only the test knows.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{pack, tar, zip};
use crate::bench::Bench;
use crate::machine;
use crate::table::{Files, Verdict};
use pack::{binary, gz, release};

/// The link leads to a directory that is there, and everything below it is asked for.
pub fn link_then_directory(bench: &mut Bench, verdict: &Verdict) {
    let outside = bench.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    let seen =
        || fs::metadata(&outside).map(|meta| (meta.mode(), meta.uid(), meta.ctime(), meta.ctime_nsec())).unwrap();
    let before = seen();
    let members = [
        tar::header(b"foo", b'2', 0, outside.as_os_str().as_bytes()),
        tar::member(b"foo/", b'5', b""),
        tar::file("foo/app", &binary()),
        tar::file("foo/other", b"other"),
    ];
    bench.show(&release(&bench.maker, "tar.gz", Some("foo/app"), gz(&tar::archive(&members))));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(seen(), before, "the directory outside was touched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was written outside");
    bench.assert_recovers();
}

const BOMB: u64 = 10 << 30;

pub fn bomb_gz(bench: &mut Bench, verdict: &Verdict) {
    let stream = pack::gz_bomb((BOMB >> 20) as usize);
    assert!(stream.len() < 12 << 20, "{}", stream.len());
    goes_off(bench, &release(&bench.maker, "gz", None, stream), &[], verdict);
}

pub fn bomb_zst(bench: &mut Bench, verdict: &Verdict) {
    goes_off(bench, &release(&bench.maker, "zst", None, pack::zst_bomb(b"", BOMB)), &[], verdict);
}

pub fn bomb_xz(bench: &mut Bench, verdict: &Verdict) {
    goes_off(bench, &release(&bench.maker, "xz", None, pack::xz(&vec![0; 48 << 20])), &[], verdict);
}

/// The entry that is signed is too long, and says so.
pub fn bomb_tar(bench: &mut Bench, verdict: &Verdict) {
    // The most that the field can say.
    let stream = pack::zst_bomb(&tar::header(b"app", b'0', (8 << 30) - 1, b""), BOMB);
    goes_off(bench, &release(&bench.maker, "tar.zst", Some("app"), stream), &[], verdict);
}

pub fn bomb_beside(bench: &mut Bench, verdict: &Verdict) {
    let head = [tar::file("app", &binary()), tar::header(b"other", b'0', (8 << 30) - 1, b"")].concat();
    let stream = pack::zst_bomb(&head, BOMB);
    goes_off(bench, &release(&bench.maker, "tar.zst", Some("app"), stream), &["--max-size", "1MiB"], verdict);
}

/// Behind the end of a tar archive there may be zeros, and not without end.
pub fn bomb_padding(bench: &mut Bench, verdict: &Verdict) {
    let stream = pack::zst_bomb(&tar::file("app", &binary()), BOMB);
    goes_off(bench, &release(&bench.maker, "tar.zst", Some("app"), stream), &["--max-size", "1MiB"], verdict);
}

pub fn bomb_zip(bench: &mut Bench, verdict: &Verdict) {
    zip_bomb(bench, 1 << 30, verdict);
}

pub fn bomb_zip_claims_less(bench: &mut Bench, verdict: &Verdict) {
    zip_bomb(bench, binary().len() as u32, verdict);
}

fn zip_bomb(bench: &mut Bench, claimed: u32, verdict: &Verdict) {
    let bytes = pack::deflated_zeros(1 << 10);
    let entry = zip::Entry { name: b"app", mode: 0o100_755, method: 8, bytes: &bytes, crc32: 0, claimed };
    goes_off(bench, &release(&bench.maker, "zip", Some("app"), zip::archive(&[entry])), &[], verdict);
}

/// In artifact mode the limit of this machine is the only one.
pub fn bomb_bound(bench: &mut Bench, verdict: &Verdict) {
    let (name, files) = pack::bound(&bench.maker, "zst", pack::zst_bomb(b"", BOMB));
    bench.follows = Some(name);
    bench.show(&files);
    let ended = bench.end(&mut machine::with_files_up_to(
        MOST_WRITTEN,
        &machine::apply(bench, &["--signature", "bound", "--max-size", "1MiB"]),
    ));
    bench.assert_verdict(&ended, verdict);
    bench.follows = None;
    bench.assert_recovers();
}

/// Whoever writes more than this into one file is killed: the binary that is signed is much shorter.
const MOST_WRITTEN: u64 = 32 << 20;

#[track_caller]
fn goes_off(bench: &mut Bench, files: &Files, flags: &[&str], verdict: &Verdict) {
    bench.show(files);
    let ended = bench.end(&mut machine::with_files_up_to(MOST_WRITTEN, &machine::apply(bench, flags)));
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

pub fn set_user_id_tar(bench: &mut Bench, verdict: &Verdict) {
    assert_eq!(tar::CLAIMED_MODE & 0o6000, 0o6000);
    let files = release(&bench.maker, "tar.gz", Some("app"), gz(&tar::archive(&[tar::file("app", &binary())])));
    keeps_its_mode(bench, &files, verdict);
}

pub fn set_user_id_zip(bench: &mut Bench, verdict: &Verdict) {
    let binary = binary();
    let archive = zip::archive(&[zip::stored(b"app", 0o106_777, &binary)]);
    keeps_its_mode(bench, &release(&bench.maker, "zip", Some("app"), archive), verdict);
}

#[track_caller]
fn keeps_its_mode(bench: &mut Bench, files: &Files, verdict: &Verdict) {
    bench.show(files);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(fs::metadata(bench.program()).unwrap().mode() & 0o7777, 0o755);
    bench.assert_recovers();
}
