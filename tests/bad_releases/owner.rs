//! A deploy job flips a symlink, and fetchd only follows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use fetchd::demo::{Fault, Trailer};

use crate::scene::{Scene, Wiring, only_quarantined, sha256_of};
use crate::site::{Site, get, text};

/// `deploy/<version>/app` for each version, and `deploy/current`.
struct Deploy<'a> {
    site: &'a Site,
}

impl Deploy<'_> {
    fn dir(&self) -> PathBuf {
        self.site.path().join("deploy")
    }

    fn program(&self) -> PathBuf {
        self.dir().join("current/app")
    }

    fn add(&self, trailer: &Trailer) {
        let dir = self.dir().join(&trailer.version);
        fs::create_dir_all(&dir).unwrap();
        self.site.put(&dir.join("app"), trailer);
    }

    fn flip(&self, version: &str) {
        let next = self.dir().join("next");
        symlink(version, &next).unwrap();
        fs::rename(next, self.dir().join("current")).unwrap();
    }

    fn deploy(&self, trailer: &Trailer) {
        self.add(trailer);
        self.flip(&trailer.version);
    }

    fn wiring(&self) -> Wiring {
        let source = format!("file:{}?settle=0s", self.program().display());
        let mut wiring = Wiring::new(self.site, &["--source", &source, "--trust", "owner", "--layout", "external"]);
        wiring.program = self.program();
        wiring
    }

    /// Everything in the directory: whoever wrote anything would have changed this.
    fn everything(&self) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
        fn walk(dir: &Path, into: &mut BTreeMap<PathBuf, (u64, u64, i64, i64)>) {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
                // The time of the last change of a directory is that of its entries.
                into.insert(path.clone(), (meta.ino(), meta.nlink(), meta.mtime(), meta.mtime_nsec()));
                if meta.is_dir() {
                    walk(&path, into);
                }
            }
        }
        let mut all = BTreeMap::new();
        walk(&self.dir(), &mut all);
        all
    }
}

#[test]
fn a_bad_deploy_is_not_followed_and_the_kept_copy_serves() {
    let site = Site::new();
    let deploy = Deploy { site: &site };
    deploy.deploy(&Trailer::version("1.0.0"));
    let mut scene = Scene::start(&site, deploy.wiring(), &["--watch", "2s"]).settled();

    for (version, fault, code, lost) in [
        ("1.1.0", Fault::ExitBeforeReady, "handoff.exited", false),
        ("1.1.1", Fault::VersionExit1, "smoke.exit", false),
        ("1.1.2", Fault::CrashAfterReady, "watch.died", true),
    ] {
        deploy.deploy(&Trailer::version(version).with_fault(fault));
        let theirs = deploy.everything();
        scene.event(if code.starts_with("smoke") { "release.refused" } else { "handoff.failed" }, code);
        scene.assert_old_process_serves();
        assert_eq!(deploy.everything(), theirs, "{version} (requests may be lost: {lost})");
        let shut_out = site.record().quarantine;
        assert!(shut_out.iter().any(|bad| bad.sha256 == sha256_of(&deploy.program())), "{shut_out:#?}");
    }

    // Their path holds the bad one; what is started anew is the copy of the good one.
    let theirs = deploy.everything();
    let output = scene.fetchd.fetchd("restart", &[]);
    assert!(output.status.success(), "{}", text(&output));
    scene.assert_old_version_serves();
    assert_eq!(deploy.everything(), theirs);
    scene.assert_no_stray_process();

    deploy.deploy(&Trailer::version("1.2.0"));
    let theirs = deploy.everything();
    scene.fetchd.wait_for_version("1.2.0");
    assert_eq!(deploy.everything(), theirs);
    scene.goes_live("1.2.0", 4);
}

#[test]
fn after_a_start_with_a_bad_deploy_the_kept_copy_serves() {
    let site = Site::new();
    let deploy = Deploy { site: &site };
    deploy.deploy(&Trailer::version("1.0.0"));
    let scene = Scene::start(&site, deploy.wiring(), &[]).settled();
    deploy.deploy(&Trailer::version("1.1.0"));
    scene.goes_live("1.1.0", 0);

    // While nobody looks they deploy something that never becomes ready.
    deploy.deploy(&Trailer::version("1.2.0").with_fault(Fault::ExitBeforeReady));
    let theirs = deploy.everything();
    let mut command = std::process::Command::new(crate::site::FETCHD);
    command.args(["run", "--product", "app", "--listen", "web=127.0.0.1:0", "--interval", "200ms", "--watch", "500ms"]);
    command.arg("--state-dir").arg(site.state_dir()).args(&deploy.wiring().pass).arg("--").arg(deploy.program());
    let mut fetchd = site.supervise(command);
    let address = fetchd.address();
    fetchd.wait_for_version("1.1.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    fetchd.wait_for_event("handoff.failed", "handoff.exited");
    fetchd.wait_for_version("1.1.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    assert_eq!(only_quarantined(&site).sha256, sha256_of(&deploy.program()));
    assert_eq!(deploy.everything(), theirs);
    deploy.deploy(&Trailer::version("1.3.0"));
    fetchd.wait_for_version("1.3.0");
}

#[test]
fn a_deploy_that_others_can_change_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let deploy = Deploy { site: &site };
    deploy.deploy(&Trailer::version("1.0.0"));
    let mut scene = Scene::start(&site, deploy.wiring(), &[]).settled();
    deploy.add(&Trailer::version("1.1.0"));
    let dir = deploy.dir().join("1.1.0");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    deploy.flip("1.1.0");
    let event = scene.event("install.failed", "trust.owner");
    assert_eq!(event.exit, Some(20));
    scene.assert_old_process_serves();
    assert_eq!(scene.apply(), (20, "trust.owner".to_owned()));
    assert_eq!(site.record().quarantine, []);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    scene.goes_live("1.1.0", 0);
}
