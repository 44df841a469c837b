//! What an operator changes about a rollout: from one signed state to the next.

use super::{Desk, Found, RolloutError, seen};
use crate::clock::Timestamp;
use crate::fleet::bounds;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::Place;
use crate::fleet::head::{Head, is_release};
use crate::fleet::plan::{Ack, Phase, Pin, is_host};
use crate::fleet::rollup::Rollup;
use crate::fleet::rule;
use crate::fleet::tally::{Said, Tally};

/// One change of a rollout that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nobody starts until it is resumed.
    Pause,
    /// It goes on. A halt must be named, by the first digits of its digest.
    Resume {
        /// The halt that was seen.
        ack: Option<String>,
        /// Hosts that are not counted any more.
        exclude: Vec<HostId>,
    },
    /// The next step opens now, passed or not.
    Promote,
    /// The step that is open ends now; the next one opens once its hosts are well.
    SkipStep,
    /// Nobody starts, ever.
    Abort,
    /// It has come to its end: every host may have it.
    Finish,
    /// A host has a release of its own; without one it keeps what it has.
    Pin(Pin),
    /// A host follows the rollout again.
    Unpin(String),
    /// Hosts that were bad try again.
    Retry,
    /// Nothing but a new validity.
    Renew,
}

impl Change {
    /// The head after it. Fails with `fleet.phase` where it cannot be done now, and with what is wrong with a halt.
    pub(super) fn apply(&self, desk: &mut Desk<'_>, found: &Found) -> Result<Head, RolloutError> {
        let mut head = found.head.clone();
        if *self != Change::Renew && !matches!(self, Change::Pin(_) | Change::Unpin(_)) {
            goes_on(&head)?;
        }
        match self {
            Change::Pause if head.state == Phase::Running => head.state = Phase::Paused,
            Change::Pause => return Err(RolloutError::phase("the rollout is paused already", "nothing is to be done")),
            Change::Resume { ack, exclude } => resume(desk, &mut head, ack.as_deref(), exclude)?,
            Change::Promote => {
                goes_on_now(desk, &head)?;
                let rollup = desk.rollup(&head)?;
                let next = hasten(&mut head, rollup.as_ref(), desk.now())?;
                let step = step_mut(&mut head, next);
                step.not_before = step.not_before.filter(|at| *at <= desk.now());
                head.promoted = Some(next);
            }
            Change::SkipStep => {
                goes_on_now(desk, &head)?;
                let rollup = desk.rollup(&head)?;
                hasten(&mut head, rollup.as_ref(), desk.now())?;
            }
            Change::Abort => head.state = Phase::Aborted,
            Change::Finish => finish(desk, &mut head)?,
            Change::Pin(pin) => {
                if pin.release.as_ref().is_some_and(|release| !is_release(release)) {
                    return Err(RolloutError::asked(
                        "this is not the name of a release",
                        "as `fetchd fleet publish` named it",
                    ));
                }
                head.pins.retain(|old| !same(&old.host, &pin.host));
                head.pins.push(pin.clone());
                bounds::few_named(&head)?;
            }
            Change::Unpin(host) => {
                let before = head.pins.len();
                head.pins.retain(|pin| !same(&pin.host, host));
                if head.pins.len() == before {
                    return Err(RolloutError::phase(format!("`{host}` is not pinned"), pinned(&head, host)));
                }
            }
            Change::Retry => {
                let more = head.attempt.checked_add(1);
                head.attempt =
                    more.ok_or_else(|| RolloutError::phase("there were 65535 attempts", "start a new rollout"))?;
            }
            Change::Renew => {}
        }
        Ok(head)
    }
}

/// Two words for one host.
fn same(a: &str, b: &str) -> bool {
    let id = |text: &str| text.parse().unwrap_or_else(|_| HostId::named(text));
    a == b || is_host(a, id(b), Some(b))
}

/// What can be done by somebody who has named a host that is not pinned.
fn pinned(head: &Head, asked: &str) -> String {
    let hosts: Vec<&str> = head.pins.iter().map(|pin| pin.host.as_str()).collect();
    match seen::nearest(asked, hosts.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if hosts.is_empty() => "no host is".to_owned(),
        None => format!("these are: {}", hosts.into_iter().take(20).collect::<Vec<_>>().join(", ")),
    }
}

