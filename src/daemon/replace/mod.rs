//! fetchd replaces itself: another program in the same process, with the same children and sockets.
//!
//! The steps, each with a deadline, while the loop goes on:
//!
//! 1. wait until nothing is being started or watched;
//! 2. ask what lies at fetchd's path whether it could go on from the present state (`check.rs`);
//! 3. let the agent come to rest, which interrupts a poll or a download and nothing else;
//! 4. write the state to a memory file (`state.rs`) and `execve`; the new program resumes (`resume.rs`).
//!
//! Up to the `execve` a failure changes nothing. After it, a program that finds that it cannot go on executes the old
//! one, which is passed along as an open file, with the same state. One that is killed before it can do so takes the
//! supervisor with it: its services drain, as after any death of their supervisor.

mod check;
mod error;
mod next;
mod release;
mod reload;
mod resume;
mod state;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use check::Check;
pub use error::ReplaceError;
pub use next::Becomes;
use next::Next;
pub use resume::check;
pub(super) use resume::resume;
pub(super) use state::Service;
use state::{SCHEMA, State, Updates};

use super::Daemon;
use crate::agent::{Agent, Answer, Counts, Message};
use crate::clock::Steady;
use crate::config::Config;
use crate::control;
use crate::failure::{Exit, Reported};
use crate::spawn::{Keep, Successor};

/// A replacement that has been asked for.
#[derive(Debug)]
pub(super) struct Replacement {
    why: Why,
    next: Option<Next>,
    asked: Instant,
    deadline: Instant,
    step: Step,
}

/// Why there is one.
#[derive(Debug)]
enum Why {
    /// Somebody asked, and waits for the answer.
    Asked(UnixStream),
    /// Another release serves, of the program that has this supervisor inside.
    Release,
    /// A signal asked for the configuration, and the program stays the one that runs.
    Configuration,
}

#[derive(Debug)]
enum Step {
    /// Until nothing is being started or watched.
    Resting,
    /// Until the new program has answered.
    Checking(Check),
    /// Until the agent has come to rest, and then, but not for long, until nobody waits for an answer.
    Settling { quiet_by: Option<Instant>, hook_runs: bool },
}

impl Replacement {
    /// Readable when there is something to do.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.step {
            Step::Checking(check) => Some(check.pidfd()),
            _ => None,
        }
    }

    /// When there is something to do at the latest.
    pub(super) fn next(&self) -> Instant {
        match &self.step {
            Step::Checking(check) => check.deadline(),
            Step::Settling { hook_runs: true, .. } => Instant::now() + 10 * GLANCE,
            Step::Settling { quiet_by: Some(_), .. } => Instant::now() + GLANCE,
            _ => self.deadline,
        }
    }
}

impl Why {
    /// One word for it, which the next program understands.
    fn word(&self) -> &'static str {
        match self {
            Why::Asked(_) => "asked",
            Why::Release => RELEASE,
            Why::Configuration => "configuration",
        }
    }
}

/// See [`Why::Release`].
const RELEASE: &str = "release";

impl Daemon {
    /// Somebody wants this process to become what lies at fetchd's path.
    pub(super) fn replace(&mut self, asker: UnixStream) {
        let refused = if self.itself.is_none() {
            Some(ReplaceError::Unsupported)
        } else {
            let why = "another replacement is going on".to_owned();
            self.replacement.as_ref().map(|_| ReplaceError::Busy { why, waited: Duration::ZERO })
        };
        match refused {
            Some(refused) => tell(&asker, &Reported::of(&refused)),
            None => self.begin_replacement(Why::Asked(asker)),
        }
    }

    fn begin_replacement(&mut self, why: Why) {
        let asked = Instant::now();
        let deadline = asked + self.settles_within;
        self.replacement = Some(Replacement { why, next: None, asked, deadline, step: Step::Resting });
    }

    /// Takes the step that is due, if one is.
    pub(super) fn move_replacement(&mut self) {
        let Some(mut replacement) = self.replacement.take() else {
            // It was called to rest, and is not needed any more.
            if let Some(agent) = self.agent.take_back() {
                self.agent.start(agent);
            }
            return;
        };
        let failure = loop {
            match self.step(&mut replacement) {
                Ok(true) => {}
                Ok(false) => {
                    self.replacement = Some(replacement);
                    return;
                }
                Err(failure) => break failure,
            }
        };
        if let Step::Checking(check) = &mut replacement.step {
            check.kill();
        }
        if let Some(agent) = self.agent.take_back() {
            self.agent.start(agent);
        }
        self.not_replaced(&replacement, &Reported::of(&failure));
    }

