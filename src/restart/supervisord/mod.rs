//! The driver `supervisord`: a process is stopped and started by calls over supervisord's socket.

mod rpc;
mod xml;

use std::path::PathBuf;

use super::external::{Action, External, Switch, Wait};
use super::registry::{Known, Setup, SetupError};
use super::{HandoffError, Launch, RestartDriver};
use xml::{Answer, Value};

#[derive(Debug)]
struct Supervisord {
    socket: PathBuf,
    process: String,
    /// The process id and the time of the start, once switched.
    runs: Option<(i64, i64)>,
}

/// The process, as supervisord tells it.
#[derive(Debug)]
struct Told {
    state: String,
    pid: i64,
    start: i64,
    error: String,
}

/// supervisord's code for a process that does not run and should be stopped.
const NOT_RUNNING: i64 = 70;

pub(super) fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("supervisord", &setup.options, &["socket", "process"])?;
    let socket = PathBuf::from(known.required("socket", "/run/supervisor.sock")?);
    let process = known.required("process", "web")?.to_owned();
    if process.ends_with(":*") || process.chars().any(char::is_control) {
        let message = format!("`{}` names no single process", process.escape_debug());
        return Err(SetupError::Value { option: "process", message });
    }
    Ok(Box::new(External::new(Supervisord { socket, process, runs: None }, setup)))
}

impl Supervisord {
    /// `Err`: why there is no value, and supervisord's code for it; without a code it could not be asked.
    fn call(&self, method: &str, switch: Option<bool>, wait: &Wait) -> Result<Value, (String, Option<i64>)> {
        match rpc::call(&self.socket, &format!("supervisor.{method}"), &self.process, switch, wait.until()) {
            Ok(Answer::Value(value)) => Ok(value),
            Ok(Answer::Fault { code, text }) => Err((format!("supervisord says {text}"), Some(code))),
            Err(e) => Err((format!("supervisord at `{}`: {e}", self.socket.display()), None)),
        }
    }

    fn told(&self, wait: &Wait) -> Result<Told, String> {
        let info = self.call("getProcessInfo", None, wait).map_err(|(why, _)| why)?;
        let told = || {
            Some(Told {
                state: info.text("statename")?.to_owned(),
                pid: info.int("pid")?,
                start: info.int("start")?,
                error: info.text("spawnerr")?.to_owned(),
            })
        };
        told().ok_or_else(|| "supervisord did not say how the process is".to_owned())
    }

    fn stop(&self, wait: &Wait) -> Result<(), HandoffError> {
        match self.call("stopProcess", Some(false), wait) {
            Ok(_) | Err((_, Some(NOT_RUNNING))) => {}
            Err((why, None)) => return Err(wait.unreachable(why)),
            Err((why, Some(_))) => return Err(wait.failed(why)),
        }
        wait.find("the process had not stopped", || {
            // No answer tells nothing about the process. The next one may.
            let Ok(told) = self.told(wait) else { return Ok(None) };
            Ok(matches!(told.state.as_str(), "STOPPED" | "EXITED" | "FATAL").then_some(()))
        })
    }
}

impl Switch for Supervisord {
    fn name(&self) -> &'static str {
        "supervisord"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        self.told(wait).map(drop).map_err(|why| wait.unreachable(why))
    }

    fn switch(&mut self, _: &Launch, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        // Between these two nothing runs: whoever stops it has to start it, whatever he is told meanwhile.
        let started = wait.to_its_end();
        self.stop(&started)?;
        self.call("startProcess", Some(false), &started).map_err(|(why, _)| wait.failed(why))?;
        let runs = started.find("the process was not RUNNING", || {
            let Ok(told) = self.told(wait) else { return Ok(None) };
            match told.state.as_str() {
                "RUNNING" => Ok(Some((told.pid, told.start))),
                "STARTING" => Ok(None),
                state => Err(wait.failed(format!("the process is {state}: {}", or_nothing(&told.error)))),
            }
        })?;
        self.runs = Some(runs);
        Ok(())
    }

    fn look(&mut self, wait: &Wait) -> Result<(), String> {
        // supervisord had no answer: that tells nothing about the service.
        let Ok(told) = self.told(wait) else { return Ok(()) };
        if told.state != "RUNNING" {
            return Err(format!("ended (the process is {}: {})", told.state, or_nothing(&told.error)));
        }
        match self.runs {
            Some(runs) if runs != (told.pid, told.start) => Err("ended, and supervisord started it again".to_owned()),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> u32 {
        self.runs.and_then(|(pid, _)| u32::try_from(pid).ok()).unwrap_or(0)
    }
}

fn or_nothing(error: &str) -> &str {
    if error.is_empty() { "supervisord says no more" } else { error }
}
