//! What an operator names, held against what the bucket has seen: a slip of the pen must not pass for a host.
//!
//! A canary that nobody has is no canary, and a host that is pinned under a wrong name follows the rollout all the same. So
//! both are refused, with what was probably meant, unless the operator says that the host is still to come.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desk, RolloutError, Start};
use crate::fleet::cohort::{HostId, Shards};
use crate::fleet::plan::Lease;

/// The most hosts whose inventory is read to find a name or a label.
const MOST_READ: usize = 1000;

/// What a label is called, and the value that is wanted of it; `None` = any.
type Label = (String, Option<String>);

/// Refuses a rollout whose rings, windows or lease mean hosts that were never seen, with `fleet.unseen`.
pub fn start(desk: &mut Desk<'_>, start: &Start) -> Result<(), RolloutError> {
    let plan = &start.plan;
    for named in plan.rings.iter().flat_map(|ring| &ring.matches.hosts) {
        host(desk, named)?;
    }
    let exact = |(key, value): (&String, &String)| (key.clone(), Some(value.clone()));
    let rings = plan.rings.iter().flat_map(|ring| &ring.matches.labels).map(exact);
    let windows = plan.windows.iter().flat_map(|window| &window.labels).map(exact);
    let lease = plan.lease.iter().flat_map(in_group).map(|key| (key, None));
    let wanted: BTreeSet<Label> = rings.chain(windows).chain(lease).collect();
    if !wanted.is_empty() {
        labels(desk, wanted)?;
    }
    Ok(())
}

/// Refuses a host that has never said anything in this bucket, with `fleet.unseen`.
pub fn host(desk: &mut Desk<'_>, asked: &str) -> Result<(), RolloutError> {
    if is_seen(desk, asked)? {
        return Ok(());
    }
    let hint = match nearest(asked, names(desk)?.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? A host that is still to come is named with `--unseen`"),
        None => "`fetchd fleet hosts` lists hosts; one that is still to come is named with `--unseen`".to_owned(),
    };
    Err(RolloutError::Unseen { message: format!("no host called `{asked}` was ever seen here"), hint })
}

/// Whether the host, an id or a name, has said anything in this bucket: its inventory, or evidence of the rollout that is
/// there.
pub fn is_seen(desk: &mut Desk<'_>, asked: &str) -> Result<bool, RolloutError> {
    let id: HostId = asked.parse().unwrap_or_else(|_| HostId::named(asked));
    // Where it lies depends on how many hosts there were when it was sent.
    for shards in [Shards::ONE, Shards::for_hosts(5_000), Shards::for_hosts(100_000)] {
        if desk.inventory(&desk.names.inventory(&id.shard(shards), id))?.is_some() {
            return Ok(true);
        }
    }
    let Some(found) = desk.head()? else { return Ok(false) };
    Ok(!desk.evidence_of(&found.head, id)?.is_empty())
}

/// The one of `known` that `typed` probably stands for.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(typed.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

/// What hosts are called, as far as they are read.
pub fn names(desk: &mut Desk<'_>) -> Result<Vec<String>, RolloutError> {
    let mut names = Vec::new();
    for (key, _) in desk.keys(&desk.names.inventories(), MOST_READ)? {
        let said = desk.inventory(&key)?;
        names.extend(said.and_then(|said| said["name"].as_str().map(str::to_owned)));
    }
    Ok(names)
}

/// The labels in a lease's group: `{az}` of `web-{az}`.
fn in_group(lease: &Lease) -> Vec<String> {
    let begun = lease.group.split('{').skip(1);
    begun.filter_map(|rest| rest.split_once('}')).map(|(label, _)| label.to_owned()).collect()
}

/// Refuses a label that no host carries. Of a fleet that is larger than what is read here nothing is known.
fn labels(desk: &mut Desk<'_>, mut wanted: BTreeSet<Label>) -> Result<(), RolloutError> {
    let keys = desk.keys(&desk.names.inventories(), MOST_READ + 1)?;
    let whole = keys.len() <= MOST_READ;
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, _) in keys.into_iter().take(MOST_READ) {
        let Some(said) = desk.inventory(&key)? else { continue };
        for (label, value) in said["labels"].as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else { continue };
            wanted.remove(&(label.clone(), None));
            wanted.remove(&(label.clone(), Some(value.to_owned())));
            known.entry(label.clone()).or_default().insert(value.to_owned());
        }
        if wanted.is_empty() {
            return Ok(());
        }
    }
    let Some((label, value)) = wanted.into_iter().next().filter(|_| whole) else { return Ok(()) };
    let written = value.as_ref().map_or(label.clone(), |value| format!("{label}={value}"));
    let near = match (known.get(&label), &value) {
        (Some(values), Some(value)) => {
            nearest(value, values.iter().map(String::as_str)).map(|near| format!("{label}={near}"))
        }
        _ => nearest(&label, known.keys().map(String::as_str)),
    };
    let hint = match near {
        Some(near) => format!("did you mean `{near}`? Hosts that are still to come are meant with `--unseen`"),
        None if known.is_empty() => {
            "no host has sent an inventory with labels yet; `--unseen` goes on all the same".to_owned()
        }
        None => {
            let known: Vec<&str> = known.keys().map(String::as_str).take(8).collect();
            format!("hosts have `{}`; those that are still to come are meant with `--unseen`", known.join("`, `"))
        }
    };
    Err(RolloutError::Unseen { message: format!("no host that was ever seen here has the label `{written}`"), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_near() {
        let known = ["web-1", "web-2", "api-eu-1"];
        let near = |typed| nearest(typed, known.into_iter());
        assert_eq!(near("wbe-1").as_deref(), Some("web-1"));
        assert_eq!(near("api-ue-1").as_deref(), Some("api-eu-1"));
        assert_eq!(near("database"), None);
        let group = |text: &str| in_group(&Lease { group: text.to_owned(), slots: 1, hold_on_failure: false });
        assert_eq!((group("{az}-{rack}"), group("all")), (vec!["az".to_owned(), "rack".to_owned()], vec![]));
    }
}
