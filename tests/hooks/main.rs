//! Programs of the operator's that are asked before a release is installed, and told what became of it: what they hear, and
//! that none of them, whatever it does, is in the way of the service.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod asked;
mod told;

#[path = "../support/site.rs"]
mod site;
#[path = "../support/web.rs"]
mod web;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use site::Site;

/// A hook: a script of `/bin/sh`, which writes down what it was told before it does what `then` says.
pub(crate) struct Script {
    path: PathBuf,
    told: PathBuf,
}

impl Script {
    pub(crate) fn new(site: &Site, name: &str, then: &str) -> Script {
        let script = Script { path: site.path().join(name), told: site.path().join(format!("{name}.told")) };
        script.now(then);
        script
    }

    /// One that never ends, and the file with its process id.
    pub(crate) fn that_hangs(site: &Site) -> (Script, PathBuf) {
        let pid = site.path().join("pid");
        (Script::new(site, "hangs", &format!("echo $$ > {}; exec sleep 3600", pid.display())), pid)
    }

    /// From now on it does this.
    pub(crate) fn now(&self, then: &str) {
        let told = self.told.display();
        // What it is told is one line without its end. It is there in whole or not at all.
        let text = format!("#!/bin/sh\ntext=$(cat)\nprintf '%s\\n' \"$text\" >> {told}\n{then}\n");
        let next = self.path.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, &self.path).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// What it was told, one object for each time that it ran.
    pub(crate) fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.told).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a process wrote into `path`, once it is there.
pub(crate) fn number_in(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
