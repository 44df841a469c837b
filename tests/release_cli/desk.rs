//! A directory with a key and a program, and the commands that are typed there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A directory to work in.
pub(crate) struct Desk {
    pub(crate) dir: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    /// One with a password-less key pair `release.key` and a program `web`.
    pub(crate) fn with_key() -> Desk {
        let desk = Desk::new();
        desk.good(&["keygen", "--no-password"]);
        desk.program("web", b"one");
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a program for this machine that differs from others by its last bytes.
    pub(crate) fn program(&self, name: &str, last: &[u8]) {
        let mut bytes = fs::read("/bin/true").unwrap();
        bytes.extend_from_slice(last);
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn call(&self, environment: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.current_dir(self.dir.path()).env_clear().args(args);
        command.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
    }

    /// A call that succeeds; what it prints.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let output = self.call(&[], args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A call that succeeds with `--json`; the one object it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.good(&in_json(args));
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["schema"], 1, "{text}");
        object
    }

    /// A call that fails with this exit code and this stable code, and says what to do. With `--json`
    /// it says the same.
    pub(crate) fn bad(&self, args: &[&str], exit: i32, code: &str) -> String {
        let output = self.call(&[], args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {text}");
        assert!(text.contains(&format!("[{code}]\nhint: ")), "{args:?}, {code}: {text}");
        let again = self.call(&[], &in_json(args));
        assert_eq!(again.status.code(), Some(exit));
        let object: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!((&object["schema"], &object["error"]["code"]), (&1.into(), &code.into()));
        assert_eq!(object["error"]["exit"], exit);
        text
    }

    pub(crate) fn publish(&self, version: &str, artifact: &str) -> String {
        let artifact = format!("{TARGET}={artifact}");
        self.good(&[&PUBLISH[..], &["--release", version, &artifact]].concat())
    }

    /// Every file below `name` with its bytes.
    pub(crate) fn snapshot(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    pub(crate) fn minisign(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new("minisign")
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program `minisign` is needed on PATH: apt-get install minisign");
        // A run that asks for no password may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "minisign {args:?}: {}", stderr(&output));
        output
    }
}

pub(crate) const TARGET: &str = fetchd::config::BUILD_TARGET;
pub(crate) const PUBLISH: [&str; 7] = ["publish", "--to", "www", "--secret-key", "release.key", "--product", "web"];
pub(crate) const VERIFY: [&str; 3] = ["verify", "--key", "release.pub"];

/// The same call with `--json`; behind the command, for what stands behind a program is the program's.
pub(crate) fn in_json<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let (command, rest) = args.split_at(if ["config", "keys"].contains(&args[0]) { 2 } else { 1 });
    [command, &["--json"], rest].concat()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
