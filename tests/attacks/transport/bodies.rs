//! Bodies that do not end, hardly come, do not come, or come encoded.

use std::io::Write as _;
use std::time::{Duration, Instant};

use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::github::Fault as GitHubFault;
use fetchd_stand_ins::s3::Fault as S3Fault;

use super::{Deed, VERSION, artifact, artifact_path, ends, offer, pointer_path};
use crate::bench::Bench;
use crate::maker::{Maker, SEQ, binding, program};
use crate::table::{Carry, Case, Files, Play, Verdict};

/// Longer than any pass may take.
const FOR_EVER: Duration = Duration::from_secs(60);

pub const ENDLESS: Case = Case {
    id: 50,
    attack: "more comes than was announced",
    fixture: "endless-body",
    plays: &[
        Play::Act {
            variant: "artifact-without-end",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
            act: artifact_without_end,
        },
        Play::Serve {
            variant: "artifact-of-a-byte-more",
            make: a_byte_more,
            flags: &[],
            over: Carry::EVERY,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
        },
        Play::Act {
            variant: "bundle-without-end",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "source.document_too_large"),
            act: bundle_without_end,
        },
        Play::Act {
            variant: "signature-without-end",
            over: Carry::HTTP,
            verdict: Verdict::fetch(20, "signature.malformed"),
            act: signature_without_end,
        },
    ],
};

pub const SLOW: Case = Case {
    id: 51,
    attack: "the artifact comes a byte at a time",
    fixture: "slow-body",
    plays: &[
        Play::Proved {
            by: &[
                ("src/fetch/download/tests.rs", "a_body_that_stalls_or_crawls_is_given_up"),
                ("tests/worker/origin.rs", "a_trickle"),
            ],
            verdict: Verdict::fetch(30, "download.too_slow").leaving_a_part(),
        },
        Play::Act {
            variant: "until-the-deadline",
            over: Carry::NET,
            verdict: Verdict::fetch(30, "download.deadline").leaving_a_part(),
            act: slow,
        },
    ],
};

pub const STALLED: Case = Case {
    id: 52,
    attack: "nothing comes after the headers",
    fixture: "stalled-body",
    plays: &[
        Play::Act {
            variant: "artifact",
            over: Carry::WEB,
            verdict: Verdict::fetch(30, "download.stalled").leaving_a_part(),
            act: artifact_stalls,
        },
        Play::Act {
            variant: "bundle",
            over: Carry::WEB,
            verdict: Verdict::fetch(30, "source.deadline"),
            act: bundle_stalls,
        },
    ],
};

pub const ENCODED: Case = Case {
    id: 54,
    attack: "the body is compressed on its way",
    fixture: "content-encoding",
    plays: &[
        Play::Act {
            variant: "artifact",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other").after_admission(),
            act: artifact_encoded,
        },
        Play::Act {
            variant: "bundle",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other"),
            act: bundle_encoded,
        },
        Play::Act {
            variant: "without-saying-so",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
            act: encoded_in_silence,
        },
    ],
};

/// So many bytes without a length, and then a connection that stays open: whoever reads on waits.
fn endless(enough: usize) -> Vec<Step> {
    vec![
        Step::Instead(vec![b'#'; 1 << 20]),
        Step::WithoutHeader("Content-Length".to_owned()),
        Step::Send(enough),
        Step::Stall(FOR_EVER),
    ]
}

/// The pass ended because of what came, not because nothing came any more.
#[track_caller]
fn ends_at_once(bench: &mut Bench, flags: &[&str], verdict: &Verdict) {
    let begun = Instant::now();
    let ended = bench.apply(flags);
    assert!(begun.elapsed() < FOR_EVER / 3, "it read on for {:?}", begun.elapsed());
    bench.assert_verdict(&ended, verdict);
    bench.carrier.behave();
    bench.assert_recovers();
}

fn artifact_without_end(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    bench.carrier.http().script_every(&artifact_path(), endless(program(VERSION).len() + 1));
    ends_at_once(bench, &[], verdict);
}

fn bundle_without_end(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    bench.carrier.http().script_every(&pointer_path(), endless(512 * 1024 + 1));
    ends_at_once(bench, &[], verdict);
}

fn signature_without_end(bench: &mut Bench, verdict: &Verdict) {
    let bound = bench.maker.bound(VERSION, &binding(VERSION));
    bench.show(&bound);
    let signature = format!("{}.minisig", artifact_path());
    bench.carrier.http().script_every(&signature, endless(16 * 1024 + 1));
    bench.follows = Some(artifact());
    let begun = Instant::now();
    let ended = bench.apply(&["--signature", "bound"]);
    assert!(begun.elapsed() < FOR_EVER / 3, "it read on for {:?}", begun.elapsed());
    bench.assert_verdict(&ended, verdict);
    bench.carrier.behave();
    bench.assert_takes(&bound, VERSION, &["--signature", "bound"]);
}

fn a_byte_more(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, VERSION);
    files.get_mut(&artifact()).unwrap().push(b'\n');
    files
}

fn slow(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    let http = vec![Step::Trickle(10_000, Duration::from_millis(50))];
    Deed { http, s3: Some(S3Fault::Rate(1)), github: None }.at_artifact(bench);
    ends(bench, &["--download-deadline", "1s"], verdict);
}

fn stall() -> Deed {
    Deed {
        http: vec![Step::Send(0), Step::Stall(FOR_EVER)],
        s3: Some(S3Fault::Stall(0)),
        github: Some(GitHubFault::Stall),
    }
}

fn artifact_stalls(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    stall().at_artifact(bench);
    ends(bench, &["--stall-deadline", "1s"], verdict);
}

fn bundle_stalls(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    stall().at_pointer(bench);
    ends(bench, &["--poll-deadline", "1s"], verdict);
}

pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn encoded(bytes: &[u8]) -> Deed {
    Deed {
        http: vec![Step::Instead(compressed(bytes)), Step::header("Content-Encoding", "gzip")],
        s3: None,
        github: Some(GitHubFault::Header("content-encoding", "gzip")),
    }
}

fn artifact_encoded(bench: &mut Bench, verdict: &Verdict) {
    let files = offer(bench);
    encoded(&files[&artifact()]).at_artifact(bench);
    ends(bench, &[], verdict);
}

fn bundle_encoded(bench: &mut Bench, verdict: &Verdict) {
    let files = offer(bench);
    encoded(&files[crate::maker::POINTER]).at_pointer(bench);
    ends(bench, &[], verdict);
}

fn encoded_in_silence(bench: &mut Bench, verdict: &Verdict) {
    let files = offer(bench);
    let deed = Deed { http: vec![Step::Instead(compressed(&files[&artifact()]))], s3: None, github: None };
    deed.at_artifact(bench);
    ends(bench, &[], verdict);
}
