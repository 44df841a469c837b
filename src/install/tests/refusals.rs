//! What is refused, and that nothing has changed then.

use super::*;

/// What the program path is, to the byte.
fn target(bench: &Bench) -> (u64, u32, Vec<u8>) {
    let meta = fs::metadata(bench.program()).unwrap();
    (meta.ino(), meta.mode(), fs::read(bench.program()).unwrap())
}

fn opened(layout: Layout, program: &Path) -> Result<Install, InstallError> {
    Install::open(layout, program, Carry::Strict)
}

#[test]
fn paths_that_cannot_hold_a_program_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    symlink("nowhere", at("dangling")).unwrap();
    symlink("dangling", at("dangling-chain")).unwrap();
    symlink("loop-b", at("loop-a")).unwrap();
    symlink("loop-a", at("loop-b")).unwrap();
    symlink("no-dir/app", at("dangling-dir")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("directory", at("to-directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let before = names(dir.path());
    for name in [
        "dangling",
        "dangling-chain",
        "loop-a",
        "dangling-dir",
        "directory",
        "to-directory",
        "socket",
        "no-dir/app",
        "..",
    ] {
        let error = fails_with(opened(Layout::Replace, &at(name)), "install.path", Exit::Install);
        assert!(error.to_string().contains('`'), "{error}");
    }
    assert_eq!(names(dir.path()), before, "nothing was created");
    fails_with(opened(Layout::Replace, Path::new("/")), "install.path", Exit::Install);
}

#[test]
fn paths_that_do_not_fit_the_layout_releases_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let releases = || Layout::Releases { keep: 3 };
    fails_with(opened(releases(), &dir.path().join("app")), "install.path", Exit::Install);
    fails_with(opened(releases(), &dir.path().join("no/current/app")), "install.path", Exit::Install);
    symlink("nowhere", dir.path().join("current")).unwrap();
    fails_with(opened(releases(), &dir.path().join("current/app")), "install.path", Exit::Install);
    fs::remove_file(dir.path().join("current")).unwrap();
    fs::create_dir(dir.path().join("current")).unwrap();
    fails_with(opened(releases(), &dir.path().join("current/app")), "install.path", Exit::Install);
    assert_eq!(names(dir.path()), ["current"]);
}

#[test]
fn a_world_writable_directory_needs_the_sticky_bit() {
    for kind in [Kind::Replace, Kind::Releases] {
        let mut bench = Bench::new(kind, Some("old"));
        let srv = bench.base.join("srv");
        let before = target(&bench);
        fs::set_permissions(&srv, fs::Permissions::from_mode(0o777)).unwrap();
        let error = fails_with(bench.start(), "install.world_writable", Exit::Install);
        assert!(error.to_string().contains("0777"), "{error}");
        assert_eq!(target(&bench), before);
        fs::set_permissions(&srv, fs::Permissions::from_mode(0o1777)).unwrap();
        bench.start().unwrap();
        bench.release("1.0.0");
    }
}

#[test]
fn a_private_directory_that_others_could_have_filled_is_refused() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    let ours = bench.base.join("srv/.fetchd");
    fs::create_dir(&ours).unwrap();
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o775)).unwrap();
    fails_with(bench.start(), "install.foreign", Exit::Install);
    fs::remove_dir(&ours).unwrap();
    symlink(bench.base.join("state"), &ours).unwrap();
    fails_with(bench.start(), "install.path", Exit::Install);
    fs::remove_file(&ours).unwrap();
    fs::create_dir(&ours).unwrap();
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o755)).unwrap();
    bench.start().unwrap();
    assert_eq!(fs::metadata(&ours).unwrap().mode() & 0o7777, 0o700, "readable is made private");
}

#[test]
fn too_little_room_is_found_before_the_download() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let install = bench.install.as_ref().unwrap();
    install.preflight(&sized(1 << 20), 1 << 20).unwrap();
    let error = fails_with(install.preflight(&sized(1 << 52), 0), "install.space", Exit::Install);
    assert!(error.to_string().ends_with("8589934592.0 MiB are needed"), "{error}");
    fails_with(install.preflight(&sized(1), u64::MAX), "install.space", Exit::Install);
    assert_eq!(names(&bench.base.join("srv")), [".fetchd", "app"], "a look leaves nothing behind");
}

