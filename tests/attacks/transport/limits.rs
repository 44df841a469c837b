//! Sources that want to be asked less often.

use std::time::{Duration, SystemTime};

use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::github::{Fault as GitHubFault, On};
use fetchd_stand_ins::s3::{Fault as S3Fault, Refusal, When};

use super::{forget_requests, offer, pointer_path};
use crate::bench::Bench;
use crate::carrier::Carrier;
use crate::table::{Carry, Case, Play, Verdict};

pub const EXHAUSTED: Case = Case {
    id: 63,
    attack: "the hour's requests are used up",
    fixture: "quota-exhausted",
    plays: &[
        Play::Act {
            variant: "",
            over: Carry::WEB,
            verdict: Verdict::fetch(31, "source.throttled"),
            act: |bench, verdict| {
                let wait = Duration::from_secs(2400);
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let reset = (now + wait).as_secs().to_string();
                let steps = vec![
                    Step::Status(403),
                    Step::header("X-RateLimit-Remaining", "0"),
                    Step::header("X-RateLimit-Reset", &reset),
                ];
                throttled(bench, verdict, steps, Some(wait), GitHubFault::PrimaryLimit(wait));
            },
        },
        Play::Proved {
            by: &[
                ("tests/github.rs", "r63_an_exhausted_quota_is_waited_for_and_stops_nothing_else"),
                ("src/agent/schedule.rs", "what_the_source_asks_for_is_the_least_wait"),
            ],
            verdict: Verdict::fetch(31, "source.throttled"),
        },
    ],
};

pub const TOO_MANY: Case = Case {
    id: 64,
    attack: "too many requests, and no word about when to come back",
    fixture: "too-many-requests",
    plays: &[
        Play::Act {
            variant: "",
            over: Carry::WEB,
            verdict: Verdict::fetch(31, "source.throttled"),
            act: |bench, verdict| {
                throttled(bench, verdict, vec![Step::Status(429)], None, GitHubFault::TooMany(None));
            },
        },
        Play::Proved {
            by: &[
                ("fetchers/src/net/answer.rs", "r64_a_throttle_without_a_time_leaves_the_backoff_to_the_caller"),
                ("src/agent/schedule.rs", "failures_back_off_by_cause_and_a_good_pass_forgets_them"),
            ],
            verdict: Verdict::fetch(31, "source.throttled"),
        },
    ],
};

/// One pass asks once, ends, and leaves it at that.
fn throttled(bench: &mut Bench, verdict: &Verdict, steps: Vec<Step>, wait: Option<Duration>, github: GitHubFault) {
    offer(bench);
    match &bench.carrier {
        Carrier::File(_) => panic!("a directory limits nobody"),
        Carrier::Http { origin, .. } => origin.script_every(&pointer_path(), steps),
        Carrier::S3(server) => server.inject(S3Fault::Refuse(Refusal::SlowDown(wait)), When::any()),
        Carrier::GitHub { github: server, .. } => server.inject(On::api("*"), github),
    }
    forget_requests(bench);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    let asked = match &bench.carrier {
        Carrier::File(_) => 0,
        Carrier::Http { origin, .. } => origin.requests().len(),
        Carrier::S3(server) => server.requests().len(),
        Carrier::GitHub { github, .. } => github.requests().len(),
    };
    assert_eq!(asked, 1, "it asked again");
    bench.carrier.behave();
    bench.assert_recovers();
}
