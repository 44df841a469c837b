//! State that is missing, damaged, edited or somebody else's, and the real program: updates stop where the floor is not
//! known, the service never does, and a repair brings everything back that can be proved.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

mod faults;
mod floor;
mod repair;
#[path = "../support/site.rs"]
mod site;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use site::{Site, Supervised, text};

/// A service with a shell script for a program: it starts at once, and its version is what it says.
struct Post {
    site: Site,
}

/// What every command needs that installs such a script.
const FLAGS: [&str; 2] = ["--target-check", "off"];

fn script(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\n[ \"$1\" = --version ] && echo app {version} && exit\nexec sleep 600\n").into_bytes()
}

impl Post {
    /// With 1.0.0 at the program path, and published.
    fn new() -> Post {
        let post = Post { site: Site::empty() };
        fs::write(post.site.program(), script("1.0.0")).unwrap();
        fs::set_permissions(post.site.program(), fs::Permissions::from_mode(0o755)).unwrap();
        post.publish("1.0.0");
        post
    }

    /// The same, and fetchd has seen what is published.
    fn known() -> Post {
        let post = Post::new();
        post.done("apply", &[], 0);
        post
    }

    fn publish(&self, version: &str) {
        self.site.publisher.publish(version, &script(version)).unwrap();
    }

    fn state(&self, name: &str) -> PathBuf {
        self.site.state_dir().join(name)
    }

    /// `fetchd COMMAND` with the configuration of this service. `state show` needs less of it.
    fn fetchd(&self, command: &str, more: &[&str]) -> Output {
        let mut words = command.split(' ');
        let mut fetchd = match command {
            "state show" | "history" | "status" | "hold" => {
                let mut fetchd = Command::new(site::FETCHD);
                fetchd.args(words).args(["--product", "app", "--state-dir"]).arg(self.site.state_dir()).args(more);
                fetchd
            }
            _ => {
                let first = words.next().unwrap();
                let nested: Vec<&str> = words.collect();
                let mut fetchd = Command::new(site::FETCHD);
                let whole = self.site.command(first, &[]);
                let given: Vec<_> = whole.get_args().skip(1).collect();
                fetchd.arg(first).args(nested).args(given).args(FLAGS);
                fetchd.args(more).arg("--").arg(self.site.program());
                fetchd
            }
        };
        fetchd.current_dir(self.site.path()).env_remove("RUST_LOG").stdin(std::process::Stdio::null());
        fetchd.output().unwrap()
    }

    /// The same, and it must end with `exit`.
    #[track_caller]
    fn done(&self, command: &str, more: &[&str], exit: i32) -> Output {
        let output = self.fetchd(command, more);
        assert_eq!(output.status.code(), Some(exit), "fetchd {command} {more:?}: {}", text(&output));
        output
    }

    #[track_caller]
    fn json(&self, command: &str, more: &[&str], exit: i32) -> Value {
        let output = self.done(command, &[more, &["--json"]].concat(), exit);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
        assert_eq!(object["schema"], 1, "{object}");
        object
    }

    /// Ends with this code on stderr.
    #[track_caller]
    fn refused(&self, command: &str, more: &[&str], exit: i32, code: &str) -> String {
        let said = String::from_utf8(self.done(command, more, exit).stderr).unwrap();
        assert!(said.contains(&format!("[{code}]")), "{code}: {said}");
        said
    }

    /// `fetchd run`, polling five times a second.
    fn run(&self, more: &[&str]) -> Supervised<'_> {
        self.site.run(&[&FLAGS[..], &["--ready", "alive:50ms"], more].concat())
    }

    /// (epoch, sequence number) of what is published.
    fn published(&self) -> (u64, u64) {
        let manifest = self.site.publisher.manifest().unwrap();
        (manifest["epoch"].as_u64().unwrap(), manifest["seq"].as_u64().unwrap())
    }

    /// Inode and bytes of the program.
    fn program(&self) -> (u64, Vec<u8>) {
        (fs::metadata(self.site.program()).unwrap().ino(), fs::read(self.site.program()).unwrap())
    }

    /// Everything in the state directory but sockets, with what it holds.
    fn everything(&self) -> Vec<(String, u64, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(self.site.state_dir())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let bytes =
                    if entry.file_type().unwrap().is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
                (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().ino(), bytes)
            })
            .collect();
        all.sort();
        all
    }

    /// The files whose names begin like this.
    fn named(&self, start: &str) -> Vec<String> {
        self.everything().into_iter().map(|(name, ..)| name).filter(|name| name.starts_with(start)).collect()
    }
}

/// A process serves.
#[track_caller]
fn serves(fetchd: &mut Supervised<'_>) {
    fetchd.wait("it serves", |status| status.service.generations.iter().any(|g| g.phase == "serving"));
}
