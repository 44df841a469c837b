//! The plain way, forward and back, in each layout.

use super::*;

#[test]
fn forward_and_back_in_every_layout() {
    for kind in KINDS {
        let mut bench = Bench::new(kind, Some("1.0.0"));
        assert_eq!(bench.start().unwrap(), Settled::Clean);
        assert_eq!(bench.starts().as_deref(), Some("1.0.0"), "{kind:?}");
        // In the layout `external` nothing is kept of a binary that fetchd has not verified.
        bench.release("1.0.0");

        let installed = bench.activate("2.0.0").unwrap();
        assert_eq!(fs::read_to_string(installed.program()).unwrap(), "2.0.0", "{kind:?}");
        assert_eq!(installed.version(), Some(&"2.0.0".parse().unwrap()));
        assert_eq!((installed.size(), *installed.sha256()), (5, Sha256::of(b"2.0.0")));
        assert_eq!(bench.record().journal.as_ref().unwrap().step, JournalStep::Unconfirmed);
        bench.confirm();
        assert_eq!((bench.record().journal.as_ref(), bench.confirmed().as_deref()), (None, Some("2.0.0")));
        assert_eq!(bench.record().confirmed.as_ref().unwrap().at, Timestamp(1_700_000_000));
        bench.assert_tidy();

        bench.activate("3.0.0").unwrap();
        let back = bench.roll_back().unwrap().unwrap();
        assert_eq!(fs::read_to_string(back.program()).unwrap(), "2.0.0", "{kind:?}");
        assert_eq!(back.version(), Some(&"2.0.0".parse().unwrap()));
        assert!(bench.install.as_ref().unwrap().unchanged(&back).unwrap());
        assert_eq!((bench.record().journal.as_ref(), bench.confirmed().as_deref()), (None, Some("2.0.0")));
        assert_eq!(bench.starts().as_deref(), Some("2.0.0"), "{kind:?}");
        bench.assert_tidy();

        // What was kept before the failed release is still there to go back to.
        let back = bench.roll_back().unwrap().unwrap();
        assert_eq!(fs::read_to_string(back.program()).unwrap(), "1.0.0", "{kind:?}");
        assert_eq!(bench.confirmed().as_deref(), Some("1.0.0"));
        assert!(bench.roll_back().unwrap().is_none(), "{kind:?}");
        assert_eq!(bench.start().unwrap(), Settled::Clean);
        assert_eq!(bench.starts().as_deref(), Some("1.0.0"), "{kind:?}");

        bench.release("4.0.0");
        assert_eq!(bench.starts().as_deref(), Some("4.0.0"), "{kind:?}");
        bench.assert_tidy();
    }
}

#[test]
fn the_first_release_needs_no_binary_before_it() {
    for kind in [Kind::Replace, Kind::Releases] {
        let mut bench = Bench::new(kind, None);
        bench.start().unwrap();
        assert_eq!(bench.starts(), None);
        let installed = bench.activate("1.0.0").unwrap();
        assert_eq!(fs::metadata(installed.program()).unwrap().mode() & 0o7777, 0o755);
        assert!(bench.roll_back().unwrap().is_none());
        assert_eq!(bench.starts().as_deref(), Some("1.0.0"));
        // It is known to be bad, and still the next one may come.
        bench.quarantine("1.0.0");
        bench.activate("2.0.0").unwrap();
        assert!(bench.roll_back().unwrap().is_none(), "never back to a digest in quarantine");
        bench.confirm();
        assert_eq!((bench.confirmed().as_deref(), bench.record().previous.as_ref()), (Some("2.0.0"), None));
    }
}

#[test]
fn the_previous_binary_is_a_hard_link_and_a_roll_back_brings_the_same_inode_back() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let before = inode(&bench.program());
    let verified = bench.verified("1.0.0");
    let verified_inode = verified.file().metadata().unwrap().ino();
    let (install, store) = bench.both();
    install.activate(verified, store).unwrap();
    assert_eq!(inode(&bench.program()), verified_inode, "the very file that was verified");
    assert_eq!(inode(&bench.base.join("srv/.fetchd/app/previous")), before);
    bench.roll_back().unwrap().unwrap();
    assert_eq!(inode(&bench.program()), before);
    assert_eq!(fs::metadata(bench.program()).unwrap().nlink(), 1);
}

