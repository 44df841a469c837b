//! What carries the bytes: servers that lie, stall, send elsewhere, answer something else or break off.

mod bodies;
mod documents;
mod lengths;
mod limits;
mod parts;
mod redirects;
mod shown;

use fetchd_fetchers::conformance::scripted::{Request, Step};
use fetchd_stand_ins::github::{Fault as GitHubFault, On, Side};
use fetchd_stand_ins::s3::{Fault as S3Fault, Operation, When};

use crate::bench::{Bench, Ended};
use crate::carrier::Carrier;
use crate::maker::{POINTER, SEQ, artifact_name};
use crate::table::{Case, Files, Verdict};

pub const CASES: &[Case] = &[
    bodies::ENDLESS,
    bodies::SLOW,
    bodies::STALLED,
    lengths::LYING,
    bodies::ENCODED,
    redirects::DOWNGRADE,
    redirects::SECRETS,
    redirects::LOOP,
    redirects::HOSTILE,
    lengths::ERROR_PAGE,
    shown::NOT_MODIFIED,
    parts::WRONG_RANGE,
    parts::TAMPERED,
    limits::EXHAUSTED,
    limits::TOO_MANY,
    parts::CONDITIONS,
    shown::NOT_ALL_THERE,
    documents::MALFORMED,
];

/// The release that every case offers.
const VERSION: &str = "1.1.0";

/// The artifact's name at the source.
fn artifact() -> String {
    artifact_name(VERSION)
}

/// Paths at the web server.
fn artifact_path() -> String {
    format!("/{}", artifact())
}
fn pointer_path() -> String {
    format!("/{POINTER}")
}

/// Shows a good release, of which the server makes something bad.
fn offer(bench: &mut Bench) -> Files {
    let good = bench.maker.good(SEQ, VERSION);
    bench.show(&good);
    good
}

/// A pass that ends as told; then the server is a good one again, and the next release is taken.
#[track_caller]
fn ends(bench: &mut Bench, flags: &[&str], verdict: &Verdict) -> Ended {
    let ended = bench.apply(flags);
    bench.assert_verdict(&ended, verdict);
    bench.carrier.behave();
    bench.assert_recovers();
    ended
}

/// The same for a release that is taken, whatever the server does.
#[track_caller]
fn takes(bench: &mut Bench, verdict: &Verdict) {
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert!(std::fs::read(bench.program()).unwrap() == crate::maker::program(VERSION), "other bytes were installed");
    bench.carrier.behave();
    bench.assert_recovers();
}

/// How each kind of server does the same to a body.
struct Deed {
    http: Vec<Step>,
    s3: Option<S3Fault>,
    github: Option<GitHubFault>,
}

impl Deed {
    /// Done to each answer with the artifact.
    fn at_artifact(self, bench: &Bench) {
        match &bench.carrier {
            Carrier::File(_) => panic!("a directory does nothing of its own"),
            Carrier::Http { origin, .. } => origin.script_every(&artifact_path(), self.http),
            Carrier::S3(server) => {
                server.inject(self.s3.unwrap(), When::any().operation(Operation::Get).key(&artifact()));
            }
            // The first bytes that are asked for are those of the bundle.
            Carrier::GitHub { github, .. } => github.inject(On::storage().after(1), self.github.unwrap()),
        }
    }

    /// Done to each answer with the bundle.
    fn at_pointer(self, bench: &Bench) {
        match &bench.carrier {
            Carrier::File(_) => panic!("a directory does nothing of its own"),
            Carrier::Http { origin, .. } => origin.script_every(&pointer_path(), self.http),
            Carrier::S3(server) => {
                server.inject(self.s3.unwrap(), When::any().operation(Operation::Get).key(POINTER));
            }
            Carrier::GitHub { github, .. } => github.inject(On::storage(), self.github.unwrap()),
        }
    }
}

/// The requests to the web server for `path` so far.
fn asked(bench: &Bench, path: &str) -> Vec<Request> {
    bench.carrier.http().requests().into_iter().filter(|request| request.path_only() == path).collect()
}

/// The requests for the artifact's bytes so far: whether each was for the rest of them.
fn artifact_requests(bench: &Bench) -> Vec<bool> {
    let rest = |range: Option<&str>| range.is_some_and(|range| !range.starts_with("bytes=0-"));
    match &bench.carrier {
        Carrier::File(_) => Vec::new(),
        Carrier::Http { .. } => {
            asked(bench, &artifact_path()).iter().map(|request| rest(request.header("range"))).collect()
        }
        Carrier::S3(server) => {
            let requests = server.requests();
            let gets = requests.iter().filter(|r| r.operation == Operation::Get && r.key == artifact());
            gets.map(|request| rest(request.header("range"))).collect()
        }
        Carrier::GitHub { github, .. } => {
            let requests = github.requests();
            let bytes = requests.iter().filter(|request| request.side == Side::Storage);
            // The first are the bundle's.
            bytes.skip(1).map(|request| rest(request.header("range"))).collect()
        }
    }
}

/// Forgets the requests so far.
fn forget_requests(bench: &Bench) {
    match &bench.carrier {
        Carrier::File(_) => {}
        Carrier::Http { origin, .. } => origin.clear_requests(),
        Carrier::S3(server) => server.clear_requests(),
        Carrier::GitHub { github, .. } => github.clear_requests(),
    }
}
