//! What processes say to each other, and answers over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fetchd::agent::{AgentStatus, Answer};
use fetchd::clock::Timestamp;
use fetchd::control::{Line, Request, SCHEMA, Status};
use fetchd::digest::Sha256;
use fetchd::failure::{Exit, Reported};
use fetchd::fetch::{
    ArchiveFault, DownloadJob, Downloaded, ExtractJob, Extracted, FetchFailure, Limits, Meant, Offered, PollJob,
    PollReply, Progress, Source, StoreJob, Want,
};
use fetchd::fleet::store::{self, Reply, Tag, Trouble, What};
use fetchd::fleet::{Evidence, HostId, Report};
use fetchd::restart::supervise;
use fetchd::trust::Format;
use fetchd_fetchers::{Asset, AssetName, Kind, Release, Revision};
use serde_json::{Value, json};

use super::{Seed, bad, good};

fn line(value: &impl serde::Serialize) -> String {
    format!("{}\n", serde_json::to_string(value).unwrap())
}

pub(super) fn control() -> Vec<Seed> {
    let error = Reported {
        code: "signature.wrong".to_owned(),
        exit: Exit::Trust,
        message: "the signature does not belong to these bytes".to_owned(),
        hint: Some("ask the publisher".to_owned()),
    };
    let answer = Answer {
        exit: Exit::Trust,
        outcome: "failed".to_owned(),
        message: "nothing was installed".to_owned(),
        version: Some("1.2.0".to_owned()),
        error: Some(error),
    };
    let status = Status {
        configuration: None,
        metrics: None,
        supervisor: None,
        schema: SCHEMA,
        product: "web".to_owned(),
        fetchd: "0.1.0".to_owned(),
        pid: 4711,
        uptime_ms: 86_400_000,
        service: supervise::Status { listeners: vec![("web".into(), ":80".into())], ..Default::default() },
        updates: AgentStatus { doing: "idle".to_owned(), version: Some("1.2.0".to_owned()), ..Default::default() },
    };
    let until = "2026-12-01T00:00:00Z".parse().ok();
    vec![
        good("status", line(&Request::Status)),
        good("apply", line(&Request::Apply { force: true })),
        good("apply-unforced", "{\"command\":\"apply\"}\n"),
        good("restart", line(&Request::Restart)),
        good("rollback", line(&Request::Rollback)),
        good("hold", line(&Request::Hold { reason: Some("a \"release\"\nfreeze".to_owned()), until })),
        good("unhold", line(&Request::Unhold)),
        good("doing", line(&Line::Doing("downloading 12 of 80 MiB".to_owned()))),
        good("answer", line(&Line::Answer(answer))),
        good("refused", line(&Line::Refused("16 commands wait already".to_owned()))),
        good("status-shown", line(&Line::Status(Box::new(status)))),
        bad("unknown-command", "{\"command\":\"reboot\"}\n"),
        bad("unknown-field", "{\"command\":\"apply\",\"forse\":true}\n"),
        bad("not-a-time", "{\"command\":\"hold\",\"reason\":null,\"until\":\"tomorrow\"}\n"),
        bad("empty", ""),
    ]
}

pub(super) fn notify() -> Vec<Seed> {
    let long = format!("STATUS={}\u{7}é", "x".repeat(600));
    vec![
        good("ready", "READY=1"),
        good("several", "READY=1\nSTATUS=serving 3 listeners\nEXTEND_TIMEOUT_USEC=1500000\nMAINPID=1\n"),
        good("extend-for-ever", "EXTEND_TIMEOUT_USEC=18446744073709551615\n"),
        good("stopping", "STOPPING=1\r\nWATCHDOG=1"),
        good("reject", "X_FETCHD_REJECT=the state on disk is too old"),
        good("restart", "X_FETCHD_RESTART=1\nX_FETCHD_HEALTHY=1\n"),
        good("long", long),
        good("not-text", b"STATUS=\xff\xfe\nREADY=1".to_vec()),
        bad("no-number", "EXTEND_TIMEOUT_USEC=-4"),
        bad("ready-to-what", "READY=yes\nREADY\n=\nready=1"),
        bad("barrier", "BARRIER=1"),
        bad("empty", ""),
    ]
}

