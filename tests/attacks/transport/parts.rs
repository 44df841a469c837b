//! Downloads that broke off, and what is served or done before they go on.

use std::fs;

use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::github::Fault as GitHubFault;
use fetchd_stand_ins::s3::Fault as S3Fault;

use super::lengths::breaking_off;
use super::{Deed, VERSION, artifact, artifact_path, artifact_requests, forget_requests, offer, takes};
use crate::bench::Bench;
use crate::carrier::Carrier;
use crate::maker::program;
use crate::table::{Carry, Case, Play, Verdict};

pub const WRONG_RANGE: Case = Case {
    id: 61,
    attack: "the rest that was asked for is the rest of something else",
    fixture: "wrong-part",
    plays: &[
        Play::Act {
            variant: "another-start",
            over: Carry::WEB,
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                cut(bench);
                let to = program(VERSION).len() - 1;
                let range = format!("bytes 41-{to}/{}", to + 1);
                Deed {
                    http: vec![Step::header("Content-Range", &range)],
                    s3: Some(S3Fault::WrongRangeStart),
                    github: Some(GitHubFault::WrongRange),
                }
                .at_rest(bench);
                restarts(bench, verdict, &[true, false]);
            },
        },
        Play::Act {
            variant: "another-total",
            over: Carry::NET,
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                cut(bench);
                let to = program(VERSION).len() - 1;
                Deed {
                    http: vec![Step::header("Content-Range", &format!("bytes 40-{to}/{}", to + 2))],
                    s3: Some(S3Fault::WrongRangeTotal),
                    github: None,
                }
                .at_rest(bench);
                restarts(bench, verdict, &[true, false]);
            },
        },
        Play::Act {
            variant: "another-etag",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                cut(bench);
                Deed {
                    http: vec![Step::header("ETag", "\"another\"")],
                    s3: None,
                    github: Some(GitHubFault::OtherEtag),
                }
                .at_rest(bench);
                restarts(bench, verdict, &[true, false]);
            },
        },
        Play::Act {
            variant: "all-of-it",
            over: Carry::NET,
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                let files = cut(bench);
                Deed {
                    http: vec![
                        Step::Status(200),
                        Step::WithoutHeader("Content-Range".to_owned()),
                        Step::Instead(files[&artifact()].clone()),
                    ],
                    s3: Some(S3Fault::RangeIgnored),
                    github: None,
                }
                .at_rest(bench);
                restarts(bench, verdict, &[true]);
            },
        },
        Play::Act {
            variant: "another-version",
            over: Carry::HTTP,
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                let files = cut(bench);
                // The same bytes under another ETag, so that `If-Range` does not hold.
                bench.carrier.http().put(&artifact_path(), &files[&artifact()]);
                restarts(bench, verdict, &[true]);
            },
        },
    ],
};

pub const TAMPERED: Case = Case {
    id: 62,
    attack: "the part on disk is changed before the download goes on",
    fixture: "tampered-part",
    plays: &[Play::Act {
        variant: "",
        over: Carry::WEB,
        verdict: Verdict::accepted(),
        act: |bench, verdict| {
            cut(bench);
            let parts = bench.parts();
            let part = parts.iter().find(|path| path.extension().unwrap() == "part").unwrap();
            let mut bytes = fs::read(part).unwrap();
            bytes[20] ^= 1;
            fs::write(part, bytes).unwrap();
            restarts(bench, verdict, &[true, false]);
        },
    }],
};

pub const CONDITIONS: Case = Case {
    id: 65,
    attack: "S3 answers as some of its servers do",
    fixture: "s3-answers",
    plays: &[
        // A pass by command asks without a condition.
        Play::Proved {
            by: &[("stand-ins/tests/s3/wire_poll.rs", "not_modified_is_seen_with_and_without_an_etag")],
            verdict: Verdict { exit: 0, code: "", event: "", change: crate::table::Change::Nothing },
        },
        Play::Act {
            variant: "replaced-while-it-broke-off",
            over: &[Carry::S3],
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                let files = cut(bench);
                // The same bytes, in parts: another ETag, so that `If-Match` fails.
                bench.carrier.s3().put_multipart(&artifact(), files[&artifact()].clone());
                restarts(bench, verdict, &[true, false]);
                assert!(bench.carrier.s3().requests().iter().any(|request| request.status == Some(412)));
            },
        },
        Play::Act {
            variant: "checksum-of-parts",
            over: &[Carry::S3],
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                let files = offer(bench);
                bench.carrier.s3().put_multipart(&artifact(), files[&artifact()].clone());
                takes(bench, verdict);
            },
        },
        Play::Act {
            variant: "checksum-of-all-with-a-part",
            over: &[Carry::S3],
            verdict: Verdict::accepted(),
            act: |bench, verdict| {
                let files = offer(bench);
                bench.carrier.s3().put_with_sha256(&artifact(), files[&artifact()].clone());
                break_off(bench);
                Deed { http: Vec::new(), s3: Some(S3Fault::ChecksumOnRange), github: None }.at_rest(bench);
                restarts(bench, verdict, &[true]);
            },
        },
    ],
};

impl Deed {
    /// Done to the answer to the next request for the artifact, and to no other.
    fn at_rest(self, bench: &Bench) {
        use fetchd_stand_ins::github::On;
        use fetchd_stand_ins::s3::{Operation, When};
        forget_requests(bench);
        match &bench.carrier {
            Carrier::File(_) => panic!("a directory does nothing of its own"),
            Carrier::Http { origin, .. } => origin.script(&artifact_path(), self.http),
            Carrier::S3(server) => {
                server.inject(self.s3.unwrap(), When::any().operation(Operation::Get).key(&artifact()).once());
            }
            Carrier::GitHub { github, .. } => github.inject(On::storage().after(1).once(), self.github.unwrap()),
        }
    }
}

/// A good release, of which a part has come.
fn cut(bench: &mut Bench) -> crate::table::Files {
    let files = offer(bench);
    break_off(bench);
    files
}

fn break_off(bench: &mut Bench) {
    breaking_off().at_artifact(bench);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, &Verdict::fetch(30, "source.incomplete").leaving_a_part());
    let part = bench.parts().into_iter().find(|path| path.extension().unwrap() == "part").unwrap();
    assert!(fs::metadata(part).unwrap().len() >= 40, "what came is kept");
    bench.carrier.behave();
    forget_requests(bench);
}

/// The next pass asks for the artifact so often (`true`: for the rest of it) and takes the release.
#[track_caller]
fn restarts(bench: &mut Bench, verdict: &Verdict, requests: &[bool]) {
    let ended = bench.apply(&[]);
    assert_eq!(artifact_requests(bench), requests, "which requests were for the rest: {ended:#?}");
    bench.assert_verdict(&ended, verdict);
    assert!(fs::read(bench.program()).unwrap() == program(VERSION), "other bytes were installed");
    bench.carrier.behave();
    bench.assert_recovers();
}
