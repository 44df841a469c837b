//! Which process of the program this is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fetchd_fetchers::Registry;

use crate::daemon::replace;
use crate::failure::{Exit, Reported};

/// The program itself, as it was started, and not its worker.
///
/// Its path is what it was called by, made absolute, with symlinks left as they are: a `current` that is pointed elsewhere
/// later is followed. It is looked up once.
#[derive(Debug, Clone)]
pub struct Process {
    program: Result<PathBuf, Reported>,
    arguments: Vec<OsString>,
}

impl Process {
    /// **First thing in `main`, before any thread is started.** `Err`: this was the worker, which has done its work; end
    /// with that code.
    ///
    /// ```no_run
    /// fn main() -> std::process::ExitCode {
    ///     let process = match fetchd::Process::start() {
    ///         Ok(process) => process,
    ///         Err(ended) => return ended,
    ///     };
    ///     // … the program …
    /// #   drop(process);
    /// #   std::process::ExitCode::SUCCESS
    /// }
    /// ```
    pub fn start() -> Result<Process, ExitCode> {
        Process::start_with(Registry::builtin())
    }

    /// The same with fetchers of the program's own, which only the worker uses.
    pub fn start_with(fetchers: Registry) -> Result<Process, ExitCode> {
        match role().as_deref() {
            Some(role) if role == WORKER => Err(crate::fetch::serve_with(fetchers)),
            // The release before this one had its supervisor inside.
            Some(role) if role == replace::CHECK => Err(ExitCode::from(Exit::Usage.number())),
            _ => Ok(Process::this()),
        }
    }

    pub(crate) fn this() -> Process {
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_default();
        Process { program: find(&name), arguments: words.collect() }
    }

    /// The same, at this path, whatever it was called by.
    pub(super) fn at(&self, program: &Path) -> Process {
        Process { program: Ok(program.to_owned()), arguments: self.arguments.clone() }
    }

    /// The program's path.
    ///
    /// Fails with `start.program` if what it was called by does not lead to it, as after `exec -a`.
    pub fn program(&self) -> Result<&Path, Reported> {
        self.program.as_deref().map_err(Clone::clone)
    }

    /// Its arguments, without its name.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }
}

/// The role that a supervisor gave this process.
pub(super) fn role() -> Option<OsString> {
    std::env::var_os("FETCHD_ROLE")
}

/// The role of a worker.
pub(super) const WORKER: &str = "worker";

fn find(name: &OsStr) -> Result<PathBuf, Reported> {
    let wrong = |what: String| Reported {
        code: "start.program".to_owned(),
        exit: Exit::Usage,
        message: format!("this program was called `{}`, {what}", name.display()),
        hint: Some("start it by its path, or set `program`".to_owned()),
    };
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let own = id(Path::new("/proc/self/exe")).ok_or_else(|| wrong("and /proc is not mounted".to_owned()))?;
    let found = if name.as_bytes().contains(&b'/') {
        std::path::absolute(name).ok()
    } else {
        // As the shell found it.
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| id(path) == Some(own))
    };
    match found.filter(|path| id(path) == Some(own)) {
        Some(path) => std::path::absolute(path).map_err(|e| wrong(format!("and the working directory is lost: {e}"))),
        None => Err(wrong("which does not lead to it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_no_path_of_this_program() {
        for name in ["/bin/sh", "sh", "/nowhere/at/all", ""] {
            assert_eq!(find(OsStr::new(name)).unwrap_err().code, "start.program", "{name}");
        }
    }

    #[test]
    fn a_symlink_to_the_program_is_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("current");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &link).unwrap();
        assert_eq!(find(link.as_os_str()).unwrap(), link);
    }
}
