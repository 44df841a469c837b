//! From a configuration to a host of a fleet.

use std::fs;
use std::time::Duration;

use crate::agent::fleet::Membership;
use crate::config::{self, Config, Effective, Pin};
use crate::failure::{Exit, Reported};
use crate::fetch;
use crate::fleet::cohort::HostId;
use crate::fleet::head::Rollouts;
use crate::fleet::host::{LocalPin, Me};
use crate::fleet::names::Names;

/// The fleet that `source` is one's of, if it is. Reads the key files and the machine's id.
pub(super) fn of(
    settings: &Effective,
    config: &Config,
    source: &config::Source,
) -> Result<Option<Membership>, Reported> {
    let Some(fleet) = &source.fleet else { return Ok(None) };
    let keys = config::rollout_keys(settings, fleet)?;
    let names = Names::new(&fleet.prefix, &config.place.product, &config.policy.channel)
        .ok_or_else(|| wrong("the prefix, the product or the channel cannot be part of a key".to_owned()))?;
    let id = match &fleet.host {
        Some(name) => HostId::named(name),
        None => HostId::of_machine(&machine_id()?, fleet.instance.as_deref()),
    };
    let seconds = |duration: Duration| duration.as_secs();
    let serve = &config.serve;
    let smoke = config.verify.smoke.as_ref().map_or(Duration::ZERO, |smoke| smoke.deadline);
    let pin = fleet.pin.clone().map(|pin| match pin {
        Pin::Hold => LocalPin::Hold,
        Pin::Release(release) => LocalPin::Release(release),
    });
    let me = Me {
        name: fleet.host.clone(),
        labels: fleet.labels.clone(),
        boot: boot(),
        volunteers: fleet.steward,
        prefetch_s: seconds(fleet.prefetch),
        max_switch_s: seconds(serve.ready_deadline * 2 + serve.watch + smoke) + MARGIN,
        poll_s: seconds(config.schedule.interval).max(1),
        pin,
        ..Me::new(id, names.clone())
    };
    Ok(Some(Membership {
        bucket: fetch::Source { url: source.reached(), options: source.options.clone() },
        rollouts: Rollouts { keys, names },
        me,
        shown_as: fetchd_fetchers::redact(&source.url),
        deadline: config.download.poll,
    }))
}

/// Beside its deadlines, what a switch may take of a busy disk, in seconds.
const MARGIN: u64 = 60;

fn machine_id() -> Result<String, Reported> {
    let read = |path: &str| fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id")).ok_or_else(|| {
        let none = wrong("this machine has no `/etc/machine-id`, and no other name in its fleet is given".to_owned());
        Reported { hint: Some("name it with `--fleet-host NAME`".to_owned()), ..none }
    })
}

/// Differs from boot to boot, and from start to start where nobody tells.
fn boot() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match read.trim() {
        "" => std::process::id().to_string(),
        boot => boot.to_owned(),
    }
}

fn wrong(message: String) -> Reported {
    Reported { code: "config.value".to_owned(), exit: Exit::Usage, message, hint: None }
}