    /// One step. `true`: the next may be due at once.
    fn step(&mut self, replacement: &mut Replacement) -> Result<bool, ReplaceError> {
        let now = Instant::now();
        if self.supervisor.is_stopping() {
            return Err(ReplaceError::Stopping);
        }
        let late = |why: &str| match now < replacement.deadline {
            true => Ok(false),
            false => Err(ReplaceError::Busy { why: why.to_owned(), waited: now - replacement.asked }),
        };
        match &mut replacement.step {
            Step::Resting => {
                if let Some(why) = self.supervisor.unrest() {
                    return late(why);
                }
                let next = self.next_program(&replacement.why)?;
                let state = self.state(&mut Keep::default(), replacement, 0, None)?;
                replacement.step = Step::Checking(Check::start(&next, &state)?);
                replacement.next = Some(next);
                Ok(false)
            }
            Step::Checking(check) => {
                let Some(answer) = check.answer(now) else { return Ok(false) };
                answer?;
                self.post.send(Message::Rest);
                replacement.step = Step::Settling { quiet_by: None, hook_runs: false };
                Ok(true)
            }
            Step::Settling { quiet_by, hook_runs } => {
                let Some(mut agent) = self.agent.take_back() else { return late(&self.agent_does()) };
                if agent.line.as_ref().is_some_and(|line| line.unfinished.is_some()) {
                    self.agent.start(agent);
                    return Err(ReplaceError::Unfinished);
                }
                // What it has said last may not have been heard: nobody would hear it any more.
                while let Ok(command) = self.orders.try_recv() {
                    self.supervisor.command(command);
                }
                let other = replacement.next.as_ref().is_none_or(|next| self.serves_other_than(next));
                if self.supervisor.unrest().is_some() || !agent.inbox.is_empty() || other {
                    // Something came in between: first that, then from the beginning.
                    self.agent.start(agent);
                    replacement.step = Step::Resting;
                    return late("something else is always first");
                }
                if let Some(hooks) = agent.line.as_ref().map(|line| &line.hooks) {
                    // Nobody would reap one that runs any more, nor kill it when it is late. Nor does one of them keep fetchd
                    // from being replaced.
                    *hook_runs = !hooks.are_idle();
                    hooks.break_off(*hook_runs && now >= replacement.deadline);
                    if *hook_runs {
                        let over = now >= replacement.deadline + HOOK_ENDS;
                        if over {
                            hooks.break_off(false);
                        }
                        self.agent.keep(agent);
                        return if over { late("a hook cannot be ended") } else { Ok(false) };
                    }
                }
                let quiet_by = *quiet_by.get_or_insert(now + ANSWERED_WITHIN);
                if now < quiet_by && self.control.as_ref().is_some_and(|control| !control.is_quiet()) {
                    self.agent.keep(agent);
                    return Ok(false);
                }
                let failure = self.become_successor(replacement, &agent);
                self.agent.start(agent);
                Err(failure)
            }
        }
    }

    fn agent_does(&self) -> String {
        format!("the agent is {}", self.backend.shown.read().doing)
    }

    /// The `execve`. Returns only if it failed.
    fn become_successor(&mut self, replacement: &Replacement, agent: &Agent) -> ReplaceError {
        let (Some(itself), Some(next)) = (&self.itself, &replacement.next) else { return ReplaceError::Unsupported };
        if let Err(failure) = Daemon::is_confirmed(next, agent) {
            return failure;
        }
        tracing::info!(event = "supervisor.replacing", program = %next.path().display(), "fetchd replaces itself");
        let failure = {
            let Some(_quiet) = self.supervisor.quiet() else { return ReplaceError::Unread };
            if !(itself.flush_log)() {
                return ReplaceError::Unread;
            }
            match self.execute(next, replacement, agent) {
                Ok(never) => match never {},
                Err(failure) => failure,
            }
        };
        self.supervisor.reloaded("fetchd was not replaced");
        failure
    }

    fn execute(
        &self,
        next: &Next,
        replacement: &Replacement,
        agent: &Agent,
    ) -> Result<std::convert::Infallible, ReplaceError> {
        let handed_over = |source: io::Error| ReplaceError::State { source };
        // Also when another file has taken its place, or none has.
        let image = File::open("/proc/self/exe").map_err(handed_over)?;
        let mut keep = Keep::default();
        let number = keep.add(image.as_fd());
        let program = next.kept(&mut keep)?;
        let state = self.state(&mut keep, replacement, number, Some(agent))?;
        let memory = state.write()?;
        let at = keep.add(memory.as_fd());
        let argv = std::env::args_os().collect();
        let env = environment(RESUME, at, replacement.why.word(), &self.ledger.read());
        self.supervisor.reloading("fetchd replaces itself");
        let source = Successor { program, argv, env, keep }.take_over();
        Err(ReplaceError::Exec { program: next.path().to_owned(), source })
    }

