//! Four ways to show the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_stand_ins::github::GitHub;
use fetchd_stand_ins::s3::S3Server;

use crate::maker::POINTER;
use crate::table::{Carry, Files};

/// A source that shows files.
pub enum Carrier {
    File(PathBuf),
    Http { origin: ScriptedOrigin, shown: BTreeSet<String> },
    S3(S3Server),
    GitHub { github: GitHub, tags: u64 },
}

/// The repository whose releases have the files.
pub const REPOSITORY: &str = "acme/app";

impl Carrier {
    pub fn new(carry: Carry, dir: &Path) -> Carrier {
        match carry {
            Carry::File => {
                let dir = dir.join("published");
                fs::create_dir(&dir).unwrap();
                Carrier::File(dir)
            }
            Carry::Http => Carrier::Http { origin: ScriptedOrigin::start(), shown: BTreeSet::new() },
            Carry::S3 => Carrier::S3(S3Server::start()),
            Carry::GitHub => {
                let github = GitHub::start();
                github.limit(1_000_000);
                Carrier::GitHub { github, tags: 0 }
            }
        }
    }

    /// Shows these files and no others.
    pub fn show(&mut self, files: &Files) {
        match self {
            Carrier::File(dir) => {
                fs::remove_dir_all(&*dir).unwrap();
                for (name, bytes) in files {
                    let path = dir.join(name);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
                fs::create_dir_all(&*dir).unwrap();
            }
            Carrier::Http { origin, shown } => {
                for name in shown.iter().filter(|name| !files.contains_key(*name)) {
                    origin.remove(&format!("/{name}"));
                }
                for (name, bytes) in files {
                    origin.put(&format!("/{name}"), bytes);
                }
                *shown = files.keys().cloned().collect();
            }
            Carrier::S3(server) => {
                for key in server.keys() {
                    server.remove(&key);
                }
                for (name, bytes) in files {
                    server.put(name, bytes.clone());
                }
            }
            Carrier::GitHub { github, tags } => {
                if *tags > 0 {
                    github.delete_release(REPOSITORY, &format!("v{tags}"));
                }
                *tags += 1;
                let release = github.release(REPOSITORY, &format!("v{tags}"));
                files.iter().fold(release, |release, (name, bytes)| release.asset(name, bytes)).publish();
            }
        }
    }

    /// Ends every misbehaviour of what carries the files.
    pub fn behave(&self) {
        match self {
            Carrier::File(_) => {}
            Carrier::Http { origin, .. } => origin.clear_scripts(),
            Carrier::S3(server) => server.clear(),
            Carrier::GitHub { github, .. } => github.clear(),
        }
    }

    /// What `fetchd` is told to follow: the pointer, or another file of the source.
    pub fn flags(&self, name: &str) -> Vec<String> {
        match self {
            Carrier::File(dir) => vec!["--source".into(), format!("file:{}/{name}?settle=0s", dir.display())],
            Carrier::Http { origin, .. } => {
                let url = origin.url(&format!("/{name}")).to_string();
                vec!["--source".into(), url, "--source-options".into(), "proxy=none".into()]
            }
            Carrier::S3(server) => {
                let mut flags = vec!["--source".into(), server.source(name).to_string()];
                for (option, values) in server.options() {
                    for value in values {
                        flags.extend(["--source-options".into(), format!("{option}={value}")]);
                    }
                }
                flags
            }
            Carrier::GitHub { github, .. } => {
                let source = github.source(REPOSITORY).to_string();
                let mut flags = vec!["--source".into(), source, "--source-options".into(), "proxy=none".into()];
                if name == POINTER {
                    flags.extend(["--signature".into(), "bundle".into()]);
                }
                flags
            }
        }
    }

    pub fn pointer_flags(&self) -> Vec<String> {
        self.flags(POINTER)
    }

    /// The web server, where the case is a matter of HTTP.
    pub fn http(&self) -> &ScriptedOrigin {
        match self {
            Carrier::Http { origin, .. } => origin,
            _ => panic!("this case is carried by HTTP alone"),
        }
    }

    /// The bucket, where the case is a matter of S3.
    pub fn s3(&self) -> &S3Server {
        match self {
            Carrier::S3(server) => server,
            _ => panic!("this case is carried by S3 alone"),
        }
    }
    /// GitHub, where the case is a matter of it.
    pub fn github(&self) -> &GitHub {
        match self {
            Carrier::GitHub { github, .. } => github,
            _ => panic!("this case is carried by GitHub alone"),
        }
    }
}