#[test]
fn a_file_swapped_in_custody_is_not_installed() {
    for kind in KINDS {
        for step in [Step::MetadataCarried, Step::PreviousKept] {
            let mut bench = Bench::new(kind, Some("1.0.0"));
            bench.start().unwrap();
            bench.release("1.0.0");
            let verified = bench.verified("2.0.0");
            let before = target(&bench);
            let (custody, evil) = (verified.path().to_owned(), bench.base.join("evil"));
            write(&evil, "2.0.0");
            let swap = move || fs::rename(&evil, &custody).unwrap();
            let (install, store) = bench.both();
            let outcome = meanwhile(step, swap, || install.activate(verified, store));
            fails_with(outcome, "install.swapped", Exit::Install);
            assert_eq!(target(&bench), before);
            assert_eq!((bench.record().journal.as_ref(), bench.confirmed().as_deref()), (None, Some("1.0.0")));
            assert_eq!(bench.start().unwrap(), Settled::Clean);
            bench.release("3.0.0");
            bench.assert_tidy();
        }
    }
}

#[test]
fn a_file_that_changed_after_it_was_verified_is_not_installed() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let verified = bench.verified("1.0.0");
    let before = target(&bench);
    fs::write(verified.path(), "6.6.6").unwrap();
    let (install, store) = bench.both();
    fails_with(install.activate(verified, store), "install.swapped", Exit::Install);
    assert_eq!(target(&bench), before);
    bench.assert_tidy();
}

#[test]
fn a_file_swapped_at_the_program_path_is_replaced_by_the_one_before() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let verified = bench.verified("1.0.0");
    let before = target(&bench);
    let (program, evil) = (bench.program(), bench.base.join("evil"));
    write(&evil, "evil!");
    let (install, store) = bench.both();
    let swap = move || fs::rename(&evil, &program).unwrap();
    let outcome = meanwhile(Step::Renamed, swap, || install.activate(verified, store));
    fails_with(outcome, "install.swapped", Exit::Install);
    assert_eq!(target(&bench), before);
    bench.assert_tidy();
}

#[test]
fn a_previous_binary_that_changed_on_disk_is_never_put_back() {
    for kind in KINDS {
        let mut bench = Bench::new(kind, Some("1.0.0"));
        bench.start().unwrap();
        bench.release("1.0.0");
        bench.activate("2.0.0").unwrap();
        let before = target(&bench);
        let kept = bench.install.as_ref().unwrap().place.kept(&Sha256::of(b"1.0.0"));
        fs::write(&kept, "1.0.0 with something added").unwrap();
        let error = fails_with(bench.roll_back(), "install.previous_changed", Exit::Install);
        assert!(error.to_string().contains(&Sha256::of(b"1.0.0").to_string()), "{error}");
        assert_eq!(target(&bench), before);
        assert_eq!(bench.record().journal.as_ref().unwrap().step, JournalStep::Unconfirmed);
        fs::remove_file(&kept).unwrap();
        let error = fails_with(bench.roll_back(), "install.previous_changed", Exit::Install);
        assert!(error.to_string().ends_with("found no such file"), "{error}");
        // Nor at a start: the release that is there is whole and was verified.
        assert!(matches!(bench.start().unwrap(), Settled::Unconfirmed { .. }), "{kind:?}");
        bench.confirm();
        assert_eq!(bench.confirmed().as_deref(), Some("2.0.0"));
    }
}

#[test]
fn a_binary_the_journal_does_not_know_is_left_alone() {
    for kind in [Kind::Replace, Kind::Releases] {
        let mut bench = Bench::new(kind, Some("old"));
        bench.start().unwrap();
        bench.activate("1.0.0").unwrap();
        if kind == Kind::Replace {
            write(&bench.program(), "by hand")
        } else {
            bench.deploy("by hand")
        }
        let before = target(&bench);
        let error = fails_with(bench.start(), "state.unknown_binary", Exit::State);
        assert!(error.to_string().contains(&Sha256::of(b"by hand").to_string()), "{error}");
        assert_eq!(target(&bench), before);
        assert!(bench.record().journal.is_some());
        // `fetchd state repair` takes it for what it should be.
        let (install, store) = bench.both();
        install.adopt(store).unwrap();
        assert_eq!(bench.start().unwrap(), Settled::Clean);
        bench.release("2.0.0");
        bench.roll_back().unwrap().unwrap();
        assert_eq!(bench.starts().as_deref(), Some("by hand"));
    }
}