fn goes_on(head: &Head) -> Result<(), RolloutError> {
    match head.state {
        Phase::Aborted => Err(RolloutError::phase(
            format!("the rollout `{}` was aborted, which is for ever", head.rollout),
            "start a new one: `fetchd fleet start`",
        )),
        Phase::Done => Err(RolloutError::phase(
            format!("the rollout `{}` has come to its end", head.rollout),
            "start a new one: `fetchd fleet start`",
        )),
        Phase::Running | Phase::Paused | Phase::Halted => Ok(()),
    }
}

/// A step that is opened while nobody may start would open for all of its hosts at the moment of the resume.
fn goes_on_now(desk: &mut Desk<'_>, head: &Head) -> Result<(), RolloutError> {
    if let Some(halted) = desk.halted(head)? {
        return Err(RolloutError::Latched { key: halted.key, sha256: halted.sha256.to_string() });
    }
    if head.state == Phase::Running {
        return Ok(());
    }
    let hint = "let it go on first (`fetchd fleet resume`), and open the step then";
    Err(RolloutError::phase("the rollout is paused: a step that is opened now would let nobody start", hint))
}

fn resume(desk: &mut Desk<'_>, head: &mut Head, ack: Option<&str>, exclude: &[HostId]) -> Result<(), RolloutError> {
    let halted = desk.halted(head)?;
    let since = match (&halted, ack) {
        (None, Some(given)) => {
            let there = "no halt is there that was not acknowledged".to_owned();
            return Err(RolloutError::OtherLatch { given: given.to_owned(), there });
        }
        (None, None) if head.state == Phase::Running => {
            return Err(RolloutError::phase("the rollout is running", "nothing is to be done"));
        }
        (None, None) => stopped(desk, head)?,
        (Some(halted), None) => {
            let (key, sha256) = (halted.key.clone(), halted.sha256.to_string());
            return Err(RolloutError::Latched { key, sha256 });
        }
        (Some(halted), Some(given)) => {
            let there = halted.sha256.to_string();
            if given.len() < 8 || !there.starts_with(given) {
                return Err(RolloutError::OtherLatch { given: given.to_owned(), there });
            }
            let rollup = desk.rollup(head)?;
            head.ack = Some(acknowledged(desk, head, &there, rollup.as_ref(), exclude)?);
            let latched = desk.keys(&halted.key, 1)?.first().map(|(_, at)| *at);
            latched.into_iter().chain(stopped(desk, head)?).min()
        }
    };
    if let (Some(ack), true) = (&mut head.ack, halted.is_none()) {
        ack.exclude.extend(exclude.iter().filter(|host| !ack.exclude.contains(host)).copied().collect::<Vec<_>>());
    }
    // The schedule goes on where it stopped: hosts whose time has come meanwhile do not all start at once.
    let pause = since.map_or(0, |since| desk.now().since(since).as_secs());
    head.t0 = Timestamp(head.t0.0.saturating_add(pause));
    head.state = Phase::Running;
    Ok(())
}

