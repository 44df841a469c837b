//! A program of the operator's that is run to its end, or until it is late.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;
use rustix::process::Signal;

use super::{Child, Exited, Spawn};

/// What is run, and what it is told.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// The absolute path of the program.
    pub program: &'a Path,
    /// Its arguments after the zeroth.
    pub args: &'a [OsString],
    /// Variables beside those that it inherits, without those of fetchd's own supervisor and fetchd's own.
    pub variables: &'a [(&'a str, OsString)],
    /// What it reads from standard input, to its end; empty = `/dev/null`.
    pub input: &'a [u8],
    /// What becomes of what it prints.
    pub words: Words,
    /// Whether it is killed should fetchd die: nobody would look at its deadline any more.
    pub dies_with_us: bool,
}

/// What becomes of the words that a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// They are kept, both streams together, to the first 64 KiB.
    Kept,
    /// They go to fetchd's own stderr. A server that a program starts inherits no pipe that ends with it.
    Passed,
}

/// How an errand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The program ended by itself, or by somebody else's signal.
    Exited(Exited),
    /// Its time was over, and it was killed with its process group.
    Late,
    /// It was to be broken off, and was killed with its process group.
    BrokenOff,
}

/// Why there was none.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The program could not be started.
    #[error("`{program}` could not be started: {why}")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        why: String,
    },
    /// It was started, and how it ended is not known.
    #[error("how `{program}` ended is not known: {why}")]
    Unknown {
        /// Its path.
        program: String,
        /// Why.
        why: io::Error,
    },
}

impl Errand<'_> {
    /// Runs the program: how it ended, and what it printed if that was kept. `until` is its deadline; it is broken off as
    /// soon as `break_off` says so, which is asked twenty times a second.
    ///
    /// It leads a session of its own. What it has started in other process groups is left alone.
    pub fn run(&self, until: Instant, break_off: &mut dyn FnMut() -> bool) -> Result<(End, String), ErrandError> {
        let shown = || self.program.display().to_string();
        let (mut child, mut reader) =
            self.start().map_err(|why| ErrandError::Start { program: shown(), why: crate::failure::chain(&*why) })?;
        let mut printed = Vec::new();
        loop {
            // A wait that fails is over: the reaping below says what became of it.
            let ended = child.ended_by((Instant::now() + GLANCE).min(until)).unwrap_or(true);
            if let Some(reader) = &mut reader {
                read_some(reader, &mut printed);
            }
            let end = if ended {
                let exited = child.wait().map_err(|why| ErrandError::Unknown { program: shown(), why })?;
                End::Exited(exited)
            } else if Instant::now() >= until {
                End::Late
            } else if break_off() {
                End::BrokenOff
            } else {
                continue;
            };
            if !ended {
                end_now(&mut child);
            }
            return Ok((end, String::from_utf8_lossy(&printed).trim().to_owned()));
        }
    }

    fn start(&self) -> Result<(Child, Option<File>), Box<dyn std::error::Error + Send + Sync>> {
        let mut spawn = Spawn::new(self.program, self.args.iter().cloned());
        spawn.env = std::env::vars_os().filter(|(name, _)| !is_ours(&name.to_string_lossy())).collect();
        spawn.env.extend(self.variables.iter().map(|(name, value)| ((*name).into(), value.clone())));
        spawn.session = true;
        spawn.death_signal = self.dies_with_us.then_some(Signal::KILL);
        let (reader, writer) = match self.words {
            Words::Kept => {
                let (reader, writer) = io::pipe()?;
                rustix::io::ioctl_fionbio(&reader, true)?;
                (Some(File::from(OwnedFd::from(reader))), OwnedFd::from(writer))
            }
            Words::Passed => (None, io::stderr().as_fd().try_clone_to_owned()?),
        };
        spawn.fds = vec![(writer.try_clone()?, 1), (writer, 2)];
        if !self.input.is_empty() {
            // Not a pipe: nobody waits for a program that does not read.
            let mut input = File::from(rustix::fs::memfd_create(c"input", MemfdFlags::CLOEXEC)?);
            input.write_all(self.input)?;
            input.rewind()?;
            spawn.fds.push((input.into(), 0));
        }
        Ok((spawn.spawn()?, reader))
    }
}