pub(super) fn drain() -> Vec<Seed> {
    vec![
        good("pause", "pause"),
        good("resume", "resume\n"),
        good("drain", "drain"),
        good("drain-within", "drain 250"),
        good("drain-for-ever", "drain 18446744073709551615"),
        good("drain-blank", "drain \n"),
        good("end", ""),
        bad("unknown", "dance"),
        bad("beyond", "drain 18446744073709551616"),
        bad("negative", "drain -1"),
        bad("two-words", "pause now"),
        bad("hello", "hello pause"),
        bad("not-text", b"pause\xff".to_vec()),
        bad("long", "drain 1".repeat(60)),
    ]
}

fn framed(message: &Value) -> Vec<u8> {
    let text = message.to_string().into_bytes();
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], &text].concat()
}

pub(super) fn worker() -> Vec<Seed> {
    let options = BTreeMap::from([("header".to_owned(), vec!["Authorization: Bearer x".to_owned()])]);
    let source = Source { url: "https://dl.example.com/web/stable.fetchd".parse().unwrap(), options };
    let name = AssetName::new("web-1.2.0").unwrap();
    let asset = Asset {
        name: name.clone(),
        size: Some(1000),
        digest: Some("sha256:00".to_owned()),
        handle: Some("1".to_owned()),
    };
    let revision = Revision("etag=%22a%22&modified=x".to_owned());
    let release =
        Release { revision: revision.clone(), label: Some("v1.2.0".to_owned()), assets: vec![asset], document: None };
    let poll = PollJob {
        source: source.clone(),
        since: Some(revision.clone()),
        want: Want::Sidecar,
        meant: Meant {
            product: "web".to_owned(),
            channel: "stable".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            pattern: "{product}-{version}".parse().ok(),
        },
        limits: Limits::default(),
    };
    let bucket = source.clone();
    let download = DownloadJob {
        source,
        release: release.clone(),
        urls: vec!["web-1.2.0".to_owned()],
        size: Some(1000),
        sha256: Some(Sha256([1; 32])),
        staging: PathBuf::from("/var/lib/fetchd/web/staging"),
        limits: Limits::default(),
        key: "k".to_owned(),
    };
    let extract = ExtractJob {
        format: Format::TarGz,
        entry: Some("web".to_owned()),
        program: Some("web".to_owned()),
        binary_size: Some(1000),
        max_size: 1 << 30,
        artifact: PathBuf::from("/a"),
        out: PathBuf::from("/b"),
    };
    let offered = Offered { release, asset: name, document: Some(vec![0; 48]), signature: None };
    let downloaded = Downloaded {
        path: PathBuf::from("/a"),
        size: 1000,
        sha256: Sha256([1; 32]),
        resumed_from: 10,
        elapsed: Duration::from_millis(1500),
    };
    let source_failed = FetchFailure::Source {
        kind: Kind::Throttled,
        message: "asks for fewer requests".to_owned(),
        retry_after: Some(Duration::from_secs(60)),
    };
    let damaged = FetchFailure::Archive(ArchiveFault::Damaged { message: "cut off".to_owned() });
    let alive = framed(&json!("alive"));
    let done = framed(&json!({"done": {"download": downloaded}}));
    let mut seeds = vec![
        good("poll", framed(&json!({"poll": poll}))),
        good("download", framed(&json!({"download": download}))),
        good("extract", framed(&json!({"extract": extract}))),
        good("alive", alive.clone()),
        good("progress", framed(&json!({"progress": Progress::Download { bytes: 10, total: Some(1000) }}))),
        good("offers", framed(&json!({"done": {"poll": PollReply::Offers(offered)}}))),
        good("unchanged", framed(&json!({"done": {"poll": PollReply::Unchanged}}))),
        good("renewed", framed(&json!({"done": {"poll": PollReply::Renewed(revision)}}))),
        good("downloaded", done.clone()),
        good("extracted", framed(&json!({"done": {"extract": Extracted { size: 1000 }}}))),
        good("failed", framed(&json!({"failed": source_failed}))),
        good("failed-archive", framed(&json!({"failed": damaged}))),
        good("several", [alive.clone(), alive.clone(), done].concat()),
        good("cut-off-behind-one", [&alive[..], &alive[..6]].concat()),
        bad("cut-off", alive[..alive.len() - 1].to_vec()),
        bad("endless", [&[0xff; 4][..], b"\"alive\""].concat()),
        bad("empty-message", vec![0; 4]),
        bad("unknown", framed(&json!({"reboot": null}))),
        bad(
            "leaving-the-directory",
            framed(&json!({"done": {"poll": {"not_ready": {
                "release": null, "missing": "x", "shown": ["../x"],
            }}}})),
        ),
    ];
    seeds.extend(store(bucket));
    seeds
}

