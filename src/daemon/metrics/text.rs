//! What there is to say of this host, in Prometheus's text format. Pure.

use crate::agent::{AgentStatus, ByWord, Counts, NoDelta, RESULT_WORDS};
use crate::clock::Timestamp;
use crate::control::Status;
use crate::exposition::Kind::{Counter, Gauge};
use crate::exposition::Text;

/// The whole text. `sourced`: releases are followed; `serves`: the generation that does.
pub(super) fn text(status: &Status, counts: &Counts, sourced: bool, serves: Option<u64>, now: Timestamp) -> String {
    let mut text = Text::new(&[("product", &status.product)]);
    let updates = &status.updates;
    let build = [("version", status.fetchd.as_str())];
    text.family("fetchd_build_info", Gauge, "The fetchd that supervises; always 1.").sample(&build, 1);
    if updates.version.is_some() || updates.sha256.is_some() {
        let [version, sha256] = [&updates.version, &updates.sha256].map(|value| value.as_deref().unwrap_or_default());
        text.family("fetchd_release_info", Gauge, "The release that runs, as far as it is known; always 1.")
            .sample(&[("version", version), ("sha256", sha256)], 1);
    }
    let began = now.0.saturating_sub(status.uptime_ms / 1000);
    text.family("fetchd_start_time_seconds", Gauge, "When the supervisor began, and its counters with it.")
        .sample(&[], began);
    text.family(
        "fetchd_configuration_refused",
        Gauge,
        "1 if the configuration file was changed and cannot be applied, else 0.",
    )
    .sample(&[], u8::from(status.configuration.is_some()));
    service(&mut text, status, counts, serves);
    handoffs(&mut text, status, counts);
    if sourced {
        polls(&mut text, updates, counts, now);
        downloads(&mut text, counts);
    }
    text.finish()
}

/// The processes, where fetchd runs them.
fn service(text: &mut Text, status: &Status, counts: &Counts, serves: Option<u64>) {
    if status.updates.driver.is_some() {
        return;
    }
    text.family("fetchd_generation", Gauge, "The number of the process that serves; 0 if none does.")
        .sample(&[], serves.unwrap_or_default());
    text.family("fetchd_service_processes", Gauge, "Processes of the service, by what they do.");
    for phase in PHASES {
        let many = status.service.generations.iter().filter(|generation| generation.phase == phase).count();
        text.sample(&[("phase", phase)], many);
    }
    text.family("fetchd_service_starts_total", Counter, "Processes of the service that became ready.")
        .sample(&[], counts.starts);
    text.family("fetchd_service_crashes_total", Counter, "Serving processes that ended without having been asked to.")
        .sample(&[], counts.crashes);
    text.family(
        "fetchd_service_crash_loops_total",
        Counter,
        "Times that a release crashed too often and was given up.",
    )
    .sample(&[], counts.crash_loops);
    text.family("fetchd_watching", Gauge, "1 while a process that has taken over is watched, else 0.")
        .sample(&[], u8::from(status.service.watching));
}

fn handoffs(text: &mut Text, status: &Status, counts: &Counts) {
    text.family("fetchd_handoffs_total", Counter, "Handoffs to a new process, by how they ended.");
    by_word(text, "outcome", &["ready", "failed"], &counts.handoffs);
    if let Some(took) = counts.handoff_took {
        text.family(
            "fetchd_handoff_last_duration_seconds",
            Gauge,
            "From the request to the readiness of the new process, of the last handoff that was ready.",
        )
        .sample(&[], took.as_secs_f64());
    }
    text.family("fetchd_watches_total", Counter, "Watches over a process that had taken over, by how they ended.");
    by_word(text, "outcome", &["passed", "failed"], &counts.watches);
    text.family("fetchd_rollbacks_total", Counter, "Releases that gave way to the one before, by why.");
    by_word(text, "cause", &["handoff", "watch", "crash_loop", "operator"], &counts.rollbacks);
    text.family("fetchd_quarantined_releases", Gauge, "Binaries that are never run again on this host.")
        .sample(&[], status.updates.quarantined);
}

