//! Lengths that lie, bodies that break off, and pages that are no artifact.

use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::github::{Fault as GitHubFault, On};
use fetchd_stand_ins::s3::{Fault as S3Fault, Refusal};

use super::{Deed, VERSION, artifact, artifact_path, ends, offer, pointer_path};
use crate::bench::Bench;
use crate::maker::{Maker, SEQ, program};
use crate::table::{Carry, Case, Files, Play, Verdict};

pub const LYING: Case = Case {
    id: 53,
    attack: "the length that is announced is not the body's",
    fixture: "content-length-lies",
    plays: &[
        Play::Act {
            variant: "artifact-shorter",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
            act: |bench, verdict| lies(bench, verdict, -5),
        },
        Play::Act {
            variant: "artifact-longer",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
            act: |bench, verdict| lies(bench, verdict, 5),
        },
        Play::Act {
            variant: "artifact-breaks-off",
            over: Carry::WEB,
            verdict: Verdict::fetch(30, "source.incomplete").leaving_a_part(),
            act: artifact_breaks_off,
        },
        Play::Act {
            variant: "bundle-shorter",
            over: Carry::HTTP,
            verdict: Verdict::refused(20, "bundle.malformed"),
            act: |bench, verdict| bundle_lies(bench, verdict, -5),
        },
        Play::Act {
            variant: "bundle-longer",
            over: Carry::HTTP,
            verdict: Verdict::fetch(30, "source.incomplete"),
            act: |bench, verdict| bundle_lies(bench, verdict, 5),
        },
        Play::Act {
            variant: "bundle-breaks-off",
            over: Carry::WEB,
            verdict: Verdict::fetch(30, "source.incomplete"),
            act: bundle_breaks_off,
        },
    ],
};

pub const ERROR_PAGE: Case = Case {
    id: 59,
    attack: "an error page comes in place of the artifact",
    fixture: "error-page",
    plays: &[
        Play::Serve {
            variant: "nothing-there",
            make: without_artifact,
            flags: &[],
            over: Carry::EVERY,
            verdict: Verdict::fetch(30, "source.not_ready").after_admission(),
        },
        Play::Act {
            variant: "status-404",
            over: Carry::NET,
            verdict: Verdict::fetch(30, "source.not_ready").after_admission(),
            act: page_with_404,
        },
        Play::Act {
            variant: "status-404-of-a-listed-asset",
            over: Carry::GITHUB,
            verdict: Verdict::fetch(30, "source.changed").after_admission(),
            act: listed_and_gone,
        },
        Play::Act {
            variant: "status-200",
            over: Carry::HTTP,
            verdict: Verdict::fetch(23, "download.size").after_admission(),
            act: page_with_200,
        },
        Play::Act {
            variant: "bundle-status-200",
            over: Carry::HTTP,
            verdict: Verdict::refused(20, "bundle.malformed"),
            act: |bench, verdict| {
                offer(bench);
                bench.carrier.http().script_every(&pointer_path(), vec![Step::Instead(PAGE.to_vec())]);
                ends(bench, &[], verdict);
            },
        },
    ],
};

const PAGE: &[u8] = br#"{"message":"Not Found","documentation_url":"https://docs.example.com/rest"}"#;

fn lies(bench: &mut Bench, verdict: &Verdict, by: i64) {
    offer(bench);
    let length = program(VERSION).len() as i64 + by;
    let path = artifact_path();
    bench.carrier.http().script_every(&path, vec![Step::header("Content-Length", &length.to_string())]);
    ends(bench, &[], verdict);
}

fn bundle_lies(bench: &mut Bench, verdict: &Verdict, by: i64) {
    let files = offer(bench);
    let length = files[crate::maker::POINTER].len() as i64 + by;
    let path = pointer_path();
    bench.carrier.http().script_every(&path, vec![Step::header("Content-Length", &length.to_string())]);
    ends(bench, &[], verdict);
}

/// After forty bytes, or after half of them.
pub fn breaking_off() -> Deed {
    Deed { http: vec![Step::Send(40), Step::Close], s3: Some(S3Fault::Truncate(40)), github: Some(GitHubFault::Short) }
}

fn artifact_breaks_off(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    breaking_off().at_artifact(bench);
    ends(bench, &[], verdict);
}

fn bundle_breaks_off(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    breaking_off().at_pointer(bench);
    ends(bench, &[], verdict);
}

fn without_artifact(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, VERSION);
    files.remove(&artifact());
    files
}

fn page_with_404(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    let head = format!("HTTP/1.1 404 X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", PAGE.len());
    let http = vec![Step::Raw([head.as_bytes(), PAGE].concat())];
    Deed { http, s3: Some(S3Fault::Refuse(Refusal::NoSuchKey)), github: None }.at_artifact(bench);
    ends(bench, &[], verdict);
}

/// Not what the storage says: what the API says of the asset.
fn listed_and_gone(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    bench.carrier.github().inject(On::api("*/releases/assets/*").after(1), GitHubFault::Status(404));
    ends(bench, &[], verdict);
}

fn page_with_200(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    bench.carrier.http().script_every(&artifact_path(), vec![Step::Instead(PAGE.to_vec())]);
    ends(bench, &[], verdict);
}
