//! Deploy jobs that write `releases/<tag>` and re-point `current`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fetchd::control::Status;
use fetchd::demo::{Fault, Trailer};
use serde_json::Value;

use crate::bench::{load, nothing_lost};
use crate::site::{FETCHD, PATIENCE, Site, Supervised, get, text};

/// `www/releases/<tag>/app`, its `config.txt`, and `www/current`.
struct Deploy<'a> {
    site: &'a Site,
}

impl Deploy<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.site.path().join("www").join(path)
    }

    /// Writes the release `tag`: this program, and settings that say `config`.
    fn write(&self, tag: &str, program: &[u8], config: &str) {
        let dir = self.at("releases").join(tag);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("app"), program).unwrap();
        fs::set_permissions(dir.join("app"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("config.txt"), config).unwrap();
    }

    /// A release of `app.py` as `version`.
    fn write_script(&self, tag: &str, version: &str, config: &str) {
        let script = include_str!("app.py").replace("VERSION = \"1.0.0\"", &format!("VERSION = \"{version}\""));
        self.write(tag, script.as_bytes(), config);
    }

    /// As deploy jobs do it: a link beside, and a rename.
    fn point(&self, tag: &str) {
        let script = "ln -sfn \"releases/$1\" current.next && mv -T current.next current";
        fs::create_dir_all(self.at("")).unwrap();
        let output = Command::new("sh").args(["-c", script, "sh", tag]).current_dir(self.at("")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    fn demo(&self, trailer: &Trailer) {
        self.write(&trailer.version, &self.site.binary(trailer), "");
    }

    fn deploy(&self, trailer: &Trailer) {
        self.demo(trailer);
        self.point(&trailer.version);
    }

    /// `fetchd run` that follows `current`, started elsewhere; its service works in `directory`.
    fn run(&self, directory: &str, more: &[&str]) -> Supervised<'_> {
        let source = format!("file:{}?settle=0s", self.at("current/app").display());
        let mut command = Command::new(FETCHD);
        command
            .args(["run", "--product", "app", "--state-dir"])
            .arg(self.site.state_dir())
            .args(["--source", &source, "--trust", "owner", "--layout", "external"])
            .args(["--interval", "200ms", "--jitter", "0", "--watch", "300ms", "--listen", "web=127.0.0.1:0"])
            .arg("--directory")
            .arg(self.at(directory))
            .args(more)
            .arg("--")
            .arg(self.at("current/app"))
            .current_dir("/")
            .env_remove("RUST_LOG");
        self.site.supervise(command)
    }
}

/// What `app.py` says of itself.
fn about(address: SocketAddr) -> Value {
    let answer = get(address, "/").unwrap();
    serde_json::from_str(answer.rsplit_once("\r\n\r\n").unwrap().1).unwrap()
}

fn serving(status: &Status) -> u32 {
    status.service.generations.iter().find(|g| g.phase == "serving").unwrap().pid
}

/// The zeroth argument of a process, its working directory as the kernel knows it, and a variable.
fn argv0(pid: u32) -> PathBuf {
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    words.split('\0').next().unwrap().into()
}

fn directory(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).unwrap()
}