/// What is bad already is not counted again. Hosts that are not counted any more must not be deducted, too.
///
/// Nobody signs a roll-up, and this is signed: what no host has said is not deducted, or a roll-up with invented failures
/// would cover as many that are real (`what_no_host_has_said_is_not_acknowledged`).
fn acknowledged(
    desk: &mut Desk<'_>,
    head: &Head,
    latch: &str,
    rollup: Option<&Rollup>,
    exclude: &[HostId],
) -> Result<Ack, RolloutError> {
    let before = head.ack.as_ref();
    let mut all = before.map(|ack| ack.exclude.clone()).unwrap_or_default();
    let new: Vec<HostId> = exclude.iter().filter(|host| !all.contains(host)).copied().collect();
    let failed = rollup.map_or(0, |rollup| rollup.total().failed());
    let counted = rollup.map_or(0, |rollup| rollup.bad.iter().filter(|bad| new.contains(&bad.host)).count()) as u64;
    all.extend(new);
    let mut said = Tally::default();
    for evidence in desk.evidence(&head.rollout, head.shards)? {
        said.add(&evidence);
    }
    let (now, deadline_s) = (desk.now(), head.gate.deadline_s);
    let said: Vec<&Said> = said.hosts().filter(|(host, _)| !all.contains(host)).map(|(_, said)| said).collect();
    let count = |what: &dyn Fn(&Said) -> bool| said.iter().filter(|said| what(said)).count() as u64;
    let bad = count(&|said| said.bad.is_some() || said.is_overdue(deadline_s, now, Timestamp(0)));
    let stops = count(&|said| said.stop.is_some());
    Ok(Ack {
        latches: before.map_or(0, |ack| ack.latches).saturating_add(1),
        latch: latch.to_owned(),
        bad: failed.saturating_sub(counted).min(bad),
        stops,
        exclude: all,
    })
}

/// When the state that is in force was written, if it is one in which nobody starts.
fn stopped(desk: &mut Desk<'_>, head: &Head) -> Result<Option<Timestamp>, RolloutError> {
    if head.state == Phase::Running {
        return Ok(None);
    }
    let key = desk.names.plan(&head.rollout, Some(head.seq));
    Ok(desk.keys(&key, 1)?.first().filter(|(found, _)| *found == key).map(|(_, at)| *at))
}

/// The last place that has opened.
pub fn open_place(head: &Head, rollup: Option<&Rollup>, now: Timestamp) -> Option<Place> {
    rule::places(head).filter(|place| rule::opens(head, rollup, *place).is_some_and(|at| at <= now)).last()
}

/// Ends the schedule of the step that is open now, and says which is next. Whether that is too fast, the bounds say.
fn hasten(head: &mut Head, rollup: Option<&Rollup>, now: Timestamp) -> Result<Place, RolloutError> {
    let Some(place) = open_place(head, rollup, now) else {
        return Err(RolloutError::phase(
            format!("it begins at {}", head.t0),
            "abort it, and start it with another `--at`",
        ));
    };
    let Some(next) = rule::after(head, place) else {
        let hint = "`fetchd fleet finish` ends the rollout once its hosts are well";
        return Err(RolloutError::phase("the last step is open already", hint));
    };
    let opened = rule::opens(head, rollup, place).unwrap_or(now);
    let mut elapsed = now.since(opened).as_secs();
    let mut spend = |planned: u64| {
        let spent = planned.min(elapsed);
        elapsed -= spent;
        spent
    };
    let step = step_mut(head, place);
    // The watch first: bounds ask for it, and for no ramp.
    step.bake_s = spend(step.bake_s);
    step.ramp_s = spend(step.ramp_s);
    if next.ring != place.ring {
        let ring = &mut head.rings[usize::from(next.ring)];
        ring.delay_s = spend(ring.delay_s);
    }
    Ok(next)
}

/// The step, which is its ring's own from now on.
fn step_mut(head: &mut Head, place: Place) -> &mut crate::fleet::plan::Step {
    let Head { rings, steps, .. } = head;
    let own = rings[usize::from(place.ring)].steps.get_or_insert_with(|| steps.clone());
    &mut own[usize::from(place.step)]
}

fn finish(desk: &mut Desk<'_>, head: &mut Head) -> Result<(), RolloutError> {
    let last = rule::places(head).last().unwrap_or(Place { ring: 0, step: 0 });
    let rollup = desk.rollup(head)?;
    let rollup = rollup.unwrap_or_else(|| Rollup::empty(&head.rollout, head.attempt, String::new(), head.t0, &[]));
    let passed = rollup.step(last).is_some_and(|count| count.passed_at.is_some())
        || rule::passed(head, &rollup, last, desk.now()).is_ok();
    if !passed {
        return Err(RolloutError::phase(
            "its last step has not passed yet",
            "wait for it (`fetchd fleet status`), or end it with `fetchd fleet abort`",
        ));
    }
    head.state = Phase::Done;
    Ok(())
}
