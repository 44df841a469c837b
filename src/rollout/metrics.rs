//! A view as metrics, in Prometheus's text format.

use std::time::Duration;

use super::view::{Standing, View, Word};
pub use crate::exposition::CONTENT_TYPE;
use crate::exposition::{Kind, Text};

/// A metric: its name and what it says. All of them are gauges.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its labels beside `product` and `channel`.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

const fn metric(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, labels, help }
}

/// Every metric, in the order of the text; `docs/fleet-page.md` has the same table.
pub const METRICS: [Metric; 19] = [
    metric("fetchd_fleet_rollout_info", &["rollout", "release"], "Which release is rolled out; always 1."),
    metric("fetchd_fleet_state", &["state"], "1 for the state that the rollout is in, 0 for the others."),
    metric("fetchd_fleet_seq", &[], "The number of the signed state."),
    metric("fetchd_fleet_attempt", &[], "Which try of the rollout this is, from 1."),
    metric("fetchd_fleet_begun_timestamp_seconds", &[], "When the rollout began."),
    metric("fetchd_fleet_valid_until_timestamp_seconds", &[], "Until when the signed state may be acted on."),
    metric("fetchd_fleet_halted", &[], "1 if the rollout has stopped because it went wrong."),
    metric("fetchd_fleet_hosts", &["state"], "Hosts, by how far they are."),
    metric("fetchd_fleet_hosts_known", &[], "Hosts of the inventory, or as many as are planned if that is more."),
    metric("fetchd_fleet_step_pct", &["ring", "step"], "Up to which share of its ring a step goes, in per cent."),
    metric("fetchd_fleet_step_expected_hosts", &["ring", "step"], "About how many hosts a step has of its own."),
    metric("fetchd_fleet_step_hosts", &["ring", "step", "state"], "Hosts of a step, by how far they are."),
    metric("fetchd_fleet_step_passed", &["ring", "step"], "1 once the next step may open."),
    metric("fetchd_fleet_view_age_seconds", &[], "How long ago the bucket was looked at: it grows while it hangs."),
    metric("fetchd_fleet_rollup_age_seconds", &[], "How long ago the evidence was read that the figures rest on."),
    metric("fetchd_fleet_rollup_stale", &[], "1 if that is too long ago for anything to start."),
    metric("fetchd_fleet_stewards", &[], "Stewards that hold a lease now."),
    metric("fetchd_fleet_leases", &["group"], "Leases of a group that are held."),
    metric("fetchd_fleet_cost_dollars", &["of"], "About what the requests cost, at the list prices of S3 Standard."),
];

/// The text of a view that was seen `age` ago.
pub fn text(view: &View, age: Duration) -> String {
    let mut text = Text::new(&[("product", &view.product), ("channel", &view.channel)]);
    METRICS.iter().for_each(|metric| write(&mut text, metric, view, age));
    text.finish()
}

fn write(text: &mut Text, metric: &Metric, view: &View, age: Duration) {
    let samples = match metric.name {
        "fetchd_fleet_view_age_seconds" => vec![(Vec::new(), age.as_secs().to_string())],
        name => samples(name, view),
    };
    if samples.is_empty() {
        return;
    }
    text.family(metric.name, Kind::Gauge, metric.help);
    for (values, value) in samples {
        let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        text.sample(&labels, value);
    }
}

/// The values of the labels, and the value.
type Sample = (Vec<String>, String);