#[test]
fn one_release_at_a_time() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    bench.activate("1.0.0").unwrap();
    let before = target(&bench);
    fails_with(bench.activate("2.0.0"), "install.unsettled", Exit::Install);
    assert_eq!(target(&bench), before);
    bench.assert_custody_empty();
    bench.roll_back().unwrap().unwrap();
    bench.release("2.0.0");
}

#[test]
fn a_state_that_cannot_be_written_stops_the_activation_before_the_path_changes() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let before = target(&bench);
    let state = bench.base.join("state");
    fs::rename(&state, bench.base.join("elsewhere")).unwrap();
    let error = bench.activate("1.0.0").unwrap_err();
    assert_eq!(error.exit(), Exit::Install);
    assert_eq!(target(&bench), before);
    fs::rename(bench.base.join("elsewhere"), &state).unwrap();
    bench.release("1.0.0");
    // The same between the rename and the second entry of the journal.
    let before = target(&bench);
    let (from, to) = (state.clone(), bench.base.join("elsewhere"));
    let verified = bench.verified("2.0.0");
    let (install, store) = bench.both();
    let outcome = meanwhile(Step::Synced, move || fs::rename(from, to).unwrap(), || install.activate(verified, store));
    outcome.unwrap_err();
    assert_eq!(target(&bench), before);
    fs::rename(bench.base.join("elsewhere"), &state).unwrap();
    // No restart is needed to go on.
    bench.release("2.0.0");
    bench.assert_tidy();
    bench.roll_back().unwrap().unwrap();
    assert_eq!(bench.starts().as_deref(), Some("1.0.0"));

    // Nor does a restart do anything else.
    let (from, to) = (state.clone(), bench.base.join("elsewhere"));
    let verified = bench.verified("3.0.0");
    let (install, store) = bench.both();
    let outcome = meanwhile(Step::Synced, move || fs::rename(from, to).unwrap(), || install.activate(verified, store));
    outcome.unwrap_err();
    fs::rename(bench.base.join("elsewhere"), &state).unwrap();
    assert!(matches!(bench.start().unwrap(), Settled::Abandoned { .. }));
    assert_eq!(bench.starts().as_deref(), Some("1.0.0"));
}

#[test]
fn owner_only_accepts_what_nobody_else_can_change() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    fs::create_dir_all(dir.join("v1/bin")).unwrap();
    write(&dir.join("v1/bin/app"), "x");
    symlink("v1", dir.join("current")).unwrap();
    symlink("../v1/bin/./app", dir.join("v1/app")).unwrap();
    for good in ["v1/bin/app", "current/bin/app", "current/app", "v1/bin/../bin/app"] {
        owner_only(&dir.join(good)).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    owner_only(Path::new("/bin/sh")).unwrap();
}

#[test]
fn owner_only_refuses_what_somebody_else_can_change() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let app = dir.join("v1/bin/app");
    fs::create_dir_all(dir.join("v1/bin")).unwrap();
    write(&app, "x");
    symlink("v1", dir.join("current")).unwrap();
    let through = dir.join("current/bin/app");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (path, bad, good) in [
        (app.clone(), 0o775, 0o755),
        (app.clone(), 0o757, 0o755),
        (dir.join("v1/bin"), 0o775, 0o755),
        (dir.join("v1"), 0o777, 0o755),
        // Sticky protects directories in it, not files: a hard link to another file of ours could be put there.
        (dir.join("v1/bin"), 0o1777, 0o755),
    ] {
        mode(&path, bad);
        fails_with(owner_only(&through), "trust.owner", Exit::Trust);
        mode(&path, good);
        owner_only(&through).unwrap();
    }
    mode(&dir.join("v1"), 0o1777);
    owner_only(&through).unwrap();
    owner_only(&dir).unwrap_err();
    owner_only(&dir.join("v1/missing")).unwrap_err();
    symlink("loop", dir.join("loop")).unwrap();
    owner_only(&dir.join("loop")).unwrap_err();
}
