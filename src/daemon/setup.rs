//! From a configuration to the parts of a running service.

use std::path::PathBuf;

use super::{floor, probe};
use crate::agent::{Hooks, Installing, Ledger, Line, Rhythm, Wanted};
use crate::config::{self, Address, Config, ConfigError, Effective, Listen, OnDeath, Probe, Signature};
use crate::failure::Reported;
use crate::fetch::{self, Worker};
use crate::install::{Carry, Install, Layout};
use crate::restart::supervise::{self, Health, Options, Ready};
use crate::restart::{Registry, RestartDriver, Setup, Stop};
use crate::state::Store;
use crate::trust::{Expect, KeySet, Trust};
use crate::verify::{Smoke, TargetCheck, Verifier};

/// What is wanted from `source`. Reads the key files.
pub fn wanted(settings: &Effective, config: &Config, source: &config::Source) -> Result<Wanted, Reported> {
    let mut provisioned = None;
    let trust = match &source.trust {
        config::Trust::Owner => Trust::Owner,
        config::Trust::Unsigned => Trust::Unsigned,
        config::Trust::Keys { signature, .. } => signed(config::key_set(settings)?, *signature),
        config::Trust::KeySet { path, signature } => {
            let keys = config::trusted_keys(settings, path, &config.place.product)?;
            let release = keys.release().clone();
            if release.threshold() > 1 && *signature != Signature::Bundle {
                return Err(ConfigError::Conflict {
                    what: format!(
                        "{} keys must sign a release, as `{}` says, and a `.minisig` file holds one signature",
                        release.threshold(),
                        path.display()
                    ),
                    hint: "publish a bundle (`signature = \"bundle\"`), or a key set whose release threshold is 1"
                        .to_owned(),
                }
                .into());
            }
            provisioned = Some(keys);
            signed(release, *signature)
        }
    };
    let mut wanted = Wanted {
        source: fetch::Source { url: source.reached(), options: source.options.clone() },
        trust,
        keys: None,
        expect: Expect {
            product: config.place.product.clone(),
            channel: config.policy.channel.clone(),
            target: config.verify.target.clone(),
            epoch: None,
            max_size: config.download.max_size,
        },
        limits: fetch::Limits {
            poll: config.download.poll,
            total: config.download.total,
            stall: config.download.stall,
            min_rate: config.download.min_rate,
            max_size: config.download.max_size,
            reserve: config.download.reserve,
            ..fetch::Limits::default()
        },
        asset: source.asset.clone(),
        pin: config.policy.pin.clone(),
        allow_downgrade: config.policy.allow_downgrade,
        cooldown: config.policy.cooldown,
        max_age: config.policy.max_age,
        // Half of what the worker may have is for the rest of it.
        deltas: config
            .download
            .deltas
            .then(|| config.worker.memory.map_or(DELTA_MEMORY, |all| DELTA_MEMORY.min(all / 2))),
        #[cfg(feature = "fleet")]
        fleet: super::membership::of(settings, config, source)?.map(Box::new),
    };
    if let Some(keys) = provisioned {
        wanted.adopt(keys);
    }
    Ok(wanted)
}

/// The most anonymous memory that a delta gets, in bytes.
const DELTA_MEMORY: u64 = 512 << 20;

fn signed(keys: KeySet, signature: Signature) -> Trust {
    match signature {
        Signature::Bundle => Trust::Bundle { keys },
        Signature::Bound => Trust::Bound { keys },
        Signature::Plain => Trust::Plain { keys },
    }
}

/// Where the program lies.
pub fn install(config: &Config) -> Result<Install, Reported> {
    let layout = match config.install.layout {
        config::Layout::Replace => Layout::Replace,
        config::Layout::Releases { keep } => Layout::Releases { keep },
        config::Layout::External => Layout::External { dir: config.place.state_dir.join("external") },
    };
    let carry = if config.install.best_effort { Carry::BestEffort } else { Carry::Strict };
    Ok(Install::open(layout, &config.program.path, carry)?)
}

/// Who checks.
pub fn verifier(config: &Config) -> Verifier {
    let smoke = match &config.verify.smoke {
        None => Smoke { enabled: false, ..Smoke::default() },
        Some(run) => {
            Smoke { args: run.args.iter().map(Into::into).collect(), deadline: run.deadline, ..Smoke::default() }
        }
    };
    let target =
        if config.verify.target_check { TargetCheck::Triple(config.verify.target.clone()) } else { TargetCheck::Off };
    Verifier { smoke, target, ..Verifier::default() }
}

/// The machinery of updates for `wanted`, with the key sets that were accepted before, the floor established and what a
/// crash left half done settled. On failure the store, and with it
/// the lock, is given back.
pub fn line(
    config: &Config,
    mut wanted: Wanted,
    mut store: Store,
    worker: impl FnOnce(&Install) -> Result<Box<dyn Worker>, Reported>,
) -> Result<Line, (Box<Store>, Reported)> {
    let recalled = wanted.recall(store.dir()).map_err(Reported::from);
    let established =
        recalled.and_then(|()| floor::establish(&mut store, &wanted, config.policy.floor).map_err(Reported::from));
    let prepared = established.and_then(|()| install(config)).and_then(|mut install| {
        let settled = install.settle(&mut store)?;
        tracing::debug!(event = "install.settled", ?settled, "the journal is settled");
        let worker = worker(&install)?;
        Ok((install, worker))
    });
    match prepared {
        Ok((install, worker)) => {
            let (verifier, installing) = (verifier(config), Installing::default());
            let line = Line {
                wanted,
                store,
                install,
                worker,
                verifier,
                running: None,
                unfinished: None,
                installing,
                ledger: Ledger::default(),
                hooks: Hooks::new(config.hooks.clone()),
                #[cfg(feature = "fleet")]
                fleet: None,
            };
            with_fleet(line)
        }
        Err(report) => Err((Box::new(store), report)),
    }
}

