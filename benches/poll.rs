//! What one poll costs that finds nothing new: requests, bytes on the wire and CPU time of the worker, for each
//! kind of source, and beside it `curl` with the same condition.
//!
//! `cargo bench --bench poll`; `BENCH_POLLS=50` is how many are measured.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fetchd::fetch::{
    Limits, Meant, PollJob, PollReply, ProcessWorker, Settings, Source, Unattended, Want, Worker as _,
};
use fetchd::publish::{Publisher, host_target};
use fetchd_fetchers::Options;
use fetchd_stand_ins::github::GitHub;
use fetchd_stand_ins::s3::S3Server;
use support::figure::Figure;
use support::peer::Peer;
use support::relay::{Passed, Relay};
use support::{fetchd, ms, print_machine, process, setting};
use url::Url;

/// One kind of source, ready to be polled.
struct Row {
    name: &'static str,
    url: Url,
    options: Options,
    want: Want,
    relay: Option<Relay>,
}

pub(crate) fn main() {
    let polls = setting("BENCH_POLLS", 50) as u32;
    print_machine();
    let directory = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(directory.path().join("pub")).unwrap();
    publisher.publish("1.0.0", b"a binary of a few bytes").unwrap();
    let bundle = publisher.document().unwrap();

    let peer = Peer::start(&directory.path().join("pub"));
    let web = Relay::start(address(&peer.url("").parse().unwrap()));
    let s3 = S3Server::start();
    s3.put("stable.fetchd", bundle);
    let bucket = Relay::start(address(&s3.endpoint()));
    let github = GitHub::start();
    let asset = format!("app-1.0.0-{}", host_target());
    let minisig = format!("{asset}.minisig");
    github.release("acme/app", "v1.0.0").asset(&asset, b"binary").asset(&minisig, b"signature").publish();
    let api = Relay::start(address(&github.api()));

    let direct = || Options::from([("proxy".to_owned(), vec!["none".to_owned()])]);
    let through = |url: Url, relay: &Relay| {
        let mut url = url;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let at = |value: &str| value.replace(&relay.server().to_string(), &relay.address().to_string());
        url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(name, value)| (name, at(value))));
        url
    };
    let rows = [
        Row {
            name: "file:",
            url: format!("{}?settle=0s", publisher.source()).parse().unwrap(),
            options: Options::new(),
            want: Want::Document,
            relay: None,
        },
        Row {
            name: "http:",
            url: format!("http://{}/stable.fetchd", web.address()).parse().unwrap(),
            options: direct(),
            want: Want::Document,
            relay: Some(web),
        },
        Row {
            name: "s3:",
            url: through(s3.source("stable.fetchd"), &bucket),
            options: s3.options(),
            want: Want::Document,
            relay: Some(bucket),
        },
        Row {
            name: "github:",
            url: through(github.source("acme/app"), &api),
            options: github.options(),
            want: Want::Sidecar,
            relay: Some(api),
        },
    ];
    println!("one poll that finds nothing new, mean of {polls}, in a worker that is warm\n");
    println!(
        "{:<10} {:>9} {:>12} {:>12} {:>12} {:>10} {:>10}",
        "", "requests", "bytes sent", "bytes back", "CPU ms", "time ms", "RSS MB"
    );
    let measured: Vec<(f64, f64)> = rows.iter().map(|row| measure(row, directory.path(), polls)).collect();
    let (cpu, time) = curl(&peer, polls);
    for (row, (our_cpu, our_time)) in rows.iter().zip(measured) {
        for (what, unit, ours, peers) in [("CPU", "ms", our_cpu, cpu), ("time", "ms", our_time, time)] {
            let what = format!("a poll of {} finds nothing new, {what}", row.name);
            Figure::new("poll", &what, unit, vec![ours]).against("curl", vec![peers]).record();
        }
        let what = format!("a poll of {} finds nothing new, CPU alone", row.name);
        Figure::new("poll", &what, "ms", vec![our_cpu]).at_most(5.0).record();
    }
    println!("{:<10} {:>9} {:>12} {:>12} {cpu:>12.2} {time:>10.2}", "curl", "1.0", "", "");
}

/// CPU time and time of a poll, in milliseconds.
fn measure(row: &Row, directory: &Path, polls: u32) -> (f64, f64) {
    let staging = directory.join("staging");
    fs::create_dir_all(&staging).unwrap();
    let mut worker = ProcessWorker::new(fetchd(), &staging, Settings::default());
    let text = str::to_owned;
    let mut job = PollJob {
        source: Source { url: row.url.clone(), options: row.options.clone() },
        since: None,
        want: row.want,
        meant: Meant { product: text("app"), channel: text("stable"), target: host_target(), pattern: None },
        limits: Limits::default(),
    };
    let PollReply::Offers(offered) = worker.poll(&job, &mut Unattended).unwrap() else { panic!("it offers something") };
    job.since = Some(offered.release.revision);
    // The first conditional one is not measured: pages of the program are read in, and a source that counts what
    // we fetched with the release has another revision now.
    match worker.poll(&job, &mut Unattended).unwrap() {
        PollReply::Unchanged => {}
        PollReply::Renewed(revision) => job.since = Some(revision),
        other => panic!("{other:?}"),
    }
    let id = worker.id().unwrap();
    let before = row.relay.as_ref().map(Relay::passed).unwrap_or_default();
    let (cpu, begun) = (process::cpu_ns(id), Instant::now());
    for _ in 0..polls {
        assert_eq!(worker.poll(&job, &mut Unattended).unwrap(), PollReply::Unchanged);
    }
    let (cpu, time) = (process::cpu_ns(id) - cpu, begun.elapsed());
    let Passed { connections, sent, received } = row.relay.as_ref().map(Relay::passed).unwrap_or_default();
    let mean = |count: u64| count as f64 / f64::from(polls);
    println!(
        "{:<10} {:>9.1} {:>12.0} {:>12.0} {:>12.2} {:>10.2} {:>10.1}",
        row.name,
        mean(connections - before.connections),
        mean(sent - before.sent),
        mean(received - before.received),
        mean(cpu) / 1e6,
        ms(time) / f64::from(polls),
        process::status(id, "VmRSS:") as f64 / 1024.0,
    );
    worker.dismiss();
    (mean(cpu) / 1e6, ms(time) / f64::from(polls))
}

/// CPU time and time of a `curl` that asks the same, in milliseconds.
fn curl(peer: &Peer, polls: u32) -> (f64, f64) {
    let url = peer.url("stable.fetchd");
    let output = Command::new("curl").args(["-sS", "-I", &url]).output().expect("curl is installed");
    let head = String::from_utf8(output.stdout).unwrap();
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().trim().to_owned();
    let children = || {
        let text = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Duration::from_millis((ticks(13) + ticks(14)) * 10)
    };
    let (cpu, begun) = (children(), Instant::now());
    for _ in 0..polls {
        let condition = format!("If-None-Match: {etag}");
        let output = Command::new("curl").args(["-sS", "-w", "%{http_code}", "-H", &condition, &url]).output().unwrap();
        assert_eq!(output.stdout, b"304");
    }
    (ms(children().saturating_sub(cpu)) / f64::from(polls), ms(begun.elapsed()) / f64::from(polls))
}

fn address(url: &Url) -> std::net::SocketAddr {
    let host = url.host_str().unwrap();
    format!("{host}:{}", url.port_or_known_default().unwrap()).parse().unwrap()
}
