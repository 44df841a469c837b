//! Each thing that can become of a file, to each file of the state.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, mknodat};

use super::{Post, serves};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Missing,
    Empty,
    Truncated,
    NotJson,
    Newer,
    SomebodyElses,
    Symlink,
    Fifo,
    Directory,
    WorldWritable,
    Huge,
}

use Fault::*;

const ALL: [Fault; 11] =
    [Missing, Empty, Truncated, NotJson, Newer, SomebodyElses, Symlink, Fifo, Directory, WorldWritable, Huge];

/// What is wrong with the file itself, whatever is in it.
const OF_THE_FILE: [Fault; 5] = [SomebodyElses, Symlink, Fifo, Directory, WorldWritable];

impl Fault {
    /// Whether it can be brought about here: only root gives files away.
    fn possible(self) -> bool {
        self != SomebodyElses || rustix::process::geteuid().is_root()
    }

    fn befalls(self, path: &Path) {
        let whole = fs::read(path).unwrap_or_default();
        match self {
            Missing | Symlink | Fifo | Directory => fs::remove_file(path).unwrap_or_default(),
            _ => {}
        }
        match self {
            Missing => {}
            Empty => fs::write(path, "").unwrap(),
            Truncated => fs::write(path, &whole[..whole.len() / 2]).unwrap(),
            NotJson => fs::write(path, "not json").unwrap(),
            Newer => fs::write(path, "{\"schema\":2,\"fetchd\":\"bundle/2\"}\n").unwrap(),
            SomebodyElses => {
                fs::write(path, &whole).unwrap();
                chown(path, Some(12_345), None).unwrap();
            }
            Symlink => {
                let elsewhere = path.with_extension("elsewhere");
                fs::write(&elsewhere, &whole).unwrap();
                symlink(elsewhere, path).unwrap();
            }
            Fifo => mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap(),
            Directory => fs::create_dir(path).unwrap(),
            WorldWritable => {
                fs::write(path, &whole).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
            }
            Huge => fs::write(path, vec![b' '; 5 << 20]).unwrap(),
        }
    }
}

/// What is expected of a file with a fault.
struct Expected {
    /// `state show` says that it is damaged, and ends with 50.
    damaged: bool,
    /// `run` makes no updates.
    off: bool,
}

/// Brings about every fault of `file`, one after the other, in a state that is repaired in between.
fn each(file: &str, expected: impl Fn(Fault) -> Expected) {
    let post = Post::known();
    let path = post.state(file);
    for fault in ALL.into_iter().filter(|fault| fault.possible()) {
        fs::write(post.state("history.jsonl"), "").unwrap();
        let floor = post.json("state show", &[], 0)["floor"].clone();
        let program = post.program();
        fault.befalls(&path);
        let Expected { damaged, off } = expected(fault);
        let what = format!("{file} {fault:?}");

        let before = post.everything();
        let shown = post.json("state show", &[], if damaged { 50 } else { 0 });
        assert_eq!(post.everything(), before, "{what}: looking changed something");
        let damage: Vec<_> = shown["damage"].as_array().unwrap().iter().map(|one| one["file"].clone()).collect();
        assert_eq!(damage, if damaged { vec![file] } else { vec![] }, "{what}");
        let word = if damaged {
            "damaged"
        } else if (file, fault) == ("state.json", Missing) {
            "new"
        } else {
            "readable"
        };
        assert_eq!(shown["state"], word, "{what}: {shown}");
        if damaged {
            assert_eq!(shown["error"]["code"], "state.damaged", "{what}: {shown}");
        }

        let mut fetchd = post.run(&[]);
        serves(&mut fetchd);
        if off {
            let status = fetchd.wait("updates are off", |status| status.updates.updates_off.is_some());
            let why = status.updates.updates_off.unwrap();
            assert_eq!((why.code.as_str(), why.exit.number()), ("state.damaged", 50), "{what}");
            assert!(why.hint.unwrap().contains("fetchd state repair"), "{what}");
            post.refused("apply", &[], 50, "state.damaged");
            // Repaired beside it: it goes on by itself.
            post.done("state repair", &[], 0);
            fetchd.wait("updates are on again", |s| s.updates.updates_off.is_none() && s.updates.last.is_some());
            assert_eq!(fetchd.log().matches("updates are off").count(), 1, "{what}: {}", fetchd.log());
        } else {
            fetchd.wait("a pass", |status| status.updates.last.is_some());
            assert_eq!(fetchd.try_status().unwrap().updates.updates_off, None, "{what}");
            post.refused("state repair", &[], 75, "state.locked");
        }
        serves(&mut fetchd);
        assert!(fetchd.stop().code().is_some());
        assert_eq!(post.program(), program, "{what}: the program was touched");

        post.done("state repair", &[], 0);
        let after = post.json("state show", &[], 0);
        assert_eq!(after["state"], "readable", "{what}: {after}");
        // What was accepted stays the floor, whatever became of one file.
        assert_eq!(after["floor"], floor, "{what}");
        if damaged {
            assert_ne!(post.named(&format!("{file}.damaged-")), [""; 0], "{what}: what was damaged is gone");
        }
        if after["last_bundle"] == false {
            // Nothing new to accept, and so no new bundle: the next case begins with one.
            fs::write(post.state("last.bundle"), post.site.publisher.document().unwrap()).unwrap();
        }
        let settled = post.json("state repair", &[], 0);
        assert_eq!(settled["outcome"], "undamaged", "{what}: {settled}");
    }
}

#[test]
fn whatever_becomes_of_the_record_the_service_runs_and_a_repair_keeps_the_floor() {
    each("state.json", |fault| Expected { damaged: fault != Missing, off: fault != Missing });
}

#[test]
fn whatever_becomes_of_the_last_bundle_updates_go_on() {
    each("last.bundle", |fault| Expected { damaged: fault != Missing, off: false });
}

#[test]
fn whatever_becomes_of_the_lock_the_service_runs() {
    // What is in it is only a courtesy.
    each("lock", |fault| Expected { damaged: OF_THE_FILE.contains(&fault), off: OF_THE_FILE.contains(&fault) });
}

#[test]
fn whatever_becomes_of_the_history_updates_go_on() {
    each("history.jsonl", |fault| Expected { damaged: OF_THE_FILE.contains(&fault), off: false });
}
