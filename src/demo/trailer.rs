//! Lines behind the end of an executable: what makes one copy a different release.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What the demo service is told by its own file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trailer {
    /// `VERSION=`: what `--version` and `/` say; 1.0.0 without a trailer.
    pub version: String,
    /// `FAULT=`: what it does wrong.
    pub fault: Option<Fault>,
    /// `BOOT_MS=`: how long it prepares before it is ready.
    pub boot: Duration,
}

impl Default for Trailer {
    fn default() -> Trailer {
        Trailer { version: "1.0.0".to_owned(), fault: None, boot: Duration::ZERO }
    }
}

impl Trailer {
    /// A release called `version` that does nothing wrong.
    pub fn version(version: &str) -> Trailer {
        Trailer { version: version.to_owned(), ..Trailer::default() }
    }

    /// The same with `fault`.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Trailer {
        Trailer { fault: Some(fault), ..self }
    }

    /// The same with `boot` of preparation before ready.
    #[must_use]
    pub fn with_boot(self, boot: Duration) -> Trailer {
        Trailer { boot, ..self }
    }

    /// The lines as they stand in a file.
    pub fn text(&self) -> String {
        let mut text = format!("{MAGIC}VERSION={}\n", self.version);
        // A writer into a String cannot fail.
        if let Some(fault) = self.fault {
            let _ = writeln!(text, "FAULT={}", fault.name());
        }
        if !self.boot.is_zero() {
            let _ = writeln!(text, "BOOT_MS={}", self.boot.as_millis());
        }
        text
    }

    /// Reads the lines at the end of `bytes`; the default without any.
    ///
    /// # Errors
    ///
    /// A line that is none of the known ones.
    pub fn parse(bytes: &[u8]) -> io::Result<Trailer> {
        let mut trailer = Trailer::default();
        let Some(start) = bytes.windows(MAGIC.len()).rposition(|window| window == MAGIC.as_bytes()) else {
            return Ok(trailer);
        };
        let text =
            std::str::from_utf8(&bytes[start + MAGIC.len()..]).map_err(|_| malformed("bytes that are no text"))?;
        for line in text.lines() {
            match line.split_once('=') {
                Some(("VERSION", version)) => trailer.version = version.to_owned(),
                Some(("FAULT", "")) => {}
                Some(("FAULT", name)) => trailer.fault = Some(name.parse().map_err(|()| malformed(line))?),
                Some(("BOOT_MS", ms)) => {
                    trailer.boot = Duration::from_millis(ms.parse().map_err(|_| malformed(line))?);
                }
                _ => return Err(malformed(line)),
            }
        }
        Ok(trailer)
    }
}

/// Begins the lines. A newline comes first so that it stands at the start of a line in any file.
const MAGIC: &str = "\n#fetchd-demo-trailer\n";

/// No trailer is longer.
const LONGEST: u64 = 4096;

/// Reads the trailer of the executable that this process runs.
///
/// # Errors
///
/// The file cannot be read, or a line is unknown.
pub fn own() -> io::Result<Trailer> {
    let mut file = File::open("/proc/self/exe")?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut end = Vec::new();
    file.take(LONGEST).read_to_end(&mut end)?;
    Trailer::parse(&end)
}

/// Copies the executable `from` to a new file `to` with `trailer` behind it, mode 0755.
///
/// The last trailer counts, so `from` may have one already.
///
/// # Errors
///
/// `to` exists, or what the file system said.
pub fn append(from: &Path, to: &Path, trailer: &Trailer) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o755).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.write_all(trailer.text().as_bytes())?;
    // The umask may have taken bits away.
    copy.set_permissions(std::fs::Permissions::from_mode(0o755))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed demo trailer: `{what}`"))
}

/// What a release of the demo does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Exits with 3 before it is ready.
    ExitBeforeReady,
    /// Exits with 0 before it is ready.
    ExitZeroBeforeReady,
    /// Runs and is never ready.
    NeverReady,
    /// Exits with 9, 300 ms after ready.
    CrashAfterReady,
    /// Says that it is ready, accepts nobody, and exits with 9 a moment later.
    CrashAtReady,
    /// Exits with 9 on a request to `/crash`.
    CrashLater,
    /// Exits with 9, 1 s after ready, each time it is started.
    CrashLoop,
    /// `--version` prints another version.
    VersionWrong,
    /// `--version` does not end.
    VersionHang,
    /// `--version` prints without end.
    VersionFlood,
    /// `--version` leaves a child that holds its output.
    VersionFork,
    /// `--version` exits with 1.
    VersionExit1,
    /// Ignores every request to leave.
    NeverDrain,
    /// Serves and never says that it is ready.
    NoNotify,
    /// Says that it cannot take over.
    Reject,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 15] = [
        Fault::ExitBeforeReady,
        Fault::ExitZeroBeforeReady,
        Fault::NeverReady,
        Fault::CrashAfterReady,
        Fault::CrashAtReady,
        Fault::CrashLater,
        Fault::CrashLoop,
        Fault::VersionWrong,
        Fault::VersionHang,
        Fault::VersionFlood,
        Fault::VersionFork,
        Fault::VersionExit1,
        Fault::NeverDrain,
        Fault::NoNotify,
        Fault::Reject,
    ];

    /// Its name in a trailer.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::ExitBeforeReady => "exit-before-ready",
            Fault::ExitZeroBeforeReady => "exit-zero-before-ready",
            Fault::NeverReady => "never-ready",
            Fault::CrashAfterReady => "crash-after-ready",
            Fault::CrashAtReady => "crash-at-ready",
            Fault::CrashLater => "crash-later",
            Fault::CrashLoop => "crash-loop",
            Fault::VersionWrong => "version-wrong",
            Fault::VersionHang => "version-hang",
            Fault::VersionFlood => "version-flood",
            Fault::VersionFork => "version-fork",
            Fault::VersionExit1 => "version-exit-1",
            Fault::NeverDrain => "never-drain",
            Fault::NoNotify => "no-notify",
            Fault::Reject => "reject",
        }
    }
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(name: &str) -> Result<Fault, ()> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trailer_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, first, second) = (dir.path().join("plain"), dir.path().join("first"), dir.path().join("second"));
        std::fs::write(&plain, b"\x7fELF and so on").unwrap();
        let later = Trailer::version("3.0.0").with_fault(Fault::Reject).with_boot(Duration::from_millis(500));
        append(&plain, &first, &Trailer::version("2.0.0")).unwrap();
        append(&first, &second, &later).unwrap();
        let parse = |path: &Path| Trailer::parse(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(parse(&plain), Trailer::default());
        assert_eq!(parse(&first), Trailer::version("2.0.0"));
        assert_eq!(parse(&second), later);
        assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o7777, 0o755);
        assert!(append(&plain, &first, &later).is_err(), "an existing file is not written over");
    }

    #[test]
    fn every_fault_is_read_back_and_a_wrong_line_is_an_error() {
        for fault in Fault::ALL {
            let trailer = Trailer::default().with_fault(fault);
            assert_eq!(Trailer::parse(trailer.text().as_bytes()).unwrap(), trailer);
        }
        assert!(Trailer::parse(b"\n#fetchd-demo-trailer\nFAULT=typo\n").is_err());
    }
}