    /// What goes on. Without the agent it is only good for looking at.
    fn state<'a>(
        &'a self,
        keep: &mut Keep<'a>,
        replacement: &'a Replacement,
        image: RawFd,
        agent: Option<&'a Agent>,
    ) -> Result<State, ReplaceError> {
        let line = agent.and_then(|agent| agent.line.as_ref());
        let running = line.and_then(|line| line.running.as_ref());
        let shown = self.backend.shown.read();
        let lock = line.map(|line| line.store.lock()).or_else(|| self.store.as_ref().map(|store| store.lock()));
        let supervisor = self.supervisor.carry(keep).ok_or_else(|| ReplaceError::Busy {
            why: "a generation is being started".to_owned(),
            waited: Duration::ZERO,
        })?;
        let mut state = State {
            schema: SCHEMA,
            fetchd: env!("CARGO_PKG_VERSION").to_owned(),
            program: self.program.clone(),
            image,
            descriptors: Vec::new(),
            service: self.service_of.clone(),
            configuration: self.text.clone(),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            began: Steady::of(self.began),
            asked: Steady::of(replacement.asked),
            asker: match &replacement.why {
                Why::Asked(asker) => Some(keep.add(asker.as_fd())),
                Why::Release | Why::Configuration => None,
            },
            control: self.control.as_ref().map(|control| keep.add(control.as_fd())),
            lock: lock.map(|lock| keep.add(lock)),
            supervisor,
            updates: Updates {
                sha256: running.map(|running| running.sha256),
                version: running.and_then(|running| running.version.clone()),
                next_poll: shown.next_poll,
                last: shown.last,
            },
        };
        state.descriptors = keep.numbers();
        Ok(state)
    }
}

/// Tells whoever asked that fetchd was not replaced.
fn tell(asker: &UnixStream, report: &Reported) {
    control::answer(
        asker,
        Answer {
            exit: report.exit,
            outcome: "failed".to_owned(),
            message: report.message.clone(),
            version: None,
            error: Some(report.clone()),
        },
    );
}

/// Tells whoever asked that this fetchd has taken over.
fn tell_done(asker: &UnixStream, message: String) {
    let version = Some(env!("CARGO_PKG_VERSION").to_owned());
    control::answer(asker, Answer { exit: Exit::Done, outcome: "replaced".to_owned(), message, version, error: None });
}

/// Which service a configuration is of, and what must not change while it runs.
pub(super) fn service_of(config: &Config) -> Service {
    Service {
        product: config.place.product.clone(),
        state_dir: config.place.state_dir.clone(),
        program: config.program.path.clone(),
        restart: format!("{:?}", config.serve.restart).to_lowercase(),
        layout: format!("{:?}", config.install.layout).to_lowercase(),
    }
}

/// Where fetchd lies, as it was called: a symlink that leads to another version tomorrow is followed tomorrow. Where that
/// is not to be found out, the file that runs.
pub(super) fn own_path() -> io::Result<PathBuf> {
    let running = std::fs::metadata("/proc/self/exe")?;
    let is_it = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (running.dev(), running.ino()))
    };
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if called.components().count() > 1 {
        std::path::absolute(&called).ok().filter(|path| is_it(path))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|directory| directory.join(&called)).find(|path| is_it(path));
        found.and_then(|path| std::path::absolute(path).ok())
    };
    found.map_or_else(std::env::current_exe, Ok)
}

/// The environment of the next program, in `role`, with the state at descriptor `state`, `why`, and what was counted.
fn environment(role: &str, state: RawFd, why: &str, counts: &Counts) -> Vec<(OsString, OsString)> {
    let ours =
        |name: &OsString| [ROLE, STATE_FD, RESUME_FAILED, RESUME_WHY, RESUME_COUNTS].iter().any(|own| name == own);
    let mut env: Vec<_> = std::env::vars_os().filter(|(name, _)| !ours(name)).collect();
    env.push((ROLE.into(), role.into()));
    env.push((STATE_FD.into(), state.to_string().into()));
    env.push((RESUME_WHY.into(), why.into()));
    if *counts != Counts::default() {
        env.push((RESUME_COUNTS.into(), serde_json::to_string(counts).unwrap_or_default().into()));
    }
    env
}

/// What the program before this one has counted. It is for people: what cannot be read begins again at 0.
fn counts_of_before() -> Counts {
    let counts = std::env::var(RESUME_COUNTS).ok();
    counts.and_then(|counts| serde_json::from_str(&counts).ok()).unwrap_or_default()
}

const ROLE: &str = "FETCHD_ROLE";
const STATE_FD: &str = "FETCHD_STATE_FD";
/// Set for the old program, when the new one has given up: a [`Reported`] as JSON.
const RESUME_FAILED: &str = "FETCHD_RESUME_FAILED";

/// Says why, beside the state: whether the next program or the old one again has to speak of a release or of the
/// configuration.
const RESUME_WHY: &str = "FETCHD_RESUME_WHY";

/// What the program before this one has counted, as JSON; beside the state, which is of one layout alone.
const RESUME_COUNTS: &str = "FETCHD_RESUME_COUNTS";

/// The role in which `fetchd run` says whether it could go on.
pub const CHECK: &str = "supervisor-check";
/// The role in which it goes on.
pub const RESUME: &str = "supervisor-resume";
/// What one that could go on prints: an exit code alone would be found in many programs.
const WORD: &str = "fetchd supervisor-check: yes, schema 1";

/// How long those who asked something may keep a replacement up once everything else is at rest.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// How long hooks may take to end that are broken off.
const HOOK_ENDS: Duration = Duration::from_secs(5);

/// Between two looks whether they have their answers.
const GLANCE: Duration = Duration::from_millis(2);
