//! The driver `command`: a program of the operator's restarts the service.

use std::ffi::OsString;

use super::external::{Action, External, Switch, Wait, Words, program_of, run};
use super::registry::{Known, Setup, SetupError};
use super::{HandoffError, Launch, RestartDriver};
use crate::spawn::Exited;

/// An exit code that says: not now, and not because of the release (`EX_TEMPFAIL` of sysexits.h).
const NOT_NOW: i32 = 75;

#[derive(Debug)]
struct Command {
    argv: Vec<OsString>,
}

pub(super) fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("command", &setup.options, &["command"])?;
    known.required("command", "/usr/local/bin/restart-web")?;
    let argv = known.all("command").iter().map(OsString::from).collect();
    Ok(Box::new(External::new(Command { argv }, setup)))
}

impl Switch for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        program_of(&self.argv, wait).map(drop)
    }

    fn switch(&mut self, to: &Launch, action: Action, wait: &Wait) -> Result<(), HandoffError> {
        let text = |shown: Option<String>| OsString::from(shown.unwrap_or_default());
        let variables = [
            ("FETCHD_PROGRAM", to.program.clone().into_os_string()),
            ("FETCHD_VERSION", text(to.version.as_ref().map(ToString::to_string))),
            ("FETCHD_DIGEST", text(to.sha256.as_ref().map(ToString::to_string))),
            ("FETCHD_ACTION", action.word().into()),
        ];
        let (exited, _) = run(&self.argv, &variables, Words::Passed, wait)?;
        let name = self.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        match exited {
            Exited::Code(0) => Ok(()),
            Exited::Code(NOT_NOW) => {
                Err(wait.unreachable(format!("`{name}` ended with exit code {NOT_NOW}, which says: try again later")))
            }
            exited => Err(wait.failed(format!("`{name}` ended with {exited}"))),
        }
    }
}
