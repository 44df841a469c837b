//! The commands' end of the control socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::server::Reachable;
use super::{LONGEST_LINE, Line, PATIENCE, Request};
use crate::failure::{Exit, Failure};

/// The supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens.
    #[error("no fetchd runs for this service (`{}`)", path.display())]
    NotRunning {
        /// Where it would listen.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("the control socket `{}` may not be used", path.display())]
    Denied {
        /// Where it listens.
        path: PathBuf,
    },
    /// It broke off.
    #[error("the supervisor did not answer")]
    Broken {
        /// What the system said.
        source: io::Error,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

impl Failure for ControlError {
    fn code(&self) -> &'static str {
        match self {
            ControlError::NotRunning { .. } => "control.not_running",
            ControlError::Denied { .. } => "control.denied",
            ControlError::Broken { .. } => "control.broken",
            ControlError::Refused(_) => "control.refused",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            ControlError::NotRunning { .. } => Some(
                "start it with `fetchd run`, or name its service with --config, --product or --state-dir".to_owned(),
            ),
            ControlError::Denied { .. } => Some("be the user that runs it, or root".to_owned()),
            ControlError::Broken { .. } | ControlError::Refused(_) => None,
        }
    }
}

/// The process id of the supervisor that looks after the service with this state directory, if one answers.
pub fn supervisor(state_dir: &Path) -> Option<u32> {
    match ask(&super::path(state_dir), &Request::Status, SHORT, |_| {}) {
        Ok(Line::Status(status)) => Some(status.pid),
        _ => None,
    }
}

/// Longer than a supervisor takes that has nothing to think about.
const SHORT: Duration = Duration::from_secs(2);

/// Asks the supervisor that listens at `path`. `doing` hears what goes on until the last line, which
/// is returned.
///
/// `longest`: how long to wait from one line to the next; a supervisor sends one whenever it begins
/// something else, and downloads count every megabyte.
pub fn ask(
    path: &Path,
    request: &Request,
    longest: Duration,
    mut doing: impl FnMut(&str),
) -> Result<Line, ControlError> {
    let broken = |source| ControlError::Broken { source };
    let stream = connect(path)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_read_timeout(Some(longest)).map_err(broken)?;
    let mut text = serde_json::to_vec(request).map_err(|e| broken(e.into()))?;
    text.push(b'\n');
    (&stream).write_all(&text).map_err(broken)?;
    let mut lines = BufReader::new(&stream);
    loop {
        let mut line = String::new();
        lines.by_ref().take(LONGEST_LINE).read_line(&mut line).map_err(broken)?;
        if line.is_empty() {
            return Err(broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        match serde_json::from_str(&line).map_err(|e| broken(e.into()))? {
            Line::Doing(what) => doing(&what),
            Line::Refused(why) => return Err(ControlError::Refused(why)),
            last => return Ok(last),
        }
    }
}

fn connect(path: &Path) -> Result<UnixStream, ControlError> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning { path: path.to_owned() }
        }
        io::ErrorKind::PermissionDenied => ControlError::Denied { path: path.to_owned() },
        _ => ControlError::Broken { source: e },
    };
    let reachable = short(path).map_err(failed)?;
    UnixStream::connect(&reachable.path).map_err(failed)
}

/// A socket's address holds 107 bytes of path. A longer one is reached through its directory.
pub(super) fn short(path: &Path) -> io::Result<Reachable> {
    if path.as_os_str().as_bytes().len() <= 107 {
        return Ok(Reachable { path: path.to_owned(), _directory: None });
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok(Reachable { path, _directory: Some(directory) })
}
