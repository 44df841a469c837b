//! A service under load, and everything that must still be true of it after a bad release.
#![allow(unreachable_pub, reason = "a module of one test program")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fetchd::control::Status;
use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use fetchd::load::{Load, LoadPlan, Target};
use fetchd::state::{Event, Quarantined, Record};
use serde_json::Value;

use crate::site::{FETCHD, PATIENCE, Site, Supervised, get, text, wait_until};

/// How a service is told where its releases are and whom to believe.
pub struct Wiring {
    /// `--source`, `--key` and the like, for `run` and `apply` alike.
    pub pass: Vec<String>,
    /// The program path.
    pub program: PathBuf,
}

impl Wiring {
    /// The publisher's bundle, by its key.
    pub fn bundle(site: &Site) -> Wiring {
        Wiring::keyed(site, &site.source(), &[])
    }

    /// Another source, by the same key.
    pub fn keyed(site: &Site, source: &str, more: &[&str]) -> Wiring {
        let key = site.publisher.public_key().to_string();
        Wiring::new(site, &[&["--source", source, "--key", &key], more].concat())
    }

    pub fn new(site: &Site, pass: &[&str]) -> Wiring {
        Wiring { pass: pass.iter().map(|&word| word.to_owned()).collect(), program: site.program() }
    }

    fn command(&self, site: &Site, command: &str) -> Command {
        let mut fetchd = Command::new(FETCHD);
        fetchd.arg(command).args(["--product", "app", "--state-dir"]).arg(site.state_dir()).args(&self.pass);
        fetchd.current_dir(site.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        fetchd
    }
}

/// What must not change while a bad release comes and goes.
#[derive(Debug, PartialEq, Eq)]
struct Before {
    pid: u32,
    generation: u64,
    inode: u64,
    sha256: Sha256,
    floor: (u64, u64),
}

/// A service that serves 1.0.0 under load.
pub struct Scene<'a> {
    pub site: &'a Site,
    pub fetchd: Supervised<'a>,
    pub address: SocketAddr,
    wiring: Wiring,
    load: Load,
    before: Before,
}

