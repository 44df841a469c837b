//! Plays the steps of the demo on a site under load.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::DemoError;
use super::plan::{Act, PLANS, Plan, Want};
use super::report::{News, Report, Step, Watcher};
use super::site::{Site, cut, damage};
use super::trailer::Trailer;
use crate::failure::Reported;
use crate::load::{Load, LoadPlan, Target};
use crate::state::Event;
use rustix::process::{Signal, kill_process};

/// How the demo is to be played.
#[derive(Debug, Default)]
pub struct Demo {
    /// Leave the directory behind.
    pub keep: bool,
    /// Set from outside to end it early.
    pub interrupted: Arc<AtomicBool>,
}

impl Demo {
    /// Plays it. An error: it could not begin. Whatever goes wrong later is in the report.
    pub fn play(&self, watcher: &mut dyn Watcher) -> Result<Report, DemoError> {
        let mut site = Site::new(Arc::clone(&self.interrupted))?;
        if self.keep {
            site.keep();
        }
        let mut report = Report::default();
        let begun = Instant::now();
        let result = Stage::open(&mut site, watcher, &mut report);
        report.elapsed_ms = millis(begun.elapsed());
        report.directory = self.keep.then(|| site.path().display().to_string());
        if let Err(error) = result {
            report.error = Some(Reported::of(&error));
            report.log_tail = (!matches!(error, DemoError::Interrupted)).then(|| site.log_tail());
        }
        Ok(report)
    }
}

/// A site under load.
struct Stage<'a> {
    site: &'a mut Site,
    load: &'a Load,
    slow: Instant,
}

