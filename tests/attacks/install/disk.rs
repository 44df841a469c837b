//! A disk that is full when it is written to, and when it is asked whether it has written.

use std::collections::BTreeMap;
use std::fs;

use fetchd_fetchers::conformance::scripted::Serve;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::archive::pack;
use crate::bench::Bench;
use crate::machine::{self, SmallFileSystem};
use crate::maker::{POINTER, SEQ, program, script};
use crate::table::{Files, Verdict};

/// More than the small file system holds.
const LARGE: usize = 8 << 20;

/// A bench whose program lies on a file system of 2 MiB.
fn small(bench: &mut Bench) -> SmallFileSystem {
    let small = SmallFileSystem::at(&bench.path().join("srv"), "2m");
    bench.put_program(&program("1.0.0"));
    bench.mark();
    bench.flags.extend(["--reserve".to_owned(), "0".to_owned()]);
    small
}

fn large() -> Vec<u8> {
    let mut binary = script("large", "echo app 1.1.0; exit 0");
    binary.resize(LARGE, b'#');
    binary
}

/// It is full and is empty again: the next release is small, and there is room for it.
#[track_caller]
fn assert_full(bench: &mut Bench, flags: &[&str], verdict: &Verdict) {
    let ended = bench.apply(flags);
    bench.assert_verdict(&ended, verdict);
    let partial = fs::read_dir(bench.path().join("srv/.fetchd/app/staging")).unwrap().count();
    assert_eq!(partial, 0, "a partial download takes the room that is missing");
    bench.follows = None;
    bench.assert_recovers();
}

/// The size is signed, so there is nothing to try.
pub fn before(bench: &mut Bench, verdict: &Verdict) {
    if machine::may_mount("r77_disk_full_before_the_download::file") {
        let _small = small(bench);
        let mut files = bench.maker.with_binary(SEQ, "1.1.0", &large());
        files.retain(|name, _| name == POINTER);
        bench.show(&files);
        assert_full(bench, &[], verdict);
    }
}

/// Where no size is known before the last byte, only the disk can say that it is full.
pub fn in_the_download(bench: &mut Bench, verdict: &Verdict) {
    if machine::may_mount("r77_disk_full_in_the_download::http") {
        let _small = small(bench);
        let binary = large();
        let signature = bench.maker.publisher.sign(&binary, "any comment").into_bytes();
        bench.show(&Files::from([("app".to_owned(), binary.clone()), ("app.minisig".to_owned(), signature)]));
        let serve = Serve { length: false, ranges: false, ..Serve::default() };
        bench.carrier.http().put_with("/app", binary, serve);
        bench.follows = Some("app".to_owned());
        assert_full(bench, &["--signature", "plain"], verdict);
    }
}

/// In artifact mode the size of the binary in an archive need not be signed.
pub fn while_unpacking(bench: &mut Bench, verdict: &Verdict) {
    if machine::may_mount("r77_disk_full_while_unpacking::file") {
        let _small = small(bench);
        let (name, files) = pack::bound(&bench.maker, "zst", pack::zst_bomb(b"", LARGE as u64));
        bench.show(&files);
        bench.follows = Some(name);
        assert_full(bench, &["--signature", "bound"], verdict);
    }
}

/// The bytes were taken, and the disk says only later that they cannot be kept. A thread whose `fsync` fails starts
/// fetchd, which inherits that.
pub fn at_fsync(bench: &mut Bench, verdict: &Verdict) {
    let files = bench.maker.good(SEQ, "1.1.0");
    // The floor is written by a pass that gets no further; a disk that fails there is not meant.
    let mut without = files.clone();
    without.retain(|name, _| name == POINTER);
    bench.show(&without);
    assert_eq!(bench.apply(&[]).exit, 30);
    bench.mark();
    bench.show(&files);
    let ended = std::thread::scope(|scope| {
        let failing = scope.spawn(|| {
            apply_filter(&no_fsync()).unwrap();
            bench.apply(&[])
        });
        failing.join().unwrap()
    });
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

fn no_fsync() -> BpfProgram {
    let full = SeccompAction::Errno(libc::ENOSPC.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let calls = BTreeMap::from([(libc::SYS_fsync, Vec::new())]);
    SeccompFilter::new(calls, SeccompAction::Allow, full, arch).unwrap().try_into().unwrap()
}
