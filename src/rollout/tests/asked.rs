//! What an operator asks for that makes no sense, or means nobody.

use super::*;
use crate::fleet::plan::{Lease, Match, Ring, Window};

fn ring(labels: &[(&str, &str)], hosts: &[&str]) -> Ring {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let matches = Match { labels, hosts };
    Ring { name: "eu".to_owned(), matches, min_hosts: 0, delay_s: 0, steps: None, hosts: 0 }
}

/// A bucket in which `web-1` and `web-2` have sent their inventory.
fn seen_site() -> Site {
    let site = Site::new();
    for name in ["web-1", "web-2"] {
        let id = HostId::named(name);
        let said = json!({ "host": id, "name": name, "labels": { "region": "eu-1" } });
        let key = site.names.inventory(&id.shard(crate::fleet::cohort::Shards::ONE), id);
        site.store.set(&key, said.to_string().into_bytes());
    }
    site
}

/// How a rollout with this in its plan is refused: the code, the exit code, and the hint.
fn refused(site: &Site, change: impl FnOnce(&mut Plan)) -> Option<(&'static str, u8, String)> {
    let mut start = asked("1.1.0", "default");
    change(&mut start.plan);
    let error = site.at(T0, |desk| seen::start(desk, &start)).err()?;
    Some((error.code(), error.exit().number(), error.hint().unwrap()))
}

#[test]
fn what_was_never_seen_is_refused_with_what_was_meant() {
    let site = seen_site();
    let hint = |change: &dyn Fn(&mut Plan)| {
        let (code, exit, hint) = refused(&site, change).unwrap();
        assert_eq!((code, exit), ("fleet.unseen", 64), "{hint}");
        hint
    };
    assert!(hint(&|plan| plan.rings.push(ring(&[], &["wbe-1"]))).contains("did you mean `web-1`?"));
    assert!(hint(&|plan| plan.rings.push(ring(&[("regoin", "eu-1")], &[]))).contains("did you mean `region`?"));
    assert!(hint(&|plan| plan.rings.push(ring(&[("region", "eu-2")], &[]))).contains("`region=eu-1`?"));
    let lease = |group: &str| Some(Lease { group: group.to_owned(), slots: 1, hold_on_failure: false });
    assert!(hint(&|plan| plan.lease = lease("{rack}")).contains("hosts have `region`"));
    let window = |label: &str| Window {
        days: Vec::new(),
        start: "22:00".to_owned(),
        end: "04:00".to_owned(),
        labels: [("region".to_owned(), label.to_owned())].into(),
        until: None,
    };
    assert!(hint(&|plan| plan.windows.push(window("us"))).contains("--unseen"));
    let right = |plan: &mut Plan| {
        plan.rings.push(ring(&[("region", "eu-1")], &["web-1", &HostId::named("web-2").to_string()]));
        plan.windows.push(window("eu-1"));
        plan.lease = lease("{region}");
    };
    assert_eq!(refused(&site, right), None);
    // A host that sends no inventory is known by what it reports.
    let begun = site.start("1.1.0", "default").unwrap().head;
    site.says(&begun.rollout, "web-9", State::Ok);
    for (host, known) in [("web-1", true), ("web-9", true), ("web-8", false)] {
        assert_eq!(site.at(after(1), |desk| seen::is_seen(desk, host).unwrap()), known, "{host}");
    }
    let explained = site.at(after(1), |desk| explain::explain(desk, &begun, "wbe-2").unwrap());
    assert_eq!((explained.seen, explained.near.as_deref()), (false, Some("web-2")));
}

#[test]
fn a_release_that_is_not_there_is_told_apart_from_its_neighbour() {
    let site = Site::new();
    site.release("1.4.1+0badcafe", &profile::bounds("default").unwrap());
    for (asked, near) in [("1.4.1", "1.4.1+0badcafe"), ("1.1.o", "1.1.0")] {
        let error = site.at(T0, |desk| desk.lies_there(asked)).unwrap_err();
        assert_eq!((error.code(), error.hint()), ("fleet.no_release", Some(format!("did you mean `{near}`?"))));
    }
    let error = site.at(T0, |desk| desk.lies_there("unlike-all")).unwrap_err();
    assert!(error.hint().unwrap().contains("fetchd fleet releases"), "{error}");
}

