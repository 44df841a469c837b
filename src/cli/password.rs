//! The password of a secret key: from the environment, or typed without being shown.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failed;
use crate::publish::PASSWORD_ENV;

/// The password, for what `prompt` names. Never an argument: those are seen by every process.
///
/// Fails with `usage.arguments` where there is neither the variable nor a terminal.
pub(super) fn ask(prompt: &str, without: &str) -> Result<String, Failed> {
    if let Some(set) = from_environment()? {
        return Ok(set);
    }
    let typed = typed(prompt, without)?;
    if typed.is_empty() {
        return Err(usage("the password is empty", without));
    }
    Ok(typed)
}

/// As [`ask`], typed twice.
pub(super) fn choose(prompt: &str, without: &str) -> Result<String, Failed> {
    if let Some(set) = from_environment()? {
        return Ok(set);
    }
    let first = ask(prompt, without)?;
    if typed("The same once more", without)? != first {
        return Err(usage("the two passwords differ", "nothing was written; try again"));
    }
    Ok(first)
}

fn from_environment() -> Result<Option<String>, Failed> {
    match std::env::var(PASSWORD_ENV) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(usage(&format!("`{PASSWORD_ENV}` is not valid UTF-8"), "minisign could not use it either"))
        }
    }
}

fn typed(prompt: &str, without: &str) -> Result<String, Failed> {
    let stdin = io::stdin();
    let quiet = match Quiet::begin() {
        Ok(quiet) if stdin.is_terminal() => quiet,
        _ => return Err(usage("a password is needed, and there is no terminal to ask for it on", without)),
    };
    // What cannot be asked is answered all the same by who knows the program.
    let _ = write!(io::stderr(), "{prompt}: ");
    let mut line = Vec::new();
    let outcome = loop {
        let mut byte = [0];
        match rustix::io::read(&stdin, &mut byte) {
            Ok(0) => break Err("the input ended before the password"),
            Ok(_) => match byte[0] {
                b'\r' | b'\n' => break Ok(()),
                CTRL_C => break Err("interrupted"),
                CTRL_D if line.is_empty() => break Err("the input ended before the password"),
                CTRL_U => line.clear(),
                BACKSPACE | DELETE => {
                    // A character may be several bytes; its first one is no continuation.
                    while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {}
                }
                other => line.push(other),
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break Err("the terminal is gone"),
        }
    };
    drop(quiet);
    let _ = writeln!(io::stderr());
    outcome.map_err(|what| usage(what, "nothing was written"))?;
    String::from_utf8(line).map_err(|_| usage("the password is not valid UTF-8", "nothing was written"))
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// A terminal that shows nothing of what is typed, until this is dropped.
///
/// Ctrl-C arrives as a character: a signal would end the process and leave the terminal silent.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Result<Quiet, rustix::io::Errno> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn usage(message: &str, hint: &str) -> Failed {
    Failed::Usage { message: message.to_owned(), hint: hint.to_owned() }
}