impl<'a> Scene<'a> {
    /// Starts it with `flags` for `run`; what is published is what runs already.
    pub fn start(site: &'a Site, wiring: Wiring, flags: &[&str]) -> Scene<'a> {
        let mut command = wiring.command(site, "run");
        command.args(["--jitter", "0", "--listen", "web=127.0.0.1:0"]);
        for (flag, value) in [("--interval", "200ms"), ("--watch", "500ms")] {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(flags).arg("--").arg(&wiring.program);
        let mut fetchd = site.supervise(command);
        let address = fetchd.address();
        fetchd.wait_for_version("1.0.0");
        let mut plan = LoadPlan::new(Target::Tcp(address));
        (plan.fresh, plan.keep_alive, plan.think) = (2, 2, Duration::from_millis(20));
        let load = Load::start(plan).unwrap();
        load.wait_for_version("1.0.0", PATIENCE).unwrap();
        let status = fetchd.try_status().unwrap();
        let before = Before::of(site, &wiring.program, &status);
        Scene { site, fetchd, address, wiring, load, before }
    }

    /// Waits until the source has been read without anything to take.
    pub fn settled(mut self) -> Scene<'a> {
        self.fetchd.wait("nothing is to be taken", |status| {
            // A later poll may already have found nothing new.
            let outcome = status.updates.last.as_ref().map(|last| last.outcome.as_str());
            matches!(outcome, Some("up_to_date" | "unchanged"))
        });
        self.before.floor = floor(&self.site.record());
        self
    }

    /// `fetchd apply --json`: its exit code and the code of what went wrong, empty if nothing did.
    pub fn apply(&self) -> (i32, String) {
        let mut apply = self.wiring.command(self.site, "apply");
        let output = apply.arg("--json").arg("--").arg(&self.wiring.program).output().unwrap();
        (output.status.code().unwrap(), code_of(&output))
    }

    /// The first event of this name, once it is there.
    #[track_caller]
    pub fn event(&mut self, event: &str, code: &str) -> Event {
        self.fetchd.wait_for_event(event, code);
        self.site.history().into_iter().find(|e| e.event == event && e.code.as_deref() == Some(code)).unwrap()
    }

    /// The old version answers, as the very process that answered before.
    #[track_caller]
    pub fn assert_old_process_serves(&mut self) {
        let before = (self.before.pid, self.before.generation);
        let status = self.fetchd.wait("one generation serves", |status| match status.service.generations.as_slice() {
            [only] => only.phase == "serving" && !status.service.watching,
            _ => false,
        });
        let serving = &status.service.generations[0];
        assert_eq!((serving.pid, serving.generation), before);
        self.assert_old_version_serves();
    }

    /// The old version answers, whichever process it is.
    #[track_caller]
    pub fn assert_old_version_serves(&mut self) {
        self.fetchd.wait_for_version("1.0.0");
        self.load.wait_for_version("1.0.0", PATIENCE).unwrap();
        assert!(get(self.address, "/").unwrap().contains(r#""version":"1.0.0""#));
    }

    /// The program path holds the very file it held.
    #[track_caller]
    pub fn assert_program_untouched(&self) {
        let status = self.fetchd.try_status().unwrap();
        let now = Before::of(self.site, &self.wiring.program, &status);
        assert_eq!((now.inode, now.sha256), (self.before.inode, self.before.sha256));
    }

    /// The program path holds the bytes it held.
    #[track_caller]
    pub fn assert_program_restored(&self) {
        assert_eq!(sha256_of(&self.wiring.program), self.before.sha256);
    }

    #[track_caller]
    pub fn assert_floor_unchanged(&self) {
        assert_eq!(floor(&self.site.record()), self.before.floor);
    }

    /// Nothing lies in the directories of fetchd but, if `partial`, what a download can go on from.
    #[track_caller]
    pub fn assert_tidy(&self, partial: bool) {
        let mut found = Vec::new();
        let tidy = || {
            found = left_over(self.site.path());
            let resumable = |path: &PathBuf| path.extension().is_some_and(|e| e == "part" || e == "json");
            found.iter().all(|path| partial && resumable(path))
        };
        wait_until("staging and custody are empty", tidy);
    }

    /// No process of any release runs but those the supervisor shows.
    #[track_caller]
    pub fn assert_no_stray_process(&self) {
        wait_until("only the shown processes run", || {
            let Some(status) = self.fetchd.try_status() else { return false };
            let shown: Vec<u32> = status.service.generations.iter().map(|g| g.pid).collect();
            programs_under(self.site.path()).iter().all(|pid| shown.contains(pid))
        });
    }

    /// Waits until `version` serves, checks that nobody lost more than `lost` requests, and ends.
    #[track_caller]
    pub fn goes_live(mut self, version: &str, lost: u64) {
        self.fetchd.wait_for_version(version);
        self.load.wait_for_version(version, PATIENCE).unwrap();
        assert!(get(self.address, "/").unwrap().contains(&format!(r#""version":"{version}""#)));
        assert!(
            self.site
                .record()
                .quarantine
                .iter()
                .all(|bad| bad.version.as_ref().is_none_or(|v| v.to_string() != version))
        );
        self.assert_tidy(false);
        wait_until("the clients have asked for a while", || self.load.snapshot().totals.requests > 20);
        let totals = self.load.stop().totals;
        assert!(totals.failed.total() <= lost, "{totals:?}");
        // What a crash cuts off is lost; a connection that nobody takes is another matter.
        assert_eq!((totals.failed.refused, totals.failed.timeout, totals.failed.status), (0, 0, 0), "{totals:?}");
    }
}

impl Before {
    fn of(site: &Site, program: &Path, status: &Status) -> Before {
        let serving = status.service.generations.iter().find(|g| g.phase == "serving").unwrap();
        Before {
            pid: serving.pid,
            generation: serving.generation,
            inode: fs::metadata(program).unwrap().ino(),
            sha256: sha256_of(program),
            floor: floor(&site.record()),
        }
    }
}

fn floor(record: &Record) -> (u64, u64) {
    (record.epoch, record.seq)
}

pub fn sha256_of(path: &Path) -> Sha256 {
    Sha256::of(&fs::read(path).unwrap())
}

/// The only entry of the quarantine.
#[track_caller]
pub fn only_quarantined(site: &Site) -> Quarantined {
    let quarantine = site.record().quarantine;
    assert_eq!(quarantine.len(), 1, "{quarantine:#?}");
    quarantine.into_iter().next().unwrap()
}

/// Everything in a directory called `staging` or `custody`, at any depth.
fn left_over(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        if path.ends_with("staging") || path.ends_with("custody") {
            found.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            found.extend(left_over(&path));
        }
    }
    found
}

/// Processes whose program lies, or lay, under `dir`.
fn programs_under(dir: &Path) -> Vec<u32> {
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let ours = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir));
    fs::read_dir("/proc").unwrap().flatten().filter_map(pid).filter(ours).collect()
}

/// The stable code in what a command printed with `--json`; empty if nothing went wrong.
#[track_caller]
pub fn code_of(output: &Output) -> String {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)));
    assert_eq!(object["schema"], 1, "{object}");
    object["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// The demo service's bytes as another version.
pub fn binary(site: &Site, version: &str) -> Vec<u8> {
    site.binary(&Trailer::version(version))
}