#[test]
fn a_symlink_stays_and_its_pointee_is_replaced() {
    let mut bench = Bench::new(Kind::Replace, None);
    let real = bench.base.join("real");
    fs::create_dir(&real).unwrap();
    write(&real.join("app-binary"), "old");
    // A chain, each link relative to the directory it lies in.
    symlink("app-binary", real.join("alias")).unwrap();
    symlink("../real/alias", bench.program()).unwrap();
    bench.start().unwrap();
    bench.release("1.0.0");
    bench.release("2.0.0");
    assert_eq!(fs::read_link(bench.program()).unwrap(), Path::new("../real/alias"));
    assert_eq!(fs::read_link(real.join("alias")).unwrap(), Path::new("app-binary"));
    assert!(fs::symlink_metadata(real.join("app-binary")).unwrap().is_file());
    assert_eq!(fs::read_to_string(real.join("app-binary")).unwrap(), "2.0.0");
    assert_eq!(names(&real), [".fetchd", "alias", "app-binary"]);
}

#[test]
fn a_running_binary_is_replaced_again_and_again() {
    let mut bench = Bench::new(Kind::Replace, None);
    fs::copy("/bin/sleep", bench.program()).unwrap();
    bench.start().unwrap();
    let mut running = std::process::Command::new(bench.program()).arg("600").spawn().unwrap();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        bench.release(version);
        assert_eq!(fs::read_to_string(bench.program()).unwrap(), version);
    }
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn releases_are_collected_but_never_what_is_needed_or_not_ours() {
    let mut bench = Bench::new(Kind::Releases, Some("old"));
    bench.start().unwrap();
    let releases = bench.base.join("srv/releases");
    fs::create_dir_all(releases.join("shared")).unwrap();
    fs::create_dir_all(releases.join("0.1.0-00ff00ff/conf")).unwrap();
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0"] {
        bench.release(version);
    }
    let short = |version: &str| format!("{version}-{}", Sha256::of(version.as_bytes()).short());
    assert_eq!(
        names(&releases),
        ["0.1.0-00ff00ff".to_owned(), short("3.0.0"), short("4.0.0"), "shared".to_owned()],
        "two are kept; a directory with something of the operator's in it stays"
    );
    assert_eq!(fs::read_link(bench.base.join("srv/current")).unwrap(), Path::new("releases").join(short("4.0.0")));
    bench.roll_back().unwrap().unwrap();
    assert_eq!(fs::read_to_string(bench.program()).unwrap(), "3.0.0");
    assert!(bench.base.join("srv/by-hand-old/app").exists());
}

#[test]
fn releases_are_never_collected_while_they_are_needed() {
    let mut bench = Bench::new(Kind::Releases, Some("old"));
    bench.keep = 0;
    bench.start().unwrap();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        bench.release(version);
    }
    let short = |version: &str| format!("{version}-{}", Sha256::of(version.as_bytes()).short());
    assert_eq!(names(&bench.base.join("srv/releases")), [short("2.0.0"), short("3.0.0")]);
    bench.roll_back().unwrap().unwrap();
    assert_eq!(bench.starts().as_deref(), Some("2.0.0"));
}

#[test]
fn releases_go_back_to_a_directory_that_is_not_ours() {
    let mut bench = Bench::new(Kind::Releases, Some("old"));
    bench.start().unwrap();
    bench.activate("1.0.0").unwrap();
    bench.roll_back().unwrap().unwrap();
    assert_eq!(fs::read_link(bench.base.join("srv/current")).unwrap(), bench.base.join("srv/by-hand-old"));
}

