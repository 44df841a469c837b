//! Programs of the operator's: one is asked before a release is installed, others are told what became of it.
//!
//! Nobody waits for those that are told. They run one after the other on a thread of their own, which is there while one
//! of them runs, so that no hook holds up a pass, a rollback or the service (tests in `tests/hooks`).

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use semver::Version;
use serde::Serialize;

use crate::digest::Sha256;
use crate::restart::find_program;
use crate::spawn::{End, Errand, Exited, Words};
use crate::state::Event;
use crate::verify::Verified;

/// When a program of the operator's is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A release has passed every check. It is installed if the program ends with 0.
    PreInstall,
    /// A release has taken over and passed its watch.
    PostHandoff,
    /// A release did not take over or did not stay, or somebody went back to the one before.
    OnRollback,
    /// A release is not believed, or is bad. It is not installed.
    OnRefused,
}

impl Hook {
    /// All of them.
    pub const ALL: [Hook; 4] = [Hook::PreInstall, Hook::PostHandoff, Hook::OnRollback, Hook::OnRefused];

    /// The setting: `hooks.pre_install`.
    pub fn key(self) -> &'static str {
        match self {
            Hook::PreInstall => "hooks.pre_install",
            Hook::PostHandoff => "hooks.post_handoff",
            Hook::OnRollback => "hooks.on_rollback",
            Hook::OnRefused => "hooks.on_refused",
        }
    }

    /// Its name without that of the table.
    pub fn word(self) -> &'static str {
        self.key().trim_start_matches("hooks.")
    }

    /// The one that is told of `event`, a line of the history.
    fn of(event: &Event) -> Option<Hook> {
        match event.event.as_str() {
            "release.confirmed" => Some(Hook::PostHandoff),
            // Somebody asked, and has his answer.
            "rollback.failed" if event.code.as_deref() == Some("rollback.nothing") => None,
            "handoff.failed" | "release.rolled_back" | "rollback.failed" => Some(Hook::OnRollback),
            "release.refused" => Some(Hook::OnRefused),
            _ => None,
        }
    }
}

/// What is run when, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooking {
    /// The commands: program and arguments, never for a shell.
    pub commands: BTreeMap<Hook, Vec<OsString>>,
    /// How long each may take; then it is killed with its process group.
    pub deadline: Duration,
    /// The product.
    pub product: String,
    /// The program path.
    pub program: PathBuf,
}

/// The hooks of one service. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Hooks(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    hooking: Hooking,
    queue: Mutex<Queue>,
    /// The queue is empty and nothing runs.
    rests: Condvar,
    /// What runs is broken off, and nothing begins.
    ends: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Hook, Event)>,
    running: bool,
}

/// What a hook reads from standard input, as one JSON object.
#[derive(Serialize)]
struct Told<'a> {
    schema: u32,
    hook: Hook,
    product: &'a str,
    program: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a Event>,
}

/// Why a release is not installed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The hook does not want it: a sentence's end, which begins with the setting.
    Refused(String),
    /// Something else was more urgent than its answer.
    BrokenOff,
}

/// A release that is about to be installed.
#[derive(Serialize)]
struct Candidate<'a> {
    path: &'a Path,
    version: Option<&'a Version>,
    sha256: Sha256,
    size: u64,
}

impl Hooks {
    /// The hooks that `hooking` names; none if it names none.
    pub fn new(hooking: Hooking) -> Hooks {
        let named = !hooking.commands.is_empty();
        Hooks(named.then(|| {
            let (queue, rests, ends) = Default::default();
            Arc::new(Shared { hooking, queue, rests, ends })
        }))
    }