fn polls(text: &mut Text, updates: &AgentStatus, counts: &Counts, now: Timestamp) {
    text.family("fetchd_polls_total", Counter, "Passes that began with a question to the source, by how they ended.");
    by_word(text, "outcome", &RESULT_WORDS, &counts.passes);
    if !counts.reasons.is_empty() {
        text.family(
            "fetchd_poll_reasons_total",
            Counter,
            "Passes that took nothing for a reason, by how they ended and the stable code of the reason.",
        );
        for (outcome, codes) in &counts.reasons {
            for (code, many) in codes.iter() {
                text.sample(&[("outcome", outcome), ("code", code)], many);
            }
        }
    }
    let time = |at: Option<Timestamp>| at.map_or(0, |at| at.0);
    text.family(
        "fetchd_last_successful_poll_timestamp_seconds",
        Gauge,
        "When a pass came to its end last, whatever it found; 0 if none has yet.",
    )
    .sample(&[], time(counts.succeeded));
    text.family("fetchd_last_failed_poll_timestamp_seconds", Gauge, "When a pass failed last; 0 if none has.")
        .sample(&[], time(counts.failed));
    if let Some(next) = updates.next_poll {
        text.family("fetchd_next_poll_timestamp_seconds", Gauge, "When the source is asked next.").sample(&[], next.0);
    }
    text.family(
        "fetchd_updates_off",
        Gauge,
        "1 if something on this host keeps updates from being made at all, else 0.",
    )
    .sample(&[], u8::from(updates.updates_off.is_some()));
    let held = updates.hold.as_ref().is_some_and(|hold| hold.until.is_none_or(|until| until > now));
    text.family("fetchd_held", Gauge, "1 while an operator's hold keeps releases from being taken, else 0.")
        .sample(&[], u8::from(held));
    if let Some(expires) = updates.keys.as_ref().and_then(|keys| keys.expires) {
        text.family(
            "fetchd_keys_expire_timestamp_seconds",
            Gauge,
            "When the trusted key set stops being good for new releases.",
        )
        .sample(&[], expires.0);
    }
}

fn downloads(text: &mut Text, counts: &Counts) {
    text.family(
        "fetchd_releases_fetched_total",
        Counter,
        "Releases that were fetched and verified, by the way they came.",
    );
    by_word(text, "path", &PATHS, &counts.fetched);
    text.family(
        "fetchd_received_bytes_total",
        Counter,
        "Bytes of artifacts and deltas whose download came to its end, by what they were.",
    );
    by_word(text, "path", &PATHS, &counts.received);
    text.family(
        "fetchd_saved_bytes_total",
        Counter,
        "Bytes that deltas were smaller than the artifacts in their place.",
    )
    .sample(&[], counts.saved);
    text.family("fetchd_full_artifacts_total", Counter, "Releases that came whole, by why not by a delta.");
    by_word(text, "reason", &NoDelta::ALL.map(NoDelta::code), &counts.whole);
    text.family(
        "fetchd_deltas_given_up_total",
        Counter,
        "Deltas that were tried and did not do, by the stable code of why.",
    );
    by_word(text, "code", &BAD_DELTA, &counts.bad_deltas);
}

/// A sample for each of `known`, so that what happens for the first time is an increase, and one for each other word.
fn by_word(text: &mut Text, label: &str, known: &[&str], counts: &ByWord) {
    for word in known {
        text.sample(&[(label, word)], counts.of(word));
    }
    for (word, many) in counts.iter().filter(|(word, _)| !known.contains(word)) {
        text.sample(&[(label, word)], many);
    }
}

/// The phases of a process, as `status` has them.
const PHASES: [&str; 5] = ["starting", "serving", "paused", "draining", "ending"];

/// What can be wrong with a delta; what can be wrong with any download comes on top.
const BAD_DELTA: [&str; 7] =
    ["delta.changed", "delta.damaged", "delta.format", "delta.memory", "delta.old", "delta.result", "delta.too_slow"];

