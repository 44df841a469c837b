//! One machine under attack: a program, its state, a source, and what must still be true afterwards.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fetchd::digest::Sha256;
use fetchd::state::{Event, Record, Store};
use serde_json::Value;

use crate::carrier::Carrier;
use crate::maker::{CHANNEL, FIRST, LATER, Maker, POINTER, PRODUCT, TARGET, binding, program};
use crate::table::{Carry, Change, Files, Verdict};

/// The program under test.
pub const FETCHD: &str = env!("CARGO_BIN_EXE_fetchd");

/// A machine whose program is version 1.0.0, which the source has shown to be the newest.
pub struct Bench {
    dir: tempfile::TempDir,
    /// Who signs.
    pub maker: Maker,
    /// What shows the files.
    pub carrier: Carrier,
    /// Flags of every command beside the usual ones.
    pub flags: Vec<String>,
    /// The keys that are trusted: `--key` for each.
    pub keys: Vec<String>,
    /// What the source flags point at, if not at the pointer.
    pub follows: Option<String>,
    /// The flags of a source that is none of the carriers.
    pub elsewhere: Option<Vec<String>>,
    before: Before,
}

/// What a refusal leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Before {
    inode: u64,
    mode: u32,
    sha256: Option<Sha256>,
    floor: (u64, u64, u64),
    events: usize,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub exit: i32,
    /// The stable code of what went wrong; empty if nothing did.
    pub code: String,
    /// Everything it printed.
    pub output: Output,
}

