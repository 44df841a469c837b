//! Directories that cannot be written, and attributes that cannot be given.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::Bench;
use crate::machine::{self, SmallFileSystem};
use crate::maker::{POINTER, SEQ, program};
use crate::table::{Files, Verdict};

/// A good release without its artifact: whoever begins the download fails in another way.
fn without_artifact(bench: &Bench) -> Files {
    let mut files = bench.maker.good(SEQ, "1.1.0");
    files.retain(|name, _| name == POINTER);
    files
}

pub fn read_only(bench: &mut Bench, verdict: &Verdict) {
    bench.show(&without_artifact(bench));
    let ended = bench.end(&mut machine::read_only(&bench.path().join("srv"), &machine::apply(bench, &[])));
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

pub fn no_permission(bench: &mut Bench, verdict: &Verdict) {
    let srv = bench.path().join("srv");
    bench.show(&without_artifact(bench));
    fs::set_permissions(&srv, Permissions::from_mode(0o555)).unwrap();
    let ended = bench.end(&mut machine::without(&["dac_override", "dac_read_search"], &machine::apply(bench, &[])));
    fs::set_permissions(&srv, Permissions::from_mode(0o755)).unwrap();
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

pub fn world_writable(bench: &mut Bench, verdict: &Verdict) {
    let srv = bench.path().join("srv");
    fs::set_permissions(&srv, Permissions::from_mode(0o777)).unwrap();
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    fs::set_permissions(&srv, Permissions::from_mode(0o755)).unwrap();
    bench.assert_recovers();
}

/// In such a directory only the owner of a file may replace it.
pub fn sticky(bench: &mut Bench, verdict: &Verdict) {
    fs::set_permissions(bench.path().join("srv"), Permissions::from_mode(0o1777)).unwrap();
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

pub fn capabilities(bench: &mut Bench, verdict: &Verdict) {
    if machine::may_mount("r82_metadata_capabilities::file") {
        with_capabilities(bench, &[], |bench| bench.assert_recovers(), verdict);
    }
}

pub fn capabilities_best_effort(bench: &mut Bench, verdict: &Verdict) {
    if machine::may_mount("r82_metadata_capabilities_best_effort::file") {
        let lost = |bench: &mut Bench| {
            assert_eq!(xattr::get(bench.program(), ATTRIBUTE).unwrap(), None);
            bench.assert_recovers();
        };
        with_capabilities(bench, &["--metadata", "best-effort"], lost, verdict);
    }
}

/// A program that may bind low ports, and a fetchd that may not give that to another.
fn with_capabilities(bench: &mut Bench, flags: &[&str], then: fn(&mut Bench), verdict: &Verdict) {
    let _small = SmallFileSystem::at(&bench.path().join("srv"), "4m");
    bench.put_program(&program("1.0.0"));
    // Revision 2, effective, CAP_NET_BIND_SERVICE permitted.
    let bind: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(bench.program(), ATTRIBUTE, &bind).unwrap();
    bench.mark();
    bench.flags.extend(["--reserve".to_owned(), "0".to_owned()]);
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let mut apply = machine::apply(bench, flags);
    // Also where the row runs in a user namespace, whose root has the right.
    apply = machine::without(&["setfcap"], &apply);
    let ended = bench.end(&mut apply);
    bench.assert_verdict(&ended, verdict);
    then(bench);
}

const ATTRIBUTE: &str = "security.capability";