/// The ways a release can come.
const PATHS: [&str; 3] = ["full", "dcz", "fxd-1"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::agent::KeysShown;
    use crate::failure::{Exit, Reported};
    use crate::restart::supervise;
    use crate::state::Hold;

    /// A host of which everything can be said.
    fn status() -> Status {
        let hold = Hold { reason: None, since: Timestamp(1), until: Some(Timestamp(900)) };
        let keys =
            KeysShown { version: 1, epoch: 0, expires: Some(Timestamp(5000)), release: Vec::new(), threshold: 1 };
        let generation = |generation, phase: &str| supervise::GenerationStatus {
            generation,
            pid: 10,
            phase: phase.to_owned(),
            version: None,
            uptime_ms: 0,
            status: None,
        };
        Status {
            schema: 1,
            product: "a\"pp".to_owned(),
            fetchd: "0.1.0".to_owned(),
            pid: 9,
            uptime_ms: 100_000,
            service: supervise::Status {
                generations: vec![generation(1, "draining"), generation(2, "draining"), generation(3, "serving")],
                watching: true,
                ..supervise::Status::default()
            },
            updates: AgentStatus {
                source: Some("file:/x".to_owned()),
                version: Some("1.2.0".to_owned()),
                next_poll: Some(Timestamp(1010)),
                hold: Some(hold),
                keys: Some(keys),
                quarantined: 2,
                ..AgentStatus::default()
            },
            configuration: None,
            supervisor: None,
            metrics: None,
        }
    }

    fn counts() -> Counts {
        let mut counts = Counts { handoff_took: Some(Duration::from_millis(125)), crashes: 4, ..Counts::default() };
        counts.passes.add("refused", 2);
        counts.reasons.entry("refused".to_owned()).or_default().add("trust.signature", 2);
        counts.whole.add("worker.died", 1);
        counts
    }

    fn whole() -> String {
        text(&status(), &counts(), true, Some(3), Timestamp(1000))
    }

    #[test]
    fn every_family_is_documented_with_its_kind_and_its_labels_and_nothing_else_is() {
        let page = include_str!("../../../docs/metrics.md");
        let text = whole();
        let mut rows = BTreeSet::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let sample = lines.peek().unwrap();
            let labels: Vec<&str> = sample
                .split(['{', ',', '}'])
                .filter_map(|part| part.split_once("=\"").map(|(label, _)| label))
                .filter(|label| *label != "product")
                .collect();
            rows.insert(format!("| `{name}` | {kind} | {} |", labels.join(", ")));
        }
        let starts = |line: &str| line.match_indices('|').nth(3).map(|(at, _)| line[..=at].to_owned());
        let documented: BTreeSet<String> =
            page.lines().filter(|line| line.starts_with("| `fetchd_")).filter_map(starts).collect();
        assert_eq!(documented, rows);
    }

    #[test]
    fn what_holds_now_is_said_beside_what_was_counted() {
        let text = whole();
        for line in [
            "fetchd_release_info{product=\"a\\\"pp\",version=\"1.2.0\",sha256=\"\"} 1",
            "fetchd_start_time_seconds{product=\"a\\\"pp\"} 900",
            "fetchd_generation{product=\"a\\\"pp\"} 3",
            "fetchd_service_processes{product=\"a\\\"pp\",phase=\"draining\"} 2",
            "fetchd_service_processes{product=\"a\\\"pp\",phase=\"paused\"} 0",
            "fetchd_watching{product=\"a\\\"pp\"} 1",
            "fetchd_service_crashes_total{product=\"a\\\"pp\"} 4",
            "fetchd_handoff_last_duration_seconds{product=\"a\\\"pp\"} 0.125",
            "fetchd_polls_total{product=\"a\\\"pp\",outcome=\"refused\"} 2",
            "fetchd_polls_total{product=\"a\\\"pp\",outcome=\"updated\"} 0",
            "fetchd_poll_reasons_total{product=\"a\\\"pp\",outcome=\"refused\",code=\"trust.signature\"} 2",
            "fetchd_full_artifacts_total{product=\"a\\\"pp\",reason=\"worker.died\"} 1",
            "fetchd_quarantined_releases{product=\"a\\\"pp\"} 2",
            // It has run out.
            "fetchd_held{product=\"a\\\"pp\"} 0",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn what_this_host_does_not_do_is_not_spoken_of() {
        let mut status = status();
        let text = text(&status, &counts(), false, Some(3), Timestamp(1000));
        assert!(text.contains("fetchd_generation") && !text.contains("poll") && !text.contains("_bytes_"), "{text}");
        status.updates.driver = Some("systemd".to_owned());
        let (code, exit) = ("state.damaged".to_owned(), Exit::State);
        status.updates.updates_off = Some(Reported { code, exit, message: String::new(), hint: None });
        let text = super::text(&status, &counts(), true, None, Timestamp(1000));
        assert!(!text.contains("fetchd_generation") && text.contains("fetchd_updates_off{product=\"a\\\"pp\"} 1\n"));
    }
}