#[test]
fn external_never_writes_their_path_and_starts_what_was_confirmed() {
    let mut bench = Bench::new(Kind::External, Some("1.0.0"));
    bench.start().unwrap();
    bench.release("1.0.0");
    let installed = bench.activate("2.0.0").unwrap();
    assert_eq!(installed.program(), bench.program());
    let (theirs, bytes) = (inode(&bench.program()), fs::read(bench.program()).unwrap());
    // They remove what they had: only our copy is left.
    fs::remove_dir_all(bench.base.join("srv/by-hand-1.0.0")).unwrap();
    let back = bench.roll_back().unwrap().unwrap();
    assert!(back.program().starts_with(bench.base.join("external/kept")));
    assert_eq!(fs::metadata(back.program()).unwrap().mode() & 0o777, 0o755);
    assert_eq!((inode(&bench.program()), fs::read(bench.program()).unwrap()), (theirs, bytes));
    assert_eq!(bench.start().unwrap(), Settled::Clean);
    assert_eq!(bench.starts().as_deref(), Some("1.0.0"));
    // Deployed while fetchd was away: not verified, not started.
    bench.stop();
    bench.deploy("3.0.0");
    bench.start().unwrap();
    assert_eq!(bench.starts().as_deref(), Some("1.0.0"));
    assert_eq!(names(&bench.base.join("srv")), ["by-hand-2.0.0", "by-hand-3.0.0", "current"]);
}

#[test]
fn external_notices_that_they_deployed_again_during_the_activation() {
    let mut bench = Bench::new(Kind::External, Some("1.0.0"));
    bench.start().unwrap();
    bench.release("1.0.0");
    let verified = bench.verified("2.0.0");
    bench.deploy("3.0.0");
    let (install, store) = bench.both();
    fails_with(install.activate(verified, store), "install.swapped", Exit::Install);
    assert_eq!((bench.record().journal.as_ref(), bench.confirmed().as_deref()), (None, Some("1.0.0")));
    bench.release("3.0.0");
    bench.assert_tidy();
}

#[test]
fn a_change_by_somebody_else_is_noticed() {
    for kind in KINDS {
        let mut bench = Bench::new(kind, Some("1.0.0"));
        bench.start().unwrap();
        let installed = bench.activate("2.0.0").unwrap();
        let unchanged = |bench: &Bench| bench.install.as_ref().unwrap().unchanged(&installed).unwrap();
        assert!(unchanged(&bench), "{kind:?}");
        bench.confirm();
        assert!(unchanged(&bench), "{kind:?}");
        fs::set_permissions(bench.program(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(unchanged(&bench), "the bytes are the same: {kind:?}");
        if kind == Kind::Replace {
            write(&bench.program(), "2.0.1")
        } else {
            bench.deploy("2.0.1")
        }
        assert!(!unchanged(&bench), "{kind:?}");
        fs::remove_file(bench.program()).unwrap();
        assert!(!unchanged(&bench), "{kind:?}");
    }
}

#[test]
fn an_operators_way_back_can_be_undone() {
    for kind in KINDS {
        let mut bench = Bench::new(kind, Some("1.0.0"));
        bench.start().unwrap();
        bench.release("1.0.0");
        bench.release("2.0.0");

        // The older one is tried, and does not start.
        let (install, store) = bench.both();
        let tried = install.reactivate(store).unwrap().unwrap();
        assert_eq!(fs::read_to_string(tried.program()).unwrap(), "1.0.0", "{kind:?}");
        assert_eq!(bench.record().journal.as_ref().unwrap().step, JournalStep::Unconfirmed);
        let back = bench.roll_back().unwrap().unwrap();
        assert_eq!(fs::read_to_string(back.program()).unwrap(), "2.0.0", "{kind:?}");
        assert_eq!((bench.record().journal.as_ref(), bench.confirmed().as_deref()), (None, Some("2.0.0")));
        bench.assert_tidy();

        // A machine that goes down meanwhile comes up with what was confirmed.
        let (install, store) = bench.both();
        install.reactivate(store).unwrap().unwrap();
        assert!(matches!(bench.start().unwrap(), Settled::RolledBack { .. }), "{kind:?}");
        assert_eq!(
            (bench.starts().as_deref(), bench.confirmed().as_deref()),
            (Some("2.0.0"), Some("2.0.0")),
            "{kind:?}"
        );

        // And it can be tried again, and stay.
        let (install, store) = bench.both();
        install.reactivate(store).unwrap().unwrap();
        bench.confirm();
        assert_eq!(
            (bench.starts().as_deref(), bench.confirmed().as_deref()),
            (Some("1.0.0"), Some("1.0.0")),
            "{kind:?}"
        );
        bench.assert_tidy();
    }
}