fn samples(name: &str, view: &View) -> Vec<Sample> {
    let one = |value: String| vec![(Vec::new(), value)];
    let flag = |is: bool| u8::from(is).to_string();
    let hosts = &view.hosts;
    match name {
        "fetchd_fleet_rollout_info" => vec![(vec![view.rollout.clone(), view.release.clone()], "1".to_owned())],
        "fetchd_fleet_state" => {
            let all = Standing::ALL.into_iter();
            all.map(|state| (vec![state.word().to_owned()], flag(view.state == state))).collect()
        }
        "fetchd_fleet_seq" => one(view.seq.to_string()),
        "fetchd_fleet_attempt" => one(view.attempt.to_string()),
        "fetchd_fleet_begun_timestamp_seconds" => one(view.t0.0.to_string()),
        "fetchd_fleet_valid_until_timestamp_seconds" => one(view.valid_until.0.to_string()),
        "fetchd_fleet_halted" => one(flag(view.halt.is_some())),
        "fetchd_fleet_hosts" => vec![
            (vec!["waiting".to_owned()], hosts.waiting.to_string()),
            (vec!["under_way".to_owned()], hosts.under_way.to_string()),
            (vec!["ok".to_owned()], hosts.ok.to_string()),
            (vec!["bad".to_owned()], hosts.bad.to_string()),
            (vec!["silent".to_owned()], hosts.overdue.to_string()),
            (vec!["declined".to_owned()], hosts.declined.to_string()),
        ],
        "fetchd_fleet_hosts_known" => one(hosts.inventory.unwrap_or_default().max(hosts.planned).to_string()),
        "fetchd_fleet_rollup_age_seconds" => view.rollup.age_s.map(|age| one(age.to_string())).unwrap_or_default(),
        "fetchd_fleet_rollup_stale" => one(flag(view.rollup.stale)),
        "fetchd_fleet_stewards" => view.rollup.stewards.map(|many| one(many.to_string())).unwrap_or_default(),
        "fetchd_fleet_leases" => {
            view.leases.iter().map(|leases| (vec![leases.group.clone()], leases.used.to_string())).collect()
        }
        "fetchd_fleet_cost_dollars" => {
            let cost = &view.cost;
            let all = [("idle_month", cost.idle_month), ("open_month", cost.open_month), ("rollout", cost.rollout)];
            all.iter().map(|(of, dollars)| (vec![(*of).to_owned()], format!("{dollars:.6}"))).collect()
        }
        _ => steps(name, view),
    }
}

fn steps(name: &str, view: &View) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (ring, step) in view.rings.iter().flat_map(|ring| ring.steps.iter().map(move |step| (ring, step))) {
        let at = [ring.name.clone(), step.number.to_string()];
        let mut push = |more: &[&str], value: String| {
            samples.push((at.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect(), value));
        };
        match name {
            "fetchd_fleet_step_pct" => push(&[], step.pct.to_string()),
            "fetchd_fleet_step_expected_hosts" => push(&[], step.expected.to_string()),
            "fetchd_fleet_step_passed" => push(&[], u8::from(step.state == Word::Passed).to_string()),
            "fetchd_fleet_step_hosts" => {
                push(&["started"], step.started.to_string());
                push(&["ok"], step.ok.to_string());
                push(&["bad"], step.bad.to_string());
                push(&["silent"], step.overdue.to_string());
                push(&["declined"], step.declined.to_string());
            }
            _ => {}
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rollout::view::tests::view;

    #[test]
    fn every_metric_has_a_meaning_a_value_and_a_line_in_the_documentation() {
        let mut view = view();
        view.leases = vec![crate::rollout::view::Leases { group: "a\"\\\nb".to_owned(), used: 2, slots: None }];
        let text = text(&view, Duration::from_secs(7));
        let documented = include_str!("../../docs/fleet-page.md");
        for Metric { name, labels, .. } in METRICS {
            assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
            assert!(text.contains(&format!("\n{name}{{product=\"app\",channel=\"stable\"")), "{name}");
            assert!(documented.contains(&format!("| `{name}` | {} |", labels.join(", "))), "{name} is not documented");
        }
        assert!(text.contains("fetchd_fleet_view_age_seconds{product=\"app\",channel=\"stable\"} 7\n"));
        assert!(text.contains("fetchd_fleet_state{product=\"app\",channel=\"stable\",state=\"running\"} 1\n"));
        assert!(text.contains("fetchd_fleet_leases{product=\"app\",channel=\"stable\",group=\"a\\\"\\\\\\nb\"} 2\n"));
    }

    #[test]
    fn no_sample_comes_twice() {
        let text = text(&view(), Duration::ZERO);
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(s, _)| s)
            .collect();
        assert_eq!(samples.iter().collect::<BTreeSet<_>>().len(), samples.len());
    }
}
