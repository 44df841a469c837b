//! What a release engineer types to publish to a bucket.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fetchd::publish::{Protection, keygen};
use fetchd_stand_ins::s3::{ACCESS_KEY, Fault, Operation, S3Server, SECRET_KEY, When};
use tempfile::TempDir;

use super::POINTER;

/// The real program, as a release engineer calls it.
struct Shell {
    server: S3Server,
    dir: TempDir,
}

impl Shell {
    fn new() -> Shell {
        let dir = tempfile::tempdir().unwrap();
        keygen(&dir.path().join("release"), Protection::None).unwrap();
        fs::copy("/bin/true", dir.path().join("web")).unwrap();
        Shell { server: S3Server::start(), dir }
    }

    fn to(&self) -> String {
        self.server.source("web").into()
    }

    fn call(&self, secret: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret);
        command.args(["publish", "--to", &self.to(), "--secret-key", "release.key", "--product", "web"]);
        command.args(more).output().unwrap()
    }

    fn good(&self, more: &[&str]) -> String {
        let output = self.call(SECRET_KEY, more);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn bad(&self, secret: &str, more: &[&str], exit: i32, code: &str) -> String {
        let output = self.call(secret, more);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert!(text.contains(&format!("[{code}]")), "{text}");
        text
    }

    fn artifact() -> String {
        format!("{}=web", fetchd::config::BUILD_TARGET)
    }
}

#[test]
fn the_program_publishes_to_a_bucket_and_says_how_to_follow_it() {
    let shell = Shell::new();
    let artifact = Shell::artifact();
    let release = ["--release", "1.0.0", &artifact];
    let dry = shell.good(&[&["--dry-run"], &release[..]].concat());
    assert!(dry.starts_with("would publish web 1.0.0 on stable\n") && dry.ends_with("nothing was written\n"), "{dry}");
    assert!(shell.server.keys().is_empty());
    let text = shell.good(&release);
    assert!(text.starts_with("published web 1.0.0 on stable\n"), "{text}");
    let source = text.lines().find_map(|line| line.trim().strip_prefix("fetchd run --source ")).unwrap();
    let follow = format!("'s3://releases/web/stable.fetchd?{}'", shell.server.source("").query().unwrap());
    assert!(source.starts_with(&follow), "{text}");
    // There is no file to verify on this machine.
    assert!(!text.contains("fetchd verify"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&shell.good(&["--json"])).unwrap();
    assert_eq!((&json["pointer"], &json["seq"]), (&"s3://releases/web/stable.fetchd".into(), &2.into()));
    assert!(json["source"].as_str().unwrap().starts_with("s3://releases/web/stable.fetchd?endpoint="), "{json}");
    let dry: serde_json::Value = serde_json::from_str(&shell.good(&["--json", "--dry-run"])).unwrap();
    assert_eq!((&dry["dry_run"], &dry["seq"]), (&true.into(), &3.into()));
}

#[test]
fn the_program_says_what_is_wrong_with_a_bucket() {
    let shell = Shell::new();
    let text = shell.bad(SECRET_KEY, &[], 64, "usage.arguments");
    assert!(text.contains("no channel `stable` of `web` in `s3://releases/web/`"), "{text}");
    let artifact = Shell::artifact();
    let release = ["--release", "1.0.0", &artifact];
    let text = shell.bad("hunter2", &release, 30, "publish.denied");
    assert!(text.contains("hint: ") && !text.contains("hunter2"), "{text}");
    shell.good(&release);
    // Somebody else's comes between reading the pointer and replacing it.
    let theirs = shell.server.get(POINTER).unwrap();
    let theirs = [&theirs[..], b"\n"].concat();
    shell.server.inject(Fault::ReplaceAfter(theirs.into()), When::any().operation(Operation::Get).key(POINTER).once());
    fs::write(shell.dir.path().join("web"), [&fs::read("/bin/true").unwrap()[..], b"2"].concat()).unwrap();
    let second = ["--release", "1.1.0", &artifact];
    let text = shell.bad(SECRET_KEY, &second, 75, "publish.conflict");
    assert!(text.contains("hint: run it again"), "{text}");
    let path: PathBuf = shell.dir.path().join("web");
    fs::write(path, "other bytes").unwrap();
    shell.bad(SECRET_KEY, &[&["--target-check", "off"], &second[..]].concat(), 64, "publish.exists");
}