impl Bench {
    /// A machine that has seen the first manifest.
    pub fn new(carry: Carry) -> Bench {
        let mut bench = Bench::fresh(carry);
        let first = bench.maker.good(FIRST, "1.0.0");
        bench.carrier.show(&first);
        let ended = bench.apply(&[]);
        assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "the first pass: {ended:#?}");
        bench.mark();
        bench
    }

    /// A machine that has never seen a manifest: no state.
    pub fn fresh(carry: Carry) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("srv")).unwrap();
        let maker = Maker::new();
        let keys = vec![maker.publisher.public()];
        let carrier = Carrier::new(carry, dir.path());
        let (flags, before) = (Vec::new(), Before::default());
        let mut bench = Bench { dir, maker, carrier, flags, keys, follows: None, elsewhere: None, before };
        bench.put_program(&program("1.0.0"));
        bench.mark();
        bench
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn program(&self) -> PathBuf {
        self.path().join("srv/app")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Puts a program at the program path, as a deployment before fetchd would have.
    pub fn put_program(&mut self, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.program(), bytes).unwrap();
        fs::set_permissions(self.program(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What is there now is what a refusal has to leave alone.
    pub fn mark(&mut self) {
        let _ = fs::remove_file(self.canary());
        self.before = self.now();
    }

    fn now(&self) -> Before {
        let meta = fs::metadata(self.program()).ok();
        let record = Store::read_only(&self.state_dir()).map(|snapshot| snapshot.record().clone()).unwrap_or_default();
        Before {
            inode: meta.as_ref().map_or(0, |meta| meta.ino()),
            mode: meta.as_ref().map_or(0, |meta| meta.mode()),
            sha256: fs::read(self.program()).ok().map(|bytes| Sha256::of(&bytes)),
            floor: (record.keys_version, record.epoch, record.seq),
            events: self.history().len(),
        }
    }

    /// Shows these files and no others. Without a pointer among them the artifact that has a signature
    /// beside it is followed.
    pub fn show(&mut self, files: &Files) {
        self.carrier.show(files);
        if let Some(name) = artifact_of(files) {
            self.follows = Some(name.to_owned());
        }
    }

    /// `fetchd COMMAND` for this machine, with its source, its keys and `more`.
    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut fetchd = Command::new(FETCHD);
        fetchd.arg(command).args(["--product", PRODUCT, "--channel", CHANNEL, "--target", TARGET]);
        if !more.contains(&"--target-check") {
            // Its programs are scripts.
            fetchd.args(["--target-check", "off"]);
        }
        fetchd.arg("--state-dir").arg(self.state_dir());
        fetchd.args(match (&self.elsewhere, &self.follows) {
            (Some(flags), _) => flags.clone(),
            (None, Some(name)) => self.carrier.flags(name),
            (None, None) => self.carrier.pointer_flags(),
        });
        for key in &self.keys {
            fetchd.args(["--key", key]);
        }
        fetchd.args(&self.flags).args(more).current_dir(self.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        fetchd
    }

    /// One pass: `fetchd apply --json`.
    pub fn apply(&self, more: &[&str]) -> Ended {
        self.apply_as(more, |_| {})
    }

    /// The same after `prepare` has changed what surrounds it.
    pub fn apply_as(&self, more: &[&str], prepare: impl FnOnce(&mut Command)) -> Ended {
        let mut apply = self.command("apply", more);
        prepare(apply.arg("--json").arg("--").arg(self.program()));
        self.end(&mut apply)
    }

    /// A pass that ends as told. What is older than it was is a warning the first time, and nothing is taken then either.
    #[track_caller]
    pub fn apply_until(&self, flags: &[&str], verdict: &Verdict) -> Ended {
        let ended = self.apply(flags);
        if verdict.code != "manifest.rollback" {
            return ended;
        }
        self.assert_verdict(&ended, &Verdict { exit: 0, code: "source.stale", event: "source.stale", ..*verdict });
        self.apply(flags)
    }

    /// Runs a command that prints one JSON object.
    pub fn end(&self, command: &mut Command) -> Ended {
        self.ended(command.output().unwrap())
    }

    /// What the output of such a command says.
    pub fn ended(&self, output: Output) -> Ended {
        let code = serde_json::from_slice::<Value>(&output.stdout)
            .ok()
            .and_then(|object| object["error"]["code"].as_str().map(ToOwned::to_owned))
            .unwrap_or_default();
        Ended { exit: output.status.code().unwrap_or(-1), code, output }
    }

    /// Shows `files`, makes a pass, and asserts everything that `verdict` promises, up to the good pass after it.
    #[track_caller]
    pub fn play(&mut self, files: &Files, flags: &[&str], verdict: &Verdict) {
        self.show(files);
        let ended = self.apply_until(flags, verdict);
        self.assert_verdict(&ended, verdict);
        self.assert_recovers();
    }

    /// The exit code, the code, the event, and that nothing changed but what may have.
    #[track_caller]
    pub fn assert_verdict(&self, ended: &Ended, verdict: &Verdict) {
        assert_eq!((ended.exit, ended.code.as_str()), (i32::from(verdict.exit), verdict.code), "{ended:#?}");
        if !verdict.event.is_empty() {
            let new = self.history().split_off(self.before.events.min(self.history().len()));
            let told =
                |event: &&Event| event.event == verdict.event && event.code.as_deref().unwrap_or("") == verdict.code;
            assert!(new.iter().any(|event| told(&event)), "no event `{}` in {new:#?}", verdict.event);
        }
        self.assert_change(verdict.change);
    }

    /// Nothing changed but what `change` allows.
    #[track_caller]
    pub fn assert_change(&self, change: Change) {
        let now = self.now();
        if change != Change::Installed {
            let target = |seen: &Before| (seen.inode, seen.mode, seen.sha256);
            assert_eq!(target(&now), target(&self.before), "the program path was touched");
        }
        if matches!(change, Change::Nothing | Change::Floor | Change::Part) {
            let executed = fs::read_to_string(self.canary()).unwrap_or_default();
            assert_eq!(executed, "", "something was executed");
        }
        if change == Change::Nothing {
            assert_eq!(now.floor, self.before.floor, "the floor moved");
        }
        let mut left = self.left_over();
        if change == Change::Part {
            left.retain(|path| !self.parts().contains(path));
        }
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// The next good release is taken, published the way the source has just been followed.
    #[track_caller]
    pub fn assert_recovers(&mut self) {
        let good = match &self.follows {
            Some(name) if !name.ends_with(".fetchd") => self.maker.bound("1.9.0", &binding("1.9.0")),
            _ => self.maker.good(LATER, "1.9.0"),
        };
        self.assert_takes(&good, "1.9.0", &[]);
    }

    /// `files` are taken by a pass, and what they hold is what is installed.
    #[track_caller]
    pub fn assert_takes(&mut self, files: &Files, version: &str, flags: &[&str]) {
        self.show(files);
        let ended = self.apply(flags);
        assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "a good release afterwards: {ended:#?}");
        assert!(fs::read(self.program()).unwrap() == program(version), "another program was installed");
        assert_eq!(self.left_over(), Vec::<PathBuf>::new());
    }

    /// Where a program that is executed leaves a line.
    pub fn canary(&self) -> PathBuf {
        self.path().join("srv/executed")
    }

    pub fn record(&self) -> Record {
        Store::read_only(&self.state_dir()).unwrap().record().clone()
    }

    pub fn history(&self) -> Vec<Event> {
        Store::read_only(&self.state_dir()).and_then(|snapshot| snapshot.history(usize::MAX)).unwrap_or_default()
    }

    /// Everything in staging and custody, and every temporary file beside the program or in the state.
    pub fn left_over(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(self.path(), &mut found);
        found
    }

    /// The files of a download that broke off: what has come, and the note of where from.
    pub fn parts(&self) -> Vec<PathBuf> {
        let staging = self.path().join("srv/.fetchd").join(PRODUCT).join("staging");
        let files = fs::read_dir(staging).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|end| end == "part" || end == "json")).collect()
    }
}

/// What artifact mode follows: files without a pointer, and the artifact whose signature is among them.
fn artifact_of(files: &Files) -> Option<&str> {
    if files.contains_key(POINTER) {
        return None;
    }
    files.keys().find_map(|name| name.strip_suffix(".minisig"))
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() || !path.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(".tmp") || name.starts_with(".fetchd-") {
                found.push(path);
            }
        } else if path.ends_with("staging") || path.ends_with("custody") {
            found.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            collect(&path, found);
        }
    }
}
