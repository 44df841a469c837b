//! The fork: everything is built before it, and the child makes system calls only.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString, c_char, c_int};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, mem, ptr};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Resource, Signal};

use super::{Child, Spawn, SpawnError, SpawnStep, timespec};

/// Everything the child needs, laid out so that it only has to make system calls.
pub(super) struct Image {
    program: CString,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    cwd: Option<CString>,
    /// Each lies above every number in the second place, so that no `dup2` overwrites a source.
    fds: Vec<(OwnedFd, RawFd)>,
    session: bool,
    rlimits: Vec<(Resource, libc::rlimit)>,
    death_signal: c_int,
    parent: Pid,
    /// Where the decimal digits of the child's id go, followed by room for [`DIGITS`] bytes.
    pid_digits: Option<*mut u8>,
    report: OwnedFd,
    reported: Option<OwnedFd>,
    /// Keeps what the pointers above point at.
    _strings: (Vec<CString>, Vec<u8>),
}

impl Image {
    pub(super) fn of(spawn: Spawn) -> Result<Image, SpawnError> {
        let prepare = |source: io::Error| SpawnError::new(SpawnStep::Prepare, source);
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|e| prepare(e.into()));
        let mut strings = Vec::new();
        let mut argv = Vec::new();
        for argument in &spawn.argv {
            strings.push(text(argument.as_bytes())?);
            argv.extend(strings.last().map(|s| s.as_ptr()));
        }
        let mut env = Vec::new();
        let own = spawn.pid_variable.as_deref().unwrap_or_default();
        for (name, value) in spawn.env.iter().filter(|(name, _)| own.is_empty() || name.as_bytes() != own.as_bytes()) {
            strings.push(text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
            env.extend(strings.last().map(|s| s.as_ptr()));
        }
        let mut pid_text = Vec::new();
        let mut pid_digits = None;
        if !own.is_empty() {
            pid_text.extend_from_slice(text(own.as_bytes())?.as_bytes());
            pid_text.push(b'=');
            let start = pid_text.len();
            pid_text.resize(start + DIGITS + 1, 0);
            // One pointer for both uses; the tail is written by the child only.
            let begin = pid_text.as_mut_ptr();
            env.push(begin.cast_const().cast());
            pid_digits = Some(begin.wrapping_add(start));
        }
        argv.push(ptr::null());
        env.push(ptr::null());

        let above = spawn.fds.iter().map(|(_, number)| *number).fold(2, RawFd::max) + 1;
        let lift =
            |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, above).map_err(|errno| prepare(errno.into()));
        let mut fds = Vec::new();
        for (fd, number) in &spawn.fds {
            fds.push((lift(fd.as_fd())?, *number));
        }
        for number in 0..=2 {
            if !fds.iter().any(|(_, taken)| *taken == number) {
                let null = std::fs::File::options().read(true).write(true).open("/dev/null").map_err(prepare)?;
                fds.push((lift(null.as_fd())?, number));
            }
        }
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (reported, report) = pipe.map_err(|errno| prepare(errno.into()))?;
        let rlimits = spawn.rlimits.iter().map(|(resource, wanted)| {
            let hard = rustix::process::getrlimit(*resource).maximum.unwrap_or(libc::RLIM_INFINITY);
            let limit = hard.min(*wanted);
            (*resource, libc::rlimit { rlim_cur: limit, rlim_max: limit })
        });
        Ok(Image {
            program: text(spawn.program.as_os_str().as_bytes())?,
            cwd: spawn.cwd.as_ref().map(|cwd| text(cwd.as_os_str().as_bytes())).transpose()?,
            rlimits: rlimits.collect(),
            session: spawn.session,
            death_signal: spawn.death_signal.map_or(0, Signal::as_raw),
            parent: rustix::process::getpid(),
            report: lift(report.as_fd())?,
            reported: Some(reported),
            argv,
            env,
            fds,
            pid_digits,
            _strings: (strings, pid_text),
        })
    }

    /// Forks with every signal blocked, so that no handler of this process runs in the child.
    pub(super) fn fork(&mut self) -> Result<Pid, SpawnError> {
        // SAFETY: both sets are plain data that the calls fill in; the mask is put back below on
        // every path of the parent, and the child never returns.
        let (pid, error) = unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            let mut before: libc::sigset_t = mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let pid = libc::fork();
            if pid == 0 {
                self.become_program();
            }
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            (pid, error)
        };
        Pid::from_raw(pid.max(0)).ok_or_else(|| SpawnError::new(SpawnStep::Fork, error))
    }

    /// The child's side of the fork. Never returns.
    ///
    /// # Safety
    ///
    /// Only in a child that was just forked. Nothing here allocates, locks or panics: another
    /// thread of the parent may have held any lock when the process was copied.
    unsafe fn become_program(&self) -> ! {
        // SAFETY: every call is async-signal-safe and gets pointers into memory that `self` keeps
        // alive and that ends with the NUL or null pointer the call asks for. Descriptors are
        // owned by this process alone after the fork.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            for signal in 1..=64 {
                // SIGKILL, SIGSTOP and the C library's own refuse, as they should.
                libc::sigaction(signal, &action, ptr::null_mut());
            }
            let mut none: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut());

            if self.session && libc::setsid() < 0 {
                self.give_up(SpawnStep::Session);
            }
            if self.death_signal != 0 {
                if libc::prctl(libc::PR_SET_PDEATHSIG, self.death_signal as libc::c_ulong, 0, 0, 0) < 0 {
                    self.give_up(SpawnStep::DeathSignal);
                }
                // The parent may have ended before the signal was asked for.
                if libc::getppid() != self.parent.as_raw_nonzero().get() {
                    libc::_exit(127);
                }
            }
            if let Some(cwd) = &self.cwd
                && libc::chdir(cwd.as_ptr()) < 0
            {
                self.give_up(SpawnStep::WorkingDirectory);
            }
            close_on_exec_from(3);
            for (fd, number) in &self.fds {
                // The copy is not close-on-exec.
                if libc::dup2(fd.as_raw_fd(), *number) < 0 {
                    self.give_up(SpawnStep::Descriptors);
                }
            }
            for (resource, limit) in &self.rlimits {
                if libc::setrlimit(*resource as u32 as libc::__rlimit_resource_t, limit) < 0 {
                    self.give_up(SpawnStep::Limit);
                }
            }
            if let Some(digits) = self.pid_digits {
                write_decimal(digits, libc::getpid());
            }
            libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            self.give_up(SpawnStep::Exec)
        }
    }

    /// Reports the step and `errno` to the parent, and ends the child.
    ///
    /// # Safety
    ///
    /// As for [`Image::become_program`].
    unsafe fn give_up(&self, step: SpawnStep) -> ! {
        // SAFETY: `errno` is thread-local plain data; `message` outlives the write; `_exit` runs
        // no destructors.
        unsafe {
            let errno = *libc::__errno_location();
            let message = [step as i32, errno];
            libc::write(self.report.as_raw_fd(), message.as_ptr().cast(), mem::size_of_val(&message));
            libc::_exit(127)
        }
    }

    /// Waits until the child has become the program or has said why not.
    pub(super) fn outcome(mut self, child: &Child) -> Result<(), SpawnError> {
        let Some(reported) = self.reported.take() else { return Ok(()) };
        // Drops this process's copy of the writing end: the last one closes when the program starts.
        drop(self);
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let mut fds = [PollFd::new(&reported, PollFlags::IN), PollFd::new(&child.pidfd, PollFlags::IN)];
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) if left.is_zero() => {
                    return Err(SpawnError::new(SpawnStep::Exec, rustix::io::Errno::TIMEDOUT));
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // The end alone, without a report: it became the program, or was killed on the way. Both look like a
                // process that ended.
                Ok(_) if fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => break,
                Err(errno) => return Err(SpawnError::new(SpawnStep::Watch, errno)),
            }
        }
        let mut message = [0; 8];
        match rustix::io::retry_on_intr(|| rustix::io::read(&reported, &mut message)) {
            Ok(8) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(SpawnError::new(SpawnStep::Watch, errno)),
        }
        let [a, b, c, d, e, f, g, h] = message;
        let step = i32::from_ne_bytes([a, b, c, d]);
        let found = SpawnStep::IN_CHILD.into_iter().find(|known| *known as i32 == step);
        let source = io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
        Err(SpawnError::new(found.unwrap_or(SpawnStep::Exec), source))
    }
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Safety
///
/// As for [`Image::become_program`].
unsafe fn close_on_exec_from(first: c_int) {
    // SAFETY: the calls take numbers only; one that is not open is refused and nothing else.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        // Kernels before 5.11.
        let mut limit: libc::rlimit = mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        for fd in first..limit.rlim_cur.min(1 << 20) as c_int {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// Writes `number`, which is positive, as decimal digits.
///
/// # Safety
///
/// `at` must have room for [`DIGITS`] bytes.
unsafe fn write_decimal(at: *mut u8, number: c_int) {
    let mut length = 1;
    let mut rest = number / 10;
    while rest > 0 {
        rest /= 10;
        length += 1;
    }
    let mut rest = number;
    while length > 0 {
        length -= 1;
        // SAFETY: an i32 has at most ten digits, so `length` is below `DIGITS`.
        unsafe { at.add(length).write(b'0' + (rest % 10) as u8) };
        rest /= 10;
    }
}

/// Makes `program` the program of this process. Returns only with the reason why the kernel would not.
pub(super) fn exec(program: &Path, argv: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
    let made = text(program.as_os_str().as_bytes()).and_then(|program| {
        let argv = argv.iter().map(|argument| text(argument.as_bytes())).collect::<io::Result<Vec<_>>>()?;
        let pair = |(name, value): &(OsString, OsString)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        Ok((program, argv, env.iter().map(pair).collect::<io::Result<Vec<_>>>()?))
    });
    let (program, argv, env) = match made {
        Ok(made) => made,
        Err(error) => return error,
    };
    let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (argv_pointers, env_pointers) = (pointers(&argv), pointers(&env));
    // SAFETY: both arrays end with a null pointer and point into `argv` and `env`, which live until the call returns, if
    // it does. The kernel ends every other thread before anything of this process changes.
    unsafe { libc::execve(program.as_ptr(), argv_pointers.as_ptr(), env_pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the owner of descriptors that arrived over an `execve`, and marks them close-on-exec.
pub(super) fn adopt(numbers: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    let mut seen = Vec::with_capacity(numbers.len());
    for &number in numbers {
        if number <= 2 || seen.contains(&number) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("descriptor {number} cannot be taken over"),
            ));
        }
        // SAFETY: the borrow ends with the call. A number that is not open is refused by the kernel and nothing else.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
        seen.push(number);
    }
    // SAFETY: each is open and named once, and whoever executed this program left it to us: `Held::adopt` is called
    // once, before this process has opened anything under that number.
    Ok(seen.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Blocks `signals` in this thread and in those that it starts, and returns a descriptor that reads them.
pub(super) fn hold(signals: &[Signal]) -> io::Result<OwnedFd> {
    // SAFETY: the set and the action are plain data that the calls fill in or read; the descriptor is new and nobody
    // else's.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, signal.as_raw());
        }
        let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // Whoever started us may have left SIGCHLD ignored: then no child could be waited for.
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in signals {
            libc::sigaction(signal.as_raw(), &action, ptr::null_mut());
        }
        let descriptor = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(descriptor)) }
    }
}

/// Blocks no signal in this thread any more.
pub(super) fn hold_none() {
    // SAFETY: the set is plain data that the calls fill in and read.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

/// Room for the digits of a process id.
const DIGITS: usize = 10;
/// A start takes milliseconds; a working directory or program on a dead network file system takes for ever.
const START_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_digits() {
        for number in [1, 9, 10, 4_194_304, i32::MAX] {
            let mut room = [0; DIGITS];
            // SAFETY: the room is as large as asked for.
            unsafe { write_decimal(room.as_mut_ptr(), number) };
            let text: Vec<u8> = room.into_iter().take_while(|b| *b != 0).collect();
            assert_eq!(text, number.to_string().as_bytes());
        }
    }
}
