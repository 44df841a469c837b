//! File systems that are read-only or full, around the real program.
//!
//! These tests run themselves again in a mount namespace of their own; without root in a user namespace.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fetchd::demo::Trailer;

use crate::site::{FETCHD, Site, Supervised, get, text, wait_until};
use crate::{fails, key, last_code, serves};

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
    let script = "mount -t tmpfs -o size=120m,mode=755 none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let output = command
        .args(["sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(format!("confined::{test}"))
        .env(INNER, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

const INNER: &str = "FETCHD_TEST_SMALL_FILE_SYSTEM";

/// A service whose program lies on the small file system and whose everything else does not.
struct Bench<'a> {
    site: &'a Site,
    dir: &'a Path,
    flags: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(site: &'a Site, dir: &'a Path) -> Bench<'a> {
        fs::create_dir(dir.join("srv")).unwrap();
        site.put(&dir.join("srv/app"), &Trailer::version("1.0.0"));
        let flags = ["--source".into(), site.source(), "--key".into(), key(site), "--reserve".into(), "0".into()];
        Bench { site, dir, flags: flags.to_vec() }
    }

    fn program(&self) -> PathBuf {
        self.dir.join("srv/app")
    }

    fn command(&self, command: &str) -> Command {
        let mut fetchd = Command::new(FETCHD);
        fetchd.arg(command).args(["--product", "app", "--state-dir"]).arg(self.site.state_dir()).args(&self.flags);
        fetchd.env_remove("RUST_LOG").stdin(Stdio::null());
        fetchd
    }

    fn run(&self) -> Supervised<'a> {
        let mut run = self.command("run");
        run.args(["--listen", "web=127.0.0.1:0", "--interval", "200ms", "--watch", "500ms", "--jitter", "0"]);
        run.arg("--").arg(self.program());
        self.site.supervise(run)
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,bind,{how}")]).arg(self.dir).status().unwrap();
        assert!(done.success());
    }

    fn staged(&self) -> usize {
        let count = |name: &str| fs::read_dir(self.dir.join("srv/.fetchd/app").join(name)).map_or(0, Iterator::count);
        count("staging") + count("custody")
    }
}

#[test]
fn a_read_only_directory_is_found_before_the_download() {
    on_a_small_file_system("a_read_only_directory_is_found_before_the_download", |dir| {
        let site = Site::new();
        site.publish(&Trailer::version("1.0.0"));
        let bench = Bench::new(&site, dir);
        let mut fetchd = bench.run();
        serves(&mut fetchd, "1.0.0");
        let inode = fs::metadata(bench.program()).unwrap().ino();
        bench.remount("ro");
        site.publish(&Trailer::version("1.1.0"));
        // Whoever reads the artifact would fail in another way.
        let artifact = site.path().join("pub").join(format!("app-1.1.0-{}", fetchd::publish::host_target()));
        let hidden = site.path().join("hidden");
        fs::rename(&artifact, &hidden).unwrap();
        let status = last_code(&mut fetchd, "install.readonly");
        assert!(status.contains("remount"), "{status}");
        let applied = bench.command("apply").arg("--").arg(bench.program()).output().unwrap();
        fails(&applied, 40, "install.readonly", &["remount"]);
        serves(&mut fetchd, "1.0.0");
        assert_eq!(fs::metadata(bench.program()).unwrap().ino(), inode);
        bench.remount("rw");
        fs::rename(hidden, artifact).unwrap();
        fetchd.wait_for_version("1.1.0");
        assert!(get(fetchd.address(), "/").unwrap().contains("1.1.0"));
    });
}

#[test]
fn a_full_disk_is_said_and_forgotten_when_there_is_room() {
    on_a_small_file_system("a_full_disk_is_said_and_forgotten_when_there_is_room", |dir| {
        let site = Site::new();
        site.publish(&Trailer::version("1.0.0"));
        let bench = Bench::new(&site, dir);
        let mut fetchd = bench.run();
        serves(&mut fetchd, "1.0.0");
        fetchd.wait("settled", |s| {
            s.updates.last.as_ref().is_some_and(|l| matches!(l.outcome.as_str(), "up_to_date" | "unchanged"))
        });
        let filler = dir.join("filler");
        let mut bytes = vec![0; 200 << 20];
        while fs::write(&filler, &bytes).is_err() {
            bytes.truncate(bytes.len() - (4 << 20));
        }
        drop(bytes);
        site.publish(&Trailer::version("1.1.0"));
        last_code(&mut fetchd, "install.space");
        let applied = bench.command("apply").arg("--").arg(bench.program()).output().unwrap();
        fails(&applied, 40, "install.space", &["MiB"]);
        assert_eq!(bench.staged(), 0);
        serves(&mut fetchd, "1.0.0");
        fs::remove_file(filler).unwrap();
        fetchd.wait_for_version("1.1.0");
        assert_eq!(bench.staged(), 0);
    });
}

/// Where no size is signed the disk is full in the middle of the download.
#[test]
fn a_disk_that_fills_up_during_the_download_leaves_nothing_behind() {
    on_a_small_file_system("a_disk_that_fills_up_during_the_download_leaves_nothing_behind", |dir| {
        let site = Site::new();
        let place = |version: &str| {
            let bytes = site.binary(&Trailer::version(version));
            site.publisher.publish_plain("app", &bytes).unwrap();
        };
        place("1.0.0");
        let mut bench = Bench::new(&site, dir);
        bench.flags[1] = format!("file:{}?settle=0s", site.path().join("pub/app").display());
        bench.flags.extend(["--signature".into(), "plain".into()]);
        let mut fetchd = bench.run();
        serves(&mut fetchd, "1.0.0");
        fetchd.wait("settled", |s| {
            s.updates.last.as_ref().is_some_and(|l| matches!(l.outcome.as_str(), "up_to_date" | "unchanged"))
        });
        let filler = dir.join("filler");
        let mut bytes = vec![0; 200 << 20];
        while fs::write(&filler, &bytes).is_err() {
            bytes.truncate(bytes.len() - (4 << 20));
        }
        drop(bytes);
        place("1.1.0");
        let applied = bench.command("apply").arg("--").arg(bench.program()).output().unwrap();
        assert_eq!(applied.status.code(), Some(40), "{}", text(&applied));
        assert!(String::from_utf8_lossy(&applied.stderr).contains("hint: "), "{}", text(&applied));
        wait_until("nothing is left", || bench.staged() == 0);
        serves(&mut fetchd, "1.0.0");
        fs::remove_file(filler).unwrap();
        fetchd.wait_for_version("1.1.0");
    });
}
