//! Owner, mode and extended attributes of the binary are those of the one before.

use super::*;

/// A binary of somebody who set everything that can be set without privilege.
fn decorated(bench: &Bench) {
    let program = bench.program();
    xattr::set(&program, "user.origin", b"somewhere").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6711)).unwrap();
}

#[test]
fn mode_and_attributes_are_carried_over_and_come_back() {
    for kind in [Kind::Replace, Kind::Releases] {
        let mut bench = Bench::new(kind, Some("old"));
        decorated(&bench);
        bench.start().unwrap();
        for version in ["1.0.0", "2.0.0"] {
            bench.release(version);
            let meta = fs::metadata(bench.program()).unwrap();
            assert_eq!(meta.mode() & 0o7777, 0o6711);
            assert_eq!(xattr::get(bench.program(), "user.origin").unwrap().as_deref(), Some(&b"somewhere"[..]));
        }
        bench.roll_back().unwrap().unwrap();
        assert_eq!(fs::metadata(bench.program()).unwrap().mode() & 0o7777, 0o6711);
    }
}

#[test]
fn setuid_of_the_new_file_counts_for_nothing() {
    for first in [Some("old"), None] {
        let mut bench = Bench::new(Kind::Replace, first);
        bench.start().unwrap();
        let verified = bench.verified("1.0.0");
        fs::set_permissions(verified.path(), fs::Permissions::from_mode(0o6777)).unwrap();
        let (install, store) = bench.both();
        install.activate(verified, store).unwrap();
        assert_eq!(fs::metadata(bench.program()).unwrap().mode() & 0o7777, 0o755);
    }
}