impl Stage<'_> {
    fn open(site: &mut Site, watcher: &mut dyn Watcher, report: &mut Report) -> Result<(), DemoError> {
        site.start()?;
        let address = site.address()?;
        let supervisor = site.supervisor();
        report.supervisor_pid_before = site.status()?.pid;
        let load =
            LoadPlan { fresh: CLIENTS, keep_alive: CLIENTS, think: THINK, ..LoadPlan::new(Target::Tcp(address)) };
        let load = Load::start(load)?;
        let begun = News::Begun {
            dir: &site.path().display().to_string(),
            supervisor: site.supervisor(),
            address: &address.to_string(),
            clients: CLIENTS,
        };
        let result = if watcher.tell(&begun) {
            let mut stage = Stage { site, load: &load, slow: Instant::now() };
            stage.steps(watcher, report)
        } else {
            Err(DemoError::Interrupted)
        };
        report.supervisor_pid_after = site.status().map_or(0, |status| status.pid);
        let seen = load.stop();
        (report.requests, report.failed) = (seen.totals.requests, seen.totals.failed.total());
        report.count(site);
        result?;
        let ended = site.stop()?;
        if ended != crate::spawn::Exited::Code(0) {
            return Err(DemoError::Unexpected(format!("the supervisor ended with {ended}")));
        }
        if [report.supervisor_pid_before, report.supervisor_pid_after] != [supervisor; 2] {
            return Err(DemoError::Unexpected("the supervisor is another process than it was".to_owned()));
        }
        match report.failed {
            0 => Ok(()),
            lost => Err(DemoError::Lost { lost, requests: report.requests }),
        }
    }

    fn steps(&mut self, watcher: &mut dyn Watcher, report: &mut Report) -> Result<(), DemoError> {
        let wait = self.load.wait_for_version("1.0.0", SOON);
        wait.map_err(|e| DemoError::Unexpected(e.to_string()))?;
        let mut serving = "1.0.0";
        for plan in &PLANS {
            let release = if plan.act == Act::RollBack { "operator" } else { plan.version };
            if !watcher.tell(&News::Next { release, flaw: plan.flaw }) {
                return Err(DemoError::Interrupted);
            }
            self.load.mark(plan.flaw);
            let begun = Instant::now();
            let result = self.step(plan, serving, begun);
            let mut step = Step {
                release: release.to_owned(),
                flaw: plan.flaw.to_owned(),
                outcome: "unexpected",
                did: String::new(),
                code: None,
                ms: 0,
                requests: 0,
                failed: 0,
                longest_ms: 0.0,
            };
            let failure = match result {
                Ok(Outcome { did, code, took }) => {
                    step.outcome = plan.want.word();
                    (step.did, step.code, step.ms) = (did, code, millis(took));
                    None
                }
                Err(error) => {
                    (step.did, step.ms) = (crate::failure::chain(&error), millis(begun.elapsed()));
                    Some(error)
                }
            };
            // Marks bear the flaw's name, and good releases share one: the last window is this step's.
            if let Some(window) = self.load.snapshot().windows.last() {
                (step.requests, step.failed) = (window.totals.requests, window.totals.failed.total());
                step.longest_ms = (window.latency.longest().as_secs_f64() * 10_000.0).round() / 10.0;
            }
            let watched = watcher.tell(&News::Done(&step));
            report.steps.push(step);
            if let Some(error) = failure {
                return Err(error);
            }
            if !watched {
                return Err(DemoError::Interrupted);
            }
            if plan.want == Want::Live || plan.act == Act::RollBack {
                serving = plan.version;
            }
            #[cfg(debug_assertions)]
            self.break_if_asked(plan.version)?;
        }
        Ok(())
    }

    fn step(&mut self, plan: &Plan, serving: &str, begun: Instant) -> Result<Outcome, DemoError> {
        let known = self.site.history().len();
        let trailer = Trailer { fault: plan.fault, ..Trailer::version(plan.version) };
        let mut begun = begun;
        let mut note = String::new();
        match plan.act {
            Act::Stranger => {
                let pointer = self.site.publish_as_a_stranger(&trailer)?;
                self.site.origin.show(pointer);
                begun = Instant::now();
            }
            Act::RollBack => {
                self.keep_slow_ones_going();
                let output = self.site.operator("rollback")?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
                    return Err(DemoError::Unexpected(format!(
                        "`fetchd rollback` ended with {}: {said}",
                        output.status
                    )));
                }
            }
            Act::Publish | Act::Cut | Act::Damage | Act::KillWorker => {
                let artifact = self.site.publish(&trailer)?;
                match plan.act {
                    Act::Cut => cut(&artifact)?,
                    Act::Damage => damage(&artifact)?,
                    _ => {}
                }
                let name = artifact.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if plan.act == Act::KillWorker {
                    self.site.origin.hold(&name);
                }
                self.site.show()?;
                begun = Instant::now();
                if plan.act == Act::KillWorker {
                    note = self.kill_the_worker(&name)?;
                }
            }
        }
        let (did, code) = match plan.want {
            Want::Live => {
                let event = self.event(known, &format!("{} goes live", plan.version), |event| {
                    let version = event.version.as_ref().is_some_and(|version| version.to_string() == plan.version);
                    event.event == "release.confirmed" && version
                })?;
                self.serves(plan.version)?;
                let ready = event.detail.get("ready_ms").and_then(serde_json::Value::as_u64).unwrap_or(0);
                (format!("{note}live, ready after {ready} ms"), note_code(plan.act))
            }
            Want::Undone(code) => {
                let back = if plan.act == Act::RollBack { plan.version } else { serving };
                if plan.act != Act::RollBack {
                    self.event(known, &format!("{} is rolled back [{code}]", plan.version), |event| {
                        event.event == "handoff.failed" && event.code.as_deref() == Some(code)
                    })?;
                }
                self.serves(back)?;
                self.quarantined(code)?;
                (format!("rolled back to {back}"), Some(code.to_owned()))
            }
            Want::Refused(code) => {
                self.event(known, &format!("{} is refused [{code}]", plan.version), |event| {
                    let refused = matches!(event.event.as_str(), "release.refused" | "fetch.failed");
                    refused && event.code.as_deref() == Some(code)
                })?;
                let took = begun.elapsed();
                if plan.act == Act::Stranger {
                    self.site.show()?;
                }
                self.serves(serving)?;
                return Ok(Outcome { did: format!("refused, {serving} stays"), code: Some(code.to_owned()), took });
            }
        };
        Ok(Outcome { did, code, took: begun.elapsed() })
    }

    /// Kills whoever downloads `name`, half-way, and lets the next one have it all.
    fn kill_the_worker(&mut self, name: &str) -> Result<String, DemoError> {
        self.wait("half of it is downloaded", |site| {
            let status = site.status().ok()?;
            (site.origin.is_halfway() && status.updates.doing.starts_with("downloading")).then_some(())
        })?;
        // The origin has sent half; a worker that is killed before it has written any of it has nothing to carry on with.
        self.wait("the worker has written a part of it", |site| site.has_part().then_some(()))?;
        let worker = self.wait("the worker is found in /proc", Site::worker)?;
        kill_process(worker, Signal::KILL).map_err(|e| DemoError::io("kill", worker.to_string())(e.into()))?;
        self.wait("the supervisor notices its worker's end", |site| {
            site.history().iter().any(|event| event.code.as_deref() == Some("worker.died")).then_some(())
        })?;
        self.site.origin.release();
        let from = self.wait("the download is resumed", |site| site.origin.resumed(name))?;
        Ok(format!("resumed at {:.1} MiB, ", from as f64 / f64::from(1 << 20)))
    }

    /// Waits until a process of `version`, and no newer one, serves.
    fn serves(&mut self, version: &str) -> Result<(), DemoError> {
        self.wait(&format!("{version} serves"), |site| {
            let status = site.status().ok()?;
            let one = status.service.generations.iter().any(|generation| generation.phase == "serving");
            (one && status.updates.version.as_deref() == Some(version) && !status.service.watching).then_some(())
        })?;
        let seen = self.load.wait_for_version(version, SOON);
        seen.map(drop).map_err(|e| DemoError::Unexpected(e.to_string()))
    }

    fn quarantined(&mut self, code: &str) -> Result<(), DemoError> {
        self.wait(&format!("a quarantine for [{code}]"), |site| {
            site.status().ok()?.updates.quarantine.iter().any(|bad| bad.code == code).then_some(())
        })
    }

    fn event(&mut self, known: usize, what: &str, is: impl Fn(&Event) -> bool) -> Result<Event, DemoError> {
        self.wait(what, |site| site.history().into_iter().skip(known).find(|event| is(event)))
    }

    /// Looks, and keeps requests in flight that outlive a handoff.
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Site) -> Option<T>) -> Result<T, DemoError> {
        let (load, slow) = (self.load, &mut self.slow);
        self.site.wait(what, |site| {
            send_slow(load, slow);
            look(site)
        })
    }

    fn keep_slow_ones_going(&mut self) {
        send_slow(self.load, &mut self.slow);
    }

    /// Proof that a lost request is noticed.
    #[cfg(debug_assertions)]
    fn break_if_asked(&mut self, version: &str) -> Result<(), DemoError> {
        if version != "1.1.0" || std::env::var_os("FETCHD_TEST_DEMO_BREAK").is_none_or(|value| value != "1") {
            return Ok(());
        }
        let status = self.site.status()?;
        let serving = status.service.generations.iter().find(|generation| generation.phase == "serving");
        if let Some(pid) = serving.and_then(|g| rustix::process::Pid::from_raw(g.pid.cast_signed())) {
            kill_process(pid, Signal::KILL).map_err(|e| DemoError::io("kill", pid.to_string())(e.into()))?;
        }
        let load = self.load;
        self.wait("a request is lost", |_| (load.snapshot().totals.failed.total() > 0).then_some(()))
    }
}

/// A step that ended as it had to.
struct Outcome {
    did: String,
    code: Option<String>,
    took: Duration,
}

fn note_code(act: Act) -> Option<String> {
    (act == Act::KillWorker).then(|| "worker.died".to_owned())
}

fn send_slow(load: &Load, last: &mut Instant) {
    if last.elapsed() >= SLOW_EVERY {
        *last = Instant::now();
        // It counts in the totals; nobody waits for this one.
        drop(load.slow_request(SLOW));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Clients of either kind.
const CLIENTS: usize = 6;

/// Between two requests of a client.
const THINK: Duration = Duration::from_millis(10);

/// A slow request begins so often …
const SLOW_EVERY: Duration = Duration::from_millis(200);

/// … and takes so long.
const SLOW: Duration = Duration::from_millis(700);

/// How long the clients may take to see what the supervisor says.
const SOON: Duration = Duration::from_secs(20);
