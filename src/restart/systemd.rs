//! The driver `systemd`: a unit is restarted by `systemctl`.

use std::collections::HashMap;
use std::ffi::OsString;

use super::external::{Action, External, Switch, Wait, Words, run};
use super::registry::{Known, Setup, SetupError};
use super::{HandoffError, Launch, RestartDriver};
use crate::spawn::Exited;

/// What `systemctl` may be asked to do with the unit; the first is the default.
pub(crate) const VERBS: [&str; 4] = ["restart", "reload", "try-restart", "reload-or-restart"];

#[derive(Debug)]
struct Systemd {
    unit: String,
    verb: &'static str,
    /// The main process and the count of automatic restarts, once switched.
    runs: Option<(u32, u32)>,
}

/// The unit, as `systemctl show` tells it.
#[derive(Debug, Default)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    pid: u32,
    restarts: u32,
}

pub(super) fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("systemd", &setup.options, &["unit", "verb"])?;
    let unit = known.required("unit", "web.service")?.to_owned();
    let fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if unit.starts_with('-') || !unit.chars().all(fine) {
        let message = format!("`{unit}` cannot be the name of a unit");
        return Err(SetupError::Value { option: "unit", message });
    }
    let wanted = known.one("verb").unwrap_or(VERBS[0]);
    let Some(verb) = VERBS.into_iter().find(|verb| *verb == wanted) else {
        let message = format!("`{wanted}` is not one of `{}`", VERBS.join("`, `"));
        return Err(SetupError::Value { option: "verb", message });
    };
    Ok(Box::new(External::new(Systemd { unit, verb, runs: None }, setup)))
}

impl Systemd {
    fn systemctl(&self, words: &[&str], wait: &Wait) -> Result<(Exited, String), HandoffError> {
        let command: Vec<OsString> = ["systemctl"].iter().chain(words).map(OsString::from).collect();
        run(&command, &[], Words::Kept, wait)
    }

    fn show(&self, wait: &Wait) -> Result<Unit, HandoffError> {
        let asked = "--property=LoadState,ActiveState,SubState,MainPID,NRestarts";
        match self.systemctl(&["show", asked, "--", &self.unit], wait)? {
            (Exited::Code(0), text) => Ok(Unit::read(&text)),
            (exited, text) => Err(wait.unreachable(format!("`systemctl show` ended with {exited}: {text}"))),
        }
    }
}

impl Unit {
    fn read(text: &str) -> Unit {
        let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim().split_once('=')).collect();
        let text = |name: &str| values.get(name).copied().unwrap_or_default().to_owned();
        let number = |name: &str| values.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Unit {
            load: text("LoadState"),
            active: text("ActiveState"),
            sub: text("SubState"),
            pid: number("MainPID"),
            restarts: number("NRestarts"),
        }
    }

    /// A unit that waits to be started again after a crash is `activating`, too.
    fn is_lost(&self) -> bool {
        matches!(self.active.as_str(), "failed" | "inactive") || self.sub == "auto-restart"
    }
}

impl Switch for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn prepare(&mut self, action: Action, wait: &Wait) -> Result<(), HandoffError> {
        let unit = self.show(wait)?;
        if unit.load != "loaded" {
            return Err(wait.unreachable(format!("the unit `{}` is {}", self.unit, or_unknown(&unit.load))));
        }
        // `restart` starts a unit that does not run; the others do nothing, or say that it does not run.
        if action == Action::Handoff && self.verb != "restart" && unit.active != "active" {
            return Err(wait.unreachable(format!("the unit `{}` is {}", self.unit, or_unknown(&unit.active))));
        }
        Ok(())
    }

    fn switch(&mut self, _: &Launch, action: Action, wait: &Wait) -> Result<(), HandoffError> {
        let before = self.show(wait)?;
        let mut verb = self.verb;
        if action == Action::RollBack {
            if before.active != "active" {
                verb = "restart";
            }
            // One that failed too often is refused a start, also of the binary that did not fail. There is nothing to
            // reset in one that did not.
            let _ = self.systemctl(&["reset-failed", "--", &self.unit], wait)?;
        }
        let (exited, text) = self.systemctl(&[verb, "--", &self.unit], wait)?;
        if exited != Exited::Code(0) {
            return Err(wait.failed(format!("`systemctl {verb} {}` ended with {exited}: {text}", self.unit)));
        }
        let name = &self.unit;
        let runs = wait.find(&format!("the unit `{name}` was not active"), || {
            // systemctl had no answer: that tells nothing about the service. The next one may.
            let Ok(unit) = self.show(wait) else { return Ok(None) };
            if unit.is_lost() {
                return Err(wait.failed(format!("the unit `{name}` is {} ({})", unit.active, unit.sub)));
            }
            Ok((unit.active == "active").then_some((unit.pid, unit.restarts)))
        })?;
        if verb.ends_with("restart") && verb != "reload-or-restart" && runs.0 != 0 && runs.0 == before.pid {
            return Err(wait.failed(format!("the main process of `{name}` is still {}", before.pid)));
        }
        self.runs = Some(runs);
        Ok(())
    }

    fn look(&mut self, wait: &Wait) -> Result<(), String> {
        // systemctl had no answer: that tells nothing about the service.
        let Ok(unit) = self.show(wait) else { return Ok(()) };
        if unit.is_lost() {
            return Err(format!("ended (the unit `{}` is {}, {})", self.unit, unit.active, unit.sub));
        }
        match self.runs {
            Some((_, restarts)) if restarts != unit.restarts => {
                Err(format!("ended, and systemd started the unit `{}` again", self.unit))
            }
            Some((pid, _))
                if unit.active == "active" && pid != 0 && pid != unit.pid && !self.verb.contains("reload") =>
            {
                Err(format!("gave way to another one (the main process was {pid} and is {})", unit.pid))
            }
            _ => Ok(()),
        }
    }

    fn pid(&self) -> u32 {
        self.runs.map_or(0, |(pid, _)| pid)
    }
}

fn or_unknown(state: &str) -> &str {
    if state.is_empty() { "unknown to systemctl" } else { state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read() {
        let unit =
            Unit::read("MainPID=42\nNRestarts=3\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n");
        assert_eq!((unit.load.as_str(), unit.pid, unit.restarts), ("loaded", 42, 3));
        assert!(unit.is_lost());
        assert!(!Unit::read("ActiveState=active\nSubState=running\n").is_lost());
        assert!(Unit::read("ActiveState=failed").is_lost());
        assert_eq!(Unit::read("garbage").load, "");
    }

    #[test]
    fn a_unit_is_never_an_option_of_systemctl() {
        for unit in ["--force", "web service", "a/b", "a;b", ""] {
            assert!(make(Setup::with(&[("unit", unit)])).is_err(), "{unit}");
        }
        make(Setup::with(&[("unit", "web@1\\x2d.service"), ("verb", "reload-or-restart")])).unwrap();
        let error = make(Setup::with(&[("unit", "web"), ("verb", "stop")])).unwrap_err();
        assert!(error.to_string().contains("`restart`, `reload`"), "{error}");
    }
}