/// The line with what it remembers of its fleet, if it has one.
#[cfg(feature = "fleet")]
fn with_fleet(mut line: Line) -> Result<Line, (Box<Store>, Reported)> {
    match line.open_fleet() {
        Ok(_) => Ok(line),
        Err(damaged) => Err((Box::new(line.store), damaged.into())),
    }
}

#[cfg(not(feature = "fleet"))]
fn with_fleet(line: Line) -> Result<Line, (Box<Store>, Reported)> {
    Ok(line)
}

/// This very program, also after another version was installed at its path: worker and supervisor speak to each other in
/// words that may differ from one version to the next.
pub fn own_program() -> Result<PathBuf, Reported> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        return Ok(own);
    }
    std::env::current_exe().map_err(|e| Reported {
        code: "start.own_program".to_owned(),
        exit: crate::failure::Exit::Usage,
        message: format!("the path of fetchd itself is not known: {e}"),
        hint: Some("is /proc mounted?".to_owned()),
    })
}

/// How often the source is asked.
pub fn rhythm(config: &Config) -> Rhythm {
    Rhythm { interval: config.schedule.interval, jitter: config.schedule.jitter }
}

/// Who makes somebody else restart the service; `None`: fetchd runs it itself.
pub fn driver(config: &Config, drivers: &Registry, stop: &Stop) -> Result<Option<Box<dyn RestartDriver>>, Reported> {
    let config::Restart::By(driver) = &config.serve.restart else { return Ok(None) };
    let setup = Setup {
        program: config.program.path.clone(),
        deadline: driver.deadline,
        watch: config.serve.watch,
        health: health(config)?,
        stop: stop.clone(),
        options: driver.options.clone(),
    };
    Ok(Some(drivers.open(&driver.name, setup)?))
}

/// What is asked of a new release while it is watched.
fn health(config: &Config) -> Result<Option<Health>, Reported> {
    let Some(health) = &config.serve.health else { return Ok(None) };
    Ok(Some(Health {
        command: match &health.probe {
            Probe::Command(command) => command.iter().map(Into::into).collect(),
            // The supervisor does no network I/O, not even on the loopback interface.
            Probe::Url(url) => vec![own_program()?.into(), probe::COMMAND.into(), url.as_str().into()],
        },
        interval: health.interval,
        timeout: HEALTH_TIMEOUT,
        failures: HEALTH_FAILURES,
    }))
}

/// How the service is run.
pub fn options(config: &Config) -> Result<Options, Reported> {
    let serve = &config.serve;
    let health = health(config)?;
    Ok(Options {
        program: config.program.path.clone(),
        directory: serve.directory.clone(),
        arguments: config.program.args.iter().map(Into::into).collect(),
        ready: match &serve.ready {
            config::Ready::Notify => Ready::Notify,
            config::Ready::Alive(long) => Ready::Alive(*long),
            config::Ready::Exec(command) => Ready::Exec(command.iter().map(Into::into).collect()),
        },
        ready_deadline: serve.ready_deadline,
        drain_deadline: serve.drain_deadline,
        watch: serve.watch,
        health,
        watchdog: serve.watchdog,
        crash: supervise::CrashRule {
            limit: serve.crash.limit,
            window: serve.crash.window,
            probation: serve.crash.probation,
            first_wait: serve.crash.backoff,
            longest_wait: serve.crash.backoff_max,
        },
        drain_on_supervisor_death: serve.on_supervisor_death == OnDeath::Drain,
        // A service that outlives its supervisor must not write into a pipe nobody empties.
        capture_stderr: serve.capture_stderr && serve.on_supervisor_death == OnDeath::Drain,
    })
}

/// The sockets, each with a name.
pub fn listens(config: &Config) -> Vec<supervise::Listen> {
    let named = named(&config.place.product, &config.serve.listen).into_iter();
    named.map(|(name, at)| supervise::Listen { name, address: address(at) }).collect()
}

/// An address as it is bound.
pub(super) fn address(address: &Address) -> supervise::Address {
    match address {
        Address::Any(port) => supervise::Address::TcpAny(*port),
        Address::Tcp(address) => supervise::Address::Tcp(*address),
        Address::Unix(path) => supervise::Address::Unix(path.clone()),
        Address::Udp(address) => supervise::Address::Udp(*address),
    }
}

/// The addresses with their names; those without one are called after the product.
pub(crate) fn named<'a>(product: &str, listens: &'a [Listen]) -> Vec<(String, &'a Address)> {
    let only = listens.len() == 1;
    let name = |(at, listen): (usize, &'a Listen)| {
        let name = match &listen.name {
            Some(name) => name.clone(),
            None if only => product.to_owned(),
            None => format!("{product}-{}", at + 1),
        };
        (name, &listen.address)
    };
    listens.iter().enumerate().map(name).collect()
}

/// How long one health check may take.
const HEALTH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// So many failed checks in a row are a failed watch: one may be bad luck.
const HEALTH_FAILURES: u32 = 3;