/// What a host of a fleet asks of its bucket through the worker, and what comes back.
fn store(source: Source) -> Vec<Seed> {
    let ask = |request: store::Request| {
        let job = StoreJob { source: source.clone(), request, tombstones: false, deadline: Duration::from_secs(60) };
        framed(&json!({ "store": job }))
    };
    let told = |what: What| {
        let reply = Reply { what, date: Some(Timestamp(1_795_000_000)) };
        framed(&json!({ "done": { "store": reply } }))
    };
    let (key, tag) = ("web/lease/a/0".to_owned(), Tag("\"1\"".into()));
    let (rollout, shard, host) = ("r-1".to_owned(), "0".to_owned(), HostId::named("web-1"));
    let report: Report = "1-b-handoff.exited".parse().unwrap();
    let found = vec![Evidence { host, report: report.clone(), at: Timestamp(1_795_000_000) }];
    let trouble = Trouble {
        code: "source.throttled".to_owned(),
        message: "asks for fewer requests".to_owned(),
        retry_after_s: Some(u64::MAX),
        passes: true,
    };
    let body = b"{\"host\":null}".to_vec();
    vec![
        good("store-get", ask(store::Request::Get { key: key.clone(), unless: Some(tag.clone()), limit: 2048 })),
        good("store-replace", ask(store::Request::Replace { key: key.clone(), body: body.clone(), tag: tag.clone() })),
        good("store-list", ask(store::Request::List { prefix: "web/inv/".to_owned(), after: None, limit: 1000 })),
        good("store-report", ask(store::Request::Report { rollout, shard, host, report, body: body.clone() })),
        good("store-object", told(What::Object { body, tag })),
        good("store-evidence", told(What::Evidence { found, next: Some("\u{7}".to_owned()) })),
        good("store-failed", told(What::Failed(trouble))),
        bad("store-nobody", framed(&json!({ "done": { "store": { "what": "gone_for_good", "date": null } } }))),
        bad("store-report-of-nothing", framed(&json!({ "store": { "source": source, "request": { "report": {} } } }))),
    ]
}

pub(super) fn http() -> Vec<Seed> {
    const DATES: &str = "Last-Modified: Wed, 18 Nov 2026 00:00:00 GMT\nDate: Sat, 21 Nov 2026 00:00:00 GMT\n";
    vec![
        good("whole", format!("0 20\n200\nContent-Length: 20\nETag: \"a\"\n{DATES}")),
        good("whole-without-length", "0\n200\n"),
        good("whole-after-a-range", "10 20 etag=%22a%22\n200\nContent-Length: 20\nETag: \"a\"\n"),
        good("rest", "10 20 etag=%22a%22\n206\nContent-Range: bytes 10-19/20\nContent-Length: 10\nETag: \"a\"\n"),
        good("rest-of-unknown", "10\n206\ncontent-range: bytes 10-19/*\ncontent-encoding: identity\n"),
        good(
            "rest-by-date",
            format!("10 20 modified=Wed%2C+18+Nov+2026+00%3A00%3A00+GMT\n206\nContent-Range: bytes 10-19/20\n{DATES}"),
        ),
        bad("another-range", "10 20\n206\nContent-Range: bytes 9-19/20\n"),
        bad("ends-early", "10 20\n206\nContent-Range: bytes 10-18/20\n"),
        bad("another-total", "10 20\n206\nContent-Range: bytes 10-29/30\n"),
        bad("another-object", "10 20 etag=%22a%22\n206\nContent-Range: bytes 10-19/20\nETag: \"b\"\n"),
        bad("encoded", "0 20\n200\nContent-Length: 20\nContent-Encoding: gzip\n"),
        bad("largest-range", "10 20\n206\nContent-Range: bytes 0-18446744073709551615/*\n"),
        bad("lengths-disagree", "10 20\n206\nContent-Range: bytes 10-19/20\nContent-Length: 11\n"),
        bad("redirect", "0\n302\nLocation: https://user:pass@cdn.example.com/x?y#z\n"),
        bad("redirect-relative", "0\n307\nLocation: ../\u{e9}/app\n"),
        bad("redirect-hostile", b"0\n301\nLocation: \xff\xfe\n".to_vec()),
        bad("throttled", "0\n429\nRetry-After: 120\n"),
        bad("throttled-until", "0\n503\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\n"),
        bad("quota", "0\n403\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 18446744073709551615\n"),
        bad("empty", ""),
    ]
}