/// Kills a program with its group.
fn end_now(child: &mut Child) {
    let _ = child.kill_group(Signal::KILL);
    // One that the kernel holds is left to it.
    if child.ended_by(Instant::now() + KILLED).unwrap_or(true) {
        let _ = child.wait();
    }
}

/// What is there to read, up to the limit; the rest is read and forgotten.
fn read_some(reader: &mut File, printed: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    // One that never stops printing is looked at again, and has a deadline.
    for _ in 0..AT_ONCE {
        let Ok(count @ 1..) = reader.read(&mut buffer) else { return };
        let room = MOST_PRINTED.saturating_sub(printed.len());
        printed.extend(&buffer[..count.min(room)]);
    }
}

/// What concerns fetchd and its own supervisor, and would mislead a server that a program starts.
fn is_ours(name: &str) -> bool {
    let own =
        ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    name.starts_with("FETCHD_") || own.contains(&name)
}

/// How long the words of a program that still runs may wait in its pipe.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a killed program may take to be gone.
const KILLED: Duration = Duration::from_secs(2);

const MOST_PRINTED: usize = 64 * 1024;

/// How often a pipe is read between two looks at the clock: 4 MiB.
const AT_ONCE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &str, within: Duration, break_off: bool) -> (End, String, Duration) {
        let args = ["-c".into(), script.into()];
        let variables = [("FETCHD_HOOK", OsString::from("told"))];
        let program = Path::new("/bin/sh");
        let errand = Errand {
            program,
            args: &args,
            variables: &variables,
            input: input.as_bytes(),
            words: Words::Kept,
            dies_with_us: false,
        };
        let begun = Instant::now();
        let (end, said) = errand.run(begun + within, &mut || break_off).unwrap();
        (end, said, begun.elapsed())
    }

    const LONG: Duration = Duration::from_secs(60);
    const DONE: End = End::Exited(Exited::Code(0));

    #[test]
    fn it_reads_what_it_is_told_to_the_end_and_what_it_prints_is_kept() {
        let (end, said, _) = sh("cat; echo; echo \"$FETCHD_HOOK\" >&2", "one two", LONG, false);
        assert_eq!((end, said.as_str()), (DONE, "one two\ntold"));
        // More than any pipe holds, to a program that reads none of it.
        let much = "x".repeat(1 << 20);
        assert_eq!(sh("exit 3", &much, LONG, false).0, End::Exited(Exited::Code(3)));
        assert_eq!(sh("wc -c", &much, LONG, false).1, (1 << 20).to_string());
        assert_eq!(sh("cat", "", LONG, false).1, "", "nothing to read is an end, not a wait");
    }

    #[test]
    fn one_that_is_late_is_killed_with_what_it_started_and_so_is_one_that_is_broken_off() {
        for (break_off, expected) in [(false, End::Late), (true, End::BrokenOff)] {
            let within = if break_off { LONG } else { Duration::from_millis(300) };
            let (end, said, took) = sh("sleep 600 & echo $!; wait", "", within, break_off);
            assert_eq!(end, expected);
            assert!(took < LONG / 2, "{took:?}");
            // Its words may not have been read before it was broken off.
            if let Ok(pid) = said.parse::<i32>() {
                let gone = || !Path::new(&format!("/proc/{pid}")).exists() || is_dead(pid);
                let until = Instant::now() + LONG;
                while !gone() {
                    assert!(Instant::now() < until, "{pid} still runs");
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    fn is_dead(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['Z', 'X']))
    }

    #[test]
    fn one_that_never_stops_printing_is_bounded_and_late() {
        let (end, said, took) = sh("while :; do echo yes; done", "", Duration::from_millis(500), false);
        assert_eq!(end, End::Late);
        assert!(said.len() <= MOST_PRINTED && said.starts_with("yes"), "{}", said.len());
        assert!(took < LONG / 2, "{took:?}");
    }

    #[test]
    fn what_is_no_program_is_said() {
        let program = Path::new("/nonexistent/hook");
        let errand = Errand { program, args: &[], variables: &[], input: b"", words: Words::Kept, dies_with_us: true };
        let said = errand.run(Instant::now() + LONG, &mut || false).unwrap_err().to_string();
        assert!(said.starts_with("`/nonexistent/hook` could not be started: "), "{said}");
    }
}