    /// Asks whether `verified` may be installed now. Waits for the program, at most until its deadline or until `urgent`
    /// says that something else is.
    pub(super) fn ask(&self, verified: &Verified, urgent: &mut dyn FnMut() -> bool) -> Result<(), NotNow> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let candidate = Candidate {
            path: verified.path(),
            version: verified.version(),
            sha256: verified.sha256(),
            size: verified.size(),
        };
        let (version, sha256) = (candidate.version.cloned(), Some(candidate.sha256));
        let told = |told| Told { candidate: Some(candidate), ..told };
        shared.run(Hook::PreInstall, (version.as_ref(), sha256, ""), told, urgent)
    }

    /// Has the hook run, soon, that is told of `event`, if there is one.
    pub(super) fn tell(&self, event: &Event) {
        let (Some(shared), Some(hook)) = (&self.0, Hook::of(event)) else { return };
        if !shared.hooking.commands.contains_key(&hook) || shared.ends.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = shared.queue();
        if queue.waiting.len() >= MOST_WAITING {
            tracing::warn!(event = "hook.dropped", hook = hook.word(), about = event.event, "too many hooks wait");
            return;
        }
        queue.waiting.push_back((hook, event.clone()));
        if queue.running {
            return;
        }
        let of_thread = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("hooks".to_owned()).stack_size(STACK);
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| of_thread.work())).is_err() {
                // Else it would seem to run for ever.
                tracing::error!(event = "internal.panic", "fetchd itself failed in a hook");
                of_thread.queue().running = false;
                of_thread.rests.notify_all();
            }
        };
        match thread.spawn(work) {
            Ok(_) => queue.running = true,
            Err(error) => {
                // The next event tries again.
                tracing::warn!(event = "hook.no_thread", %error, "there is no thread for the hooks; they wait");
            }
        }
    }

    /// Whether nothing runs and nothing waits.
    pub fn are_idle(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| !shared.queue().running)
    }

    /// Waits until those that were told have ended. Each has its deadline.
    pub fn settle(&self) {
        let Some(shared) = &self.0 else { return };
        let _ = self.rest_within(shared.hooking.deadline * (MOST_WAITING as u32 + 1) + SLACK);
    }

    /// Whether what runs is to be broken off, and what waits dropped.
    pub fn break_off(&self, now: bool) {
        if let Some(shared) = &self.0 {
            shared.ends.store(now, Ordering::Relaxed);
        }
    }

    /// fetchd is told to end: one that runs may go on for a moment, and then is broken off; none is begun.
    pub fn end(&self) {
        if !self.rest_within(LAST_MOMENT) {
            self.break_off(true);
            let _ = self.rest_within(SLACK);
        }
    }

    /// Whether all was quiet within `long`.
    fn rest_within(&self, long: Duration) -> bool {
        let Some(shared) = &self.0 else { return true };
        let waited = shared.rests.wait_timeout_while(shared.queue(), long, |queue| queue.running);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until nothing waits any more.
    fn work(&self) {
        loop {
            let next = {
                let mut queue = self.queue();
                if self.ends.load(Ordering::Relaxed) {
                    for (hook, event) in queue.waiting.drain(..) {
                        let (hook, about) = (hook.word(), event.event);
                        tracing::warn!(
                            event = "hook.dropped",
                            hook,
                            about,
                            "it was still to be run, and is not any more"
                        );
                    }
                }
                let next = queue.waiting.pop_front();
                if next.is_none() {
                    queue.running = false;
                    self.rests.notify_all();
                }
                next
            };
            let Some((hook, event)) = next else { return };
            let (version, sha256) = (event.version.clone(), event.sha256);
            let told = |told| Told { event: Some(&event), ..told };
            // What went wrong is logged, and nobody waits for it.
            let about = (version.as_ref(), sha256, event.event.as_str());
            let _ = self.run(hook, about, told, &mut || self.ends.load(Ordering::Relaxed));
        }
    }

    /// Runs the command of `hook` to its end. `Err`: it did not end with 0.
    fn run<'a>(
        &'a self,
        hook: Hook,
        (version, sha256, event): (Option<&Version>, Option<Sha256>, &str),
        told: impl FnOnce(Told<'a>) -> Told<'a>,
        break_off: &mut dyn FnMut() -> bool,
    ) -> Result<(), NotNow> {
        let Some(command) = self.hooking.commands.get(&hook) else { return Ok(()) };
        let begun = Instant::now();
        let Hooking { deadline, product, program, .. } = &self.hooking;
        let told = told(Told { schema: 1, hook, product, program, candidate: None, event: None });
        let input = serde_json::to_vec(&told).unwrap_or_default();
        let text = |shown: Option<String>| OsString::from(shown.unwrap_or_default());
        let variables = [
            ("FETCHD_HOOK", hook.word().into()),
            ("FETCHD_PROGRAM", program.clone().into_os_string()),
            ("FETCHD_VERSION", text(version.map(ToString::to_string))),
            ("FETCHD_DIGEST", text(sha256.map(|sha256| sha256.to_string()))),
            ("FETCHD_EVENT", event.into()),
        ];
        let failed = match errand(command, &variables, &input, begun + *deadline, break_off) {
            Ok((End::Exited(Exited::Code(0)), _)) => None,
            Ok((End::Exited(exited), words)) => Some((format!("ended with {exited}"), words)),
            Ok((End::Late, words)) => {
                Some((format!("did not end within {} s and was killed", deadline.as_secs_f64()), words))
            }
            Ok((End::BrokenOff, _)) => {
                tracing::warn!(event = "hook.broken_off", hook = hook.word(), "`{}` was broken off", hook.key());
                return Err(NotNow::BrokenOff);
            }
            Err(why) => Some((why, String::new())),
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some((how, words)) = failed else {
            tracing::info!(event = "hook.ended", hook = hook.word(), took_ms, "`{}` is done", hook.key());
            return Ok(());
        };
        let words = last_of(&words);
        let why = if words.is_empty() { how } else { format!("{how}; it said: {words}") };
        tracing::warn!(event = "hook.failed", hook = hook.word(), took_ms, "`{}` {why}", hook.key());
        Err(NotNow::Refused(format!("`{}` {why}", hook.key())))
    }
}

fn errand(
    command: &[OsString],
    variables: &[(&str, OsString)],
    input: &[u8],
    until: Instant,
    break_off: &mut dyn FnMut() -> bool,
) -> Result<(End, String), String> {
    let name = command.first().map(Path::new).unwrap_or(Path::new(""));
    let program = find_program(name).filter(|program| program.is_file());
    let program = program.ok_or_else(|| format!("was not run: `{}` is not there", name.display()))?;
    let args = command.get(1..).unwrap_or_default();
    let errand = Errand { program: &program, args, variables, input, words: Words::Kept, dies_with_us: true };
    errand.run(until, break_off).map_err(|error| format!("was not run: {error}"))
}

/// The end of what a program printed, fit for one line of a log.
fn last_of(words: &str) -> String {
    let clean: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let start = clean.char_indices().rev().nth(MOST_SHOWN - 1).map_or(0, |(at, _)| at);
    clean[start..].trim().to_owned()
}

/// So many may wait for those before them.
const MOST_WAITING: usize = 16;

/// So many characters of what one printed are shown.
const MOST_SHOWN: usize = 512;

/// How long one that runs when fetchd is told to end may still take.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Longer than it takes to kill one.
const SLACK: Duration = Duration::from_secs(3);

const STACK: usize = 256 * 1024;