fn variable(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    text.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

#[test]
fn a_flipped_current_is_followed_and_the_service_finds_what_lies_beside_it() {
    let site = Site::empty();
    let deploy = Deploy { site: &site };
    deploy.write_script("monday", "1.0.0", "first");
    deploy.point("monday");
    let mut fetchd = deploy.run("current", &["--target-check", "off"]);
    let address = fetchd.address();
    fetchd.wait_for_version("1.0.0");
    let load = load(address, 4, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let current = deploy.at("current");
    let mut check = |tag: &str, version: &str, config: &str| {
        let pid = serving(&fetchd.wait_for_version(version));
        load.wait_for_version(version, PATIENCE).unwrap();
        let about = about(address);
        for found in ["by_directory", "by_variable", "by_name"] {
            assert_eq!(about[found], config, "{about}");
        }
        assert_eq!(about["pwd"], current.to_str().unwrap());
        assert_eq!(about["program"], current.join("app").to_str().unwrap());
        assert_eq!(about["argv0"], current.join("app").to_str().unwrap());
        assert_eq!(directory(pid), deploy.at("releases").join(tag).canonicalize().unwrap());
    };
    check("monday", "1.0.0", "first");
    for (tag, version, config) in [("tuesday", "1.1.0", "second"), ("wednesday", "1.2.0", "third")] {
        deploy.write_script(tag, version, config);
        deploy.point(tag);
        check(tag, version, config);
    }
    // Back, without being built anew.
    deploy.point("monday");
    check("monday", "1.0.0", "first");
    deploy.point("wednesday");
    check("wednesday", "1.2.0", "third");
    nothing_lost(&load.stop());
}

#[test]
fn the_kept_copy_goes_by_the_name_of_current() {
    let site = Site::empty();
    let deploy = Deploy { site: &site };
    deploy.deploy(&Trailer::version("1.0.0"));
    let mut fetchd = deploy.run("current", &[]);
    fetchd.address();
    fetchd.wait_for_version("1.0.0");
    // Once `fetchd status` says that nothing is to be done, the copy has been made.
    fetchd.wait("it is settled", |s| {
        s.updates.last.as_ref().is_some_and(|last| matches!(last.outcome.as_str(), "up_to_date" | "unchanged"))
    });
    deploy.deploy(&Trailer::version("1.1.0").with_fault(Fault::ExitBeforeReady));
    fetchd.wait_for_event("handoff.failed", "handoff.exited");
    let output = fetchd.fetchd("restart", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let pid = serving(&fetchd.wait_for_version("1.0.0"));
    let program = deploy.at("current/app");
    let runs = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(runs.starts_with(site.state_dir()), "the copy of what was confirmed runs: {}", runs.display());
    assert_eq!((argv0(pid), variable(pid, "FETCHD_PROGRAM")), (program.clone(), program.to_str().map(str::to_owned)));
}

#[test]
fn releases_that_crash_or_hang_or_lack_the_directory_leave_the_old_one_serving() {
    let site = Site::empty();
    let deploy = Deploy { site: &site };
    deploy.demo(&Trailer::version("1.0.0"));
    fs::create_dir(deploy.at("releases/1.0.0/work")).unwrap();
    deploy.point("1.0.0");
    let mut fetchd = deploy.run("current/work", &["--ready-deadline", "2s"]);
    let address = fetchd.address();
    let old = serving(&fetchd.wait_for_version("1.0.0"));
    let load = load(address, 2, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();

    for (version, fault, code) in [
        ("1.1.0", Fault::ExitBeforeReady, "handoff.exited"),
        ("1.2.0", Fault::NeverReady, "handoff.not_ready"),
        ("1.3.0", Fault::VersionHang, "smoke.timeout"),
    ] {
        deploy.demo(&Trailer::version(version).with_fault(fault));
        fs::create_dir(deploy.at("releases").join(version).join("work")).unwrap();
        deploy.point(version);
        fetchd.wait_for_event(if code == "smoke.timeout" { "release.refused" } else { "handoff.failed" }, code);
        assert_eq!(serving(&fetchd.wait_for_version("1.0.0")), old);
    }
    // A good binary in a directory that is not complete: nobody blames the binary.
    deploy.deploy(&Trailer::version("1.4.0"));
    fetchd.wait_for_event("handoff.failed", "handoff.directory");
    assert_eq!(serving(&fetchd.wait_for_version("1.0.0")), old);
    assert_eq!(site.record().quarantine.len(), 3, "{:#?}", site.record().quarantine);
    fs::create_dir(deploy.at("releases/1.4.0/work")).unwrap();
    let pid = serving(&fetchd.wait_for_version("1.4.0"));
    assert_eq!(directory(pid), deploy.at("releases/1.4.0/work").canonicalize().unwrap());
    load.wait_for_version("1.4.0", PATIENCE).unwrap();
    // And where the old tag is pointed at again, it is taken again.
    deploy.point("1.0.0");
    fetchd.wait_for_version("1.0.0");
    nothing_lost(&load.stop());
}

#[test]
fn a_service_in_fetchds_own_releases_goes_by_the_name_of_current_too() {
    let site = Site::empty();
    let root = site.path().join("www");
    fs::create_dir_all(root.join("releases/0-first")).unwrap();
    site.put(&root.join("releases/0-first/app"), &Trailer::version("1.0.0"));
    std::os::unix::fs::symlink("releases/0-first", root.join("current")).unwrap();
    let (program, current) = (root.join("current/app"), root.join("current"));
    let mut command = site.command("run", &["--layout", "releases", "--interval", "200ms", "--jitter", "0"]);
    command.args(["--watch", "200ms", "--listen", "web=127.0.0.1:0", "--directory"]).arg(&current);
    command.arg("--").arg(&program);
    let mut fetchd = site.supervise(command);
    let address = fetchd.address();
    let load = load(address, 2, 2);
    let own_idea = |pid: u32, now: &Path| {
        assert_eq!(argv0(pid), program);
        assert_eq!(variable(pid, "FETCHD_PROGRAM").as_deref(), program.to_str());
        assert_eq!(variable(pid, "PWD").as_deref(), current.to_str());
        assert_eq!(directory(pid), now.canonicalize().unwrap());
    };
    own_idea(serving(&fetchd.wait_for_version("1.0.0")), &root.join("releases/0-first"));
    for version in ["1.1.0", "1.2.0"] {
        site.publish(&Trailer::version(version));
        let pid = serving(&fetchd.wait_for_version(version));
        let target = fs::read_link(&current).unwrap();
        assert!(target.to_str().unwrap().contains(version), "{}", target.display());
        own_idea(pid, &root.join(target));
        load.wait_for_version(version, PATIENCE).unwrap();
    }
    nothing_lost(&load.stop());
}
