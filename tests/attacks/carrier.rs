//! Three ways to show the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_stand_ins::s3::S3Server;

use crate::maker::POINTER;
use crate::table::{Carry, Files};

/// A source that shows files.
pub enum Carrier {
    File(PathBuf),
    Http { origin: ScriptedOrigin, shown: BTreeSet<String> },
    S3(S3Server),
}

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
}