#[test]
fn what_no_host_would_take_is_a_mistake_in_the_command() {
    let site = Site::new();
    let start = |change: &dyn Fn(&mut Plan)| {
        let mut start = asked("1.1.0", "default");
        change(&mut start.plan);
        let error = site.at(T0, |desk| Proposal::start(desk, &start, false, GOOD_FOR)).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("fleet.usage", 64), "{error}");
        error.to_string()
    };
    let window = Window {
        days: Vec::new(),
        start: "25:00".to_owned(),
        end: "04:00".to_owned(),
        labels: std::collections::BTreeMap::new(),
        until: None,
    };
    assert!(start(&|plan| plan.windows.push(window.clone())).contains("HH:MM"));
    assert!(start(&|plan| plan.ok_sample = 2.0).contains("share"));
}

#[test]
fn a_step_is_not_opened_while_nobody_may_start() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    site.change(after(1), &Change::Pause).unwrap();
    let there = site.head();
    for change in [Change::Promote, Change::SkipStep] {
        let refused = site.change(after(2), &change).unwrap_err();
        assert_eq!((refused.code(), refused.exit().number()), ("fleet.phase", 64), "{change:?}");
        assert!(refused.hint().unwrap().contains("fetchd fleet resume"));
    }
    site.change(after(2), &resume(None)).unwrap();
    site.store.set(&site.names.latch(&begun.rollout, 0), b"{}".to_vec());
    for change in [Change::Promote, Change::SkipStep] {
        assert_eq!(site.change(after(3), &change).unwrap_err().code(), "fleet.halted", "{change:?}");
    }
    assert!(there != site.head(), "only the resume was written");
}

#[test]
fn what_lies_in_the_bucket_is_listed_with_what_became_of_it() {
    let site = Site::new();
    let first = site.start("1.0.0", "default").unwrap().head;
    site.change(after(1), &Change::Abort).unwrap();
    let start = |now, release: &str, supersede| {
        site.at(now, |desk| {
            let proposal = Proposal::start(desk, &asked(release, "default"), supersede, GOOD_FOR)?;
            proposal.write(desk, std::slice::from_ref(&site.online)).map(|done| done.head)
        })
    };
    let second = start(after(2), "1.1.0", false).unwrap();
    site.store.set(&site.names.latch(&second.rollout, 0), b"{}".to_vec());
    let third = start(after(3), "1.0.0", true).unwrap();
    // Another channel's, in the same bucket.
    let names = Names::new("p", "web", "beta").unwrap();
    site.store.set(&names.plan("r-beta", Some(1)), b"nobody has signed this".to_vec());
    let (rollouts, more) = site.at(after(4), |desk| list::rollouts(desk, 10).unwrap());
    let told: Vec<(&str, &str, bool)> =
        rollouts.iter().map(|one| (one.rollout.as_str(), one.outcome.word(), one.halted)).collect();
    assert_eq!(more, 0);
    for wanted in [
        (third.rollout.as_str(), "running", false),
        (second.rollout.as_str(), "replaced", true),
        (first.rollout.as_str(), "aborted", false),
        ("r-beta", "unknown", false),
    ] {
        assert!(told.contains(&wanted), "{wanted:?} is not in {told:?}");
    }
    let (one, more) = site.at(after(4), |desk| list::rollouts(desk, 1).unwrap());
    assert_eq!((one.len(), more), (1, 3));
    let (releases, _) = site.at(after(4), |desk| list::releases(desk, 10).unwrap());
    let told: Vec<(&str, bool, bool)> = releases
        .iter()
        .map(|one| (one.release.as_str(), one.current, one.described.as_ref().is_some_and(|of| of.seq == 1)))
        .collect();
    assert!(told.contains(&("1.0.0", true, true)) && told.contains(&("1.1.0", false, true)), "{told:?}");
}
