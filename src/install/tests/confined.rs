//! File systems that are full or read-only, and rights that are missing.
//!
//! These tests run themselves again in a mount namespace of their own, where they may mount; without root in a user
//! namespace. A machine that allows neither fails them.

use std::process::Command;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

/// Runs `body` with a directory that is a small file system of its own, in a process that may remount it.
fn on_a_small_file_system(test: &str, body: fn(&Path)) {
    if let Some(dir) = std::env::var_os(INNER) {
        return body(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script =
        "mount -t tmpfs -o size=2m,nr_inodes=64,mode=755 none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let output = command
        .args(["sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(format!("install::tests::confined::{test}"))
        .env(INNER, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// A service on the small file system whose state is elsewhere.
fn bench(dir: &Path, first: Option<&str>) -> Bench {
    let mut bench = Bench::at(dir, Kind::Replace, first);
    let state = tempfile::tempdir().unwrap();
    bench.state = state.path().join("state");
    bench.dir = Some(state);
    bench
}

fn remount(dir: &Path, how: &str) {
    let done = Command::new("mount").args(["-o", &format!("remount,bind,{how}")]).arg(dir).status().unwrap();
    assert!(done.success());
}

/// Runs `body` in a thread without these rights, which even root needs.
fn without(rights: CapabilitySet, body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(rights);
            set_capabilities(None, sets).unwrap();
            body();
        });
        if let Err(cause) = confined.join() {
            std::panic::resume_unwind(cause);
        }
    });
}

#[test]
fn a_read_only_file_system_is_found_before_the_download() {
    on_a_small_file_system("a_read_only_file_system_is_found_before_the_download", |dir| {
        let mut bench = bench(dir, Some("old"));
        bench.start().unwrap();
        let before = inode(&bench.program());
        let verified = bench.verified("1.0.0");
        remount(dir, "ro");
        let (install, store) = bench.both();
        fails_with(install.preflight(&sized(1), 0), "install.readonly", Exit::Install);
        let error = install.activate(verified, store).unwrap_err();
        assert_eq!(error.exit(), Exit::Install, "{error}");
        assert_eq!((inode(&bench.program()), fs::read(bench.program()).unwrap()), (before, b"old".to_vec()));
        assert_eq!(bench.record().journal, None);
        // A start on it is possible as long as the directories are there; without them it says why not.
        assert!(bench.start().is_ok());
        remount(dir, "rw");
        fs::remove_dir_all(dir.join("srv/.fetchd")).unwrap();
        remount(dir, "ro");
        fails_with(bench.start(), "install.readonly", Exit::Install);
        remount(dir, "rw");
        bench.start().unwrap();
        bench.release("1.0.0");
    });
}

#[test]
fn a_full_file_system_changes_nothing() {
    on_a_small_file_system("a_full_file_system_changes_nothing", |dir| {
        let mut bench = bench(dir, Some("old"));
        bench.start().unwrap();
        let error =
            fails_with(bench.install.as_ref().unwrap().preflight(&sized(1_100_000), 0), "install.space", Exit::Install);
        assert!(error.to_string().ends_with("2.1 MiB are needed"), "{error}");
        bench.install.as_ref().unwrap().preflight(&sized(300_000), 0).unwrap();

        let before = inode(&bench.program());
        let verified = bench.verified("1.0.0");
        // No room for one more name: on this file system even a hard link needs it.
        let mut fillers = Vec::new();
        for n in 0.. {
            let filler = dir.join(format!("filler-{n}"));
            if fs::write(&filler, "").is_err() {
                break;
            }
            fillers.push(filler);
        }
        let (install, store) = bench.both();
        fails_with(install.activate(verified, store), "install.space", Exit::Install);
        assert_eq!((inode(&bench.program()), fs::read(bench.program()).unwrap()), (before, b"old".to_vec()));
        assert_eq!(bench.record().journal, None);
        bench.assert_tidy();
        fillers.iter().for_each(|filler| fs::remove_file(filler).unwrap());
        bench.release("1.0.0");
    });
}

#[test]
fn file_capabilities_are_carried_over_or_the_install_stops() {
    on_a_small_file_system("file_capabilities_are_carried_over_or_the_install_stops", |dir| {
        let mut bench = bench(dir, Some("old"));
        // Revision 2, effective, CAP_NET_BIND_SERVICE permitted.
        let bind: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        xattr::set(bench.program(), "security.capability", &bind).unwrap();
        let bind = xattr::get(bench.program(), "security.capability").unwrap();
        bench.start().unwrap();
        bench.release("1.0.0");
        assert_eq!(xattr::get(bench.program(), "security.capability").unwrap(), bind);

        let before = inode(&bench.program());
        without(CapabilitySet::SETFCAP, || {
            let error = fails_with(bench.activate("2.0.0"), "install.metadata", Exit::Install);
            assert!(error.to_string().contains("`security.capability`"), "{error}");
            assert_eq!(inode(&bench.program()), before);
            bench.assert_tidy();
            bench.carry = Carry::BestEffort;
            bench.start().unwrap();
            bench.release("2.0.0");
            assert_eq!(xattr::get(bench.program(), "security.capability").unwrap(), None);
        });
    });
}

#[test]
fn an_owner_is_carried_over_or_the_install_stops() {
    on_a_small_file_system("an_owner_is_carried_over_or_the_install_stops", |dir| {
        let mut bench = bench(dir, Some("old"));
        // In a user namespace there is one user; a second one exists only for root.
        let other = if fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") { 65534 } else { 0 };
        std::os::unix::fs::chown(bench.program(), Some(other), Some(other)).unwrap();
        fs::set_permissions(bench.program(), fs::Permissions::from_mode(0o4755)).unwrap();
        bench.start().unwrap();
        bench.release("1.0.0");
        let meta = fs::metadata(bench.program()).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (other, other, 0o4755));
        if other == 0 {
            return;
        }
        without(CapabilitySet::CHOWN, || {
            let preflight = bench.install.as_ref().unwrap().preflight(&sized(1), 0);
            fails_with(preflight, "install.metadata", Exit::Install);
            let error = fails_with(bench.activate("2.0.0"), "install.metadata", Exit::Install);
            assert!(error.to_string().contains("the owner 65534:65534"), "{error}");
            bench.carry = Carry::BestEffort;
            bench.start().unwrap();
            bench.release("2.0.0");
            let meta = fs::metadata(bench.program()).unwrap();
            assert_eq!((meta.uid(), meta.mode() & 0o7777), (0, 0o755), "without its owner, no setuid");
        });
    });
}

#[test]
fn a_directory_that_cannot_be_written_is_found_before_the_download() {
    on_a_small_file_system("a_directory_that_cannot_be_written_is_found_before_the_download", |dir| {
        let mut bench = bench(dir, Some("old"));
        let srv = dir.join("srv");
        let mode = |mode| fs::set_permissions(&srv, fs::Permissions::from_mode(mode)).unwrap();
        without(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH, || {
            mode(0o555);
            fails_with(bench.start(), "install.permission", Exit::Install);
            mode(0o755);
            bench.start().unwrap();
            mode(0o555);
            let preflight = bench.install.as_ref().unwrap().preflight(&sized(1), 0);
            fails_with(preflight, "install.permission", Exit::Install);
            let before = inode(&bench.program());
            fails_with(bench.activate("1.0.0"), "install.permission", Exit::Install);
            assert_eq!((inode(&bench.program()), fs::read(bench.program()).unwrap()), (before, b"old".to_vec()));
            assert_eq!(bench.record().journal, None);
            bench.assert_tidy();
            mode(0o755);
            bench.release("1.0.0");
        });
    });
}

const INNER: &str = "FETCHD_TEST_SMALL_FILE_SYSTEM";
