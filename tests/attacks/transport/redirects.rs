//! Redirects: where they may lead, and what goes along.

use fetchd_fetchers::conformance::scripted::{Request, ScriptedOrigin, Step};
use fetchd_stand_ins::github::{Fault as GitHubFault, On, Side};

use super::{Deed, artifact_path, ends, offer, pointer_path, takes};
use crate::bench::Bench;
use crate::carrier::{Carrier, REPOSITORY};
use crate::table::{Carry, Case, Play, Verdict};

pub const DOWNGRADE: Case = Case {
    id: 55,
    attack: "a redirect leads from https to something else",
    fixture: "redirect-downgrade",
    plays: &[
        Play::Proved {
            by: &[
                ("fetchers/tests/http/tls.rs", "r55_https_is_never_redirected_to_http"),
                ("fetchers/src/net/redirect.rs", "https_never_falls_to_http"),
            ],
            verdict: Verdict::fetch(30, "source.other"),
        },
        Play::Act {
            variant: "to-a-file",
            over: Carry::HTTP,
            verdict: Verdict::fetch(30, "source.other"),
            act: to_a_file,
        },
    ],
};

pub const SECRETS: Case = Case {
    id: 56,
    attack: "a redirect to another host asks for the secrets",
    fixture: "redirect-secrets",
    plays: &[Play::Act {
        variant: "",
        over: &[Carry::Http, Carry::GitHub],
        verdict: Verdict::accepted(),
        act: secrets_stay_at_home,
    }],
};

pub const LOOP: Case = Case {
    id: 57,
    attack: "redirects lead round and round",
    fixture: "redirect-loop",
    plays: &[
        Play::Act {
            variant: "bundle",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other"),
            act: bundle_loops,
        },
        Play::Act {
            variant: "artifact",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other").after_admission(),
            act: artifact_loops,
        },
    ],
};

pub const HOSTILE: Case = Case {
    id: 58,
    attack: "a redirect names bytes that are no text",
    fixture: "redirect-bytes",
    plays: &[
        Play::Act {
            variant: "bundle",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other"),
            act: bundle_to_bytes,
        },
        Play::Act {
            variant: "artifact",
            over: &[Carry::Http, Carry::GitHub],
            verdict: Verdict::fetch(30, "source.other").after_admission(),
            act: artifact_to_bytes,
        },
    ],
};

fn to_a_file(bench: &mut Bench, verdict: &Verdict) {
    let files = offer(bench);
    let bundle = bench.path().join("bundle");
    std::fs::write(&bundle, &files[crate::maker::POINTER]).unwrap();
    let to = format!("file://{}", bundle.display());
    bench.carrier.http().script_every(&pointer_path(), vec![Step::Redirect(to)]);
    ends(bench, &[], verdict);
}

const BEARER: &str = "hunter2-bearer";
const HEADER: &str = "hunter2-header";

fn secrets_stay_at_home(bench: &mut Bench, verdict: &Verdict) {
    let files = offer(bench);
    let token = bench.path().join("token");
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token);
        std::io::Write::write_all(&mut file.unwrap(), BEARER.as_bytes()).unwrap();
    }
    let option = |name: &str, value: &str| ["--source-options".to_owned(), format!("{name}={value}")];
    if let Carrier::GitHub { github, .. } = &bench.carrier {
        github.make_private(REPOSITORY);
        github.token(BEARER);
        bench.flags = option("token_file", token.to_str().unwrap()).to_vec();
        github.clear_requests();
        takes(bench, verdict);
        let requests = bench.carrier.github().requests();
        let secret = |request: &fetchd_stand_ins::github::Request| {
            request.headers.iter().any(|(_, value)| value.contains(BEARER))
        };
        for side in [Side::Api, Side::Storage] {
            let mut asked = requests.iter().filter(|request| request.side == side).peekable();
            assert!(asked.peek().is_some(), "{side:?} was asked");
            assert!(asked.all(|request| secret(request) == (side == Side::Api)), "{requests:#?}");
        }
        return;
    }
    let away = ScriptedOrigin::start();
    let home = bench.carrier.http();
    home.clear_requests();
    for path in [artifact_path(), pointer_path()] {
        away.put(&path, &files[&path[1..]]);
        home.script_every(&path, vec![Step::Redirect(away.url(&path).into())]);
    }
    bench.flags = [
        option("header", &format!("X-Api-Key: {HEADER}")),
        option("header", &format!("PRIVATE-TOKEN: {HEADER}")),
        option("bearer_file", token.to_str().unwrap()),
    ]
    .concat();
    takes(bench, verdict);
    let secrets = |request: &Request| request.headers.iter().filter(|(_, value)| value.contains("hunter2")).count();
    assert_eq!(away.requests().iter().map(secrets).collect::<Vec<_>>(), [0, 0], "{:#?}", away.requests());
    assert!(bench.carrier.http().requests().iter().all(|request| secrets(request) == 3), "they are sent home");
    assert_eq!(away.requests().iter().map(Request::path_only).collect::<Vec<_>>(), [pointer_path(), artifact_path()]);
}

fn bundle_loops(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    match &bench.carrier {
        Carrier::GitHub { github, .. } => github.inject(On::api("*"), GitHubFault::Loop),
        _ => bench.carrier.http().script_every(&pointer_path(), vec![Step::Redirect(pointer_path())]),
    }
    super::forget_requests(bench);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    let asked = match &bench.carrier {
        Carrier::GitHub { github, .. } => github.requests().len(),
        _ => bench.carrier.http().requests().len(),
    };
    assert!((2..=11).contains(&asked), "{asked} requests");
    bench.carrier.behave();
    bench.assert_recovers();
}

fn artifact_loops(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    let http = vec![Step::Redirect(artifact_path())];
    Deed { http, s3: None, github: Some(GitHubFault::Loop) }.at_artifact(bench);
    ends(bench, &[], verdict);
}

/// A `Location` that is neither ASCII nor UTF-8.
const NOWHERE: &[u8] = b"https://\xff\xfe/app";

fn to_bytes() -> Deed {
    let head = [b"HTTP/1.1 302 X\r\nLocation: ", NOWHERE, b"\r\nContent-Length: 0\r\n\r\n"].concat();
    Deed { http: vec![Step::Raw(head)], s3: None, github: Some(GitHubFault::Redirect(302, NOWHERE.to_vec())) }
}

fn bundle_to_bytes(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    match &bench.carrier {
        // To where the release is listed, which octocrab is asked for elsewhere.
        Carrier::GitHub { github, .. } => github.inject(On::api("*"), GitHubFault::Redirect(302, NOWHERE.to_vec())),
        _ => to_bytes().at_pointer(bench),
    }
    ends(bench, &[], verdict);
}

fn artifact_to_bytes(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    to_bytes().at_artifact(bench);
    ends(bench, &[], verdict);
}
