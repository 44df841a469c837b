//! A fleet in a bucket of this process: what operators, hosts and stewards have written there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use fetchd::clock::Timestamp;
use fetchd::fleet::cohort::{HostId, Shards};
use fetchd::fleet::evidence::{Code, Place, Report, State};
use fetchd::fleet::head::{COMMENT, Head};
use fetchd::fleet::plan::{Gate, Match, OnHalt, Phase, PollHint, Ring, Step, Supersede};
use fetchd::fleet::rollup::{Bad, Count, Rollup};
use fetchd::fleet::{Evidence, Names};
use fetchd::publish::SigningKey;
use fetchd_stand_ins::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

const FETCHD: &str = env!("CARGO_BIN_EXE_fetchd");

/// The rollout of 1.1.0, and the server it is kept on.
pub(crate) struct Fleet {
    pub(crate) server: S3Server,
    pub(crate) head: Head,
    pub(crate) rollup: Rollup,
    names: Names,
    key: SigningKey,
    now: Timestamp,
}

impl Fleet {
    /// A rollout of two rings: the canaries have it, and the second step of the other ring is filling.
    pub(crate) fn new() -> Fleet {
        let now = Timestamp::now();
        let ago = |seconds: u64| Timestamp(now.0 - seconds);
        let step = |pct: f64, ramp_s: u64| Step { pct, not_before: None, ramp_s, bake_s: 900, manual: false };
        let ring = |name: &str, label: Option<&str>, hosts: u64, steps: Option<Vec<Step>>| {
            let labels = label.map(|label| ("ring".to_owned(), label.to_owned())).into_iter().collect();
            let matches = Match { labels, hosts: Vec::new() };
            Ring { name: name.to_owned(), matches, min_hosts: 0, delay_s: 0, steps, hosts }
        };
        let head = Head {
            v: 1,
            product: "web".to_owned(),
            channel: "stable".to_owned(),
            seq: 3,
            nonce: "00112233445566778899aabbccddeeff".to_owned(),
            valid_until: Timestamp(now.0 + 20 * 86_400),
            rollout: "r-2026-11-29-1".to_owned(),
            release: "1.1.0+4f2a91c".to_owned(),
            base: vec!["1.0.0+77ab310".to_owned()],
            salt: "1.1.0+4f2a91c".to_owned(),
            state: Phase::Running,
            t0: ago(9000),
            rings: vec![ring("canary", Some("0"), 5, Some(vec![step(100.0, 600)])), ring("prod", None, 1200, None)],
            steps: vec![step(5.0, 1800), step(25.0, 3600), step(100.0, 7200)],
            gate: Gate::default(),
            on_halt: OnHalt::Hold,
            windows: Vec::new(),
            lease: None,
            poll_s: PollHint { idle: 1800, open: 300 },
            pins: Vec::new(),
            attempt: 1,
            ack: None,
            shards: Shards::ONE,
            ok_sample: 1.0,
            promoted: None,
            supersede: Supersede::Jump,
            hold_unmatched: false,
        };
        let mut rollup = Rollup::empty(&head.rollout, 1, "n".to_owned(), now, &[1, 3]);
        let passed = |hosts: u64, seconds: u64| Count {
            started: hosts,
            ok: hosts,
            passed_at: Some(ago(seconds)),
            ..Count::default()
        };
        rollup.rings[0][0] = passed(5, 7200);
        rollup.rings[1][0] = passed(60, 1800);
        rollup.rings[1][1] = Count { started: 121, ok: 112, declined: 2, ..Count::default() };
        let fleet = Fleet {
            server: S3Server::start(),
            names: Names::new("fleet", "web", "stable").unwrap(),
            key: SigningKey::generate().unwrap(),
            now,
            head,
            rollup,
        };
        fleet.write();
        fleet
    }

    /// Puts the signed state and the roll-up into the bucket.
    pub(crate) fn write(&self) {
        let payload = self.head.payload().unwrap();
        let signature = self.key.sign(&mut payload.as_slice(), COMMENT, "a test").unwrap();
        self.server.put(&self.names.head(), Head::to_file(&payload, &[signature]).unwrap());
        self.server.put(&self.names.rollup(&self.head.rollout), serde_json::to_vec(&self.rollup).unwrap());
    }

    /// A host that was rolled back, and what it says of it.
    pub(crate) fn fails(&mut self, name: &str, code: &str, body: &serde_json::Value) {
        let (host, place, code) = (HostId::named(name), Place { ring: 1, step: 1 }, Code::new(code));
        let report = Report { attempt: 1, state: State::Bad(code.clone()) };
        let key = self.names.evidence(&self.head.rollout, &host.shard(self.head.shards), host, &report);
        self.server.put(&key, serde_json::to_vec(body).unwrap());
        let Evidence { host, at, .. } = Evidence { host, report, at: Timestamp(self.now.0 - 240) };
        self.rollup.rings[1][1].bad += 1;
        self.rollup.bad.push(Bad { host, place: Some(place), code, at });
    }

    /// What a host creates that sees too many of them.
    pub(crate) fn latch(&self) {
        let count = self.rollup.rings[1][1];
        let latch = serde_json::json!({
            "v": 1, "rollout": self.head.rollout, "attempt": 1, "seq": self.head.seq,
            "why": { "why": "share", "bad": count.bad, "started": count.started },
            "total": count, "as_of": self.now, "by": HostId::named("web-17"), "at": self.now, "nonce": "n",
        });
        self.server.put(&self.names.latch(&self.head.rollout, 0), serde_json::to_vec(&latch).unwrap());
    }

    /// Everything has gone well.
    pub(crate) fn finish(&mut self) {
        let steps = [(0, 0, 5), (1, 0, 60), (1, 1, 240), (1, 2, 900)];
        for (ring, step, hosts) in steps {
            let at = Some(Timestamp(self.now.0 - 60));
            self.rollup.rings[ring][step] = Count { started: hosts, ok: hosts, passed_at: at, ..Count::default() };
        }
        self.rollup.bad.clear();
        self.head.state = Phase::Done;
        self.head.seq += 1;
        self.write();
    }

    /// `fetchd fleet …` for this rollout.
    pub(crate) fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(FETCHD);
        command
            .args(["fleet", verb, "--store", self.server.source("fleet").as_str(), "--product", "web"])
            .args(["--fleet-key", &self.key.public().to_string()])
            .args(more)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env_remove("RUST_LOG");
        command
    }

    pub(crate) fn status(&self, more: &[&str]) -> Output {
        self.command("status", more).output().unwrap()
    }

    /// Starts the page and waits until it listens.
    pub(crate) fn serve(&self, more: &[&str]) -> Served {
        let mut command = self.command("serve", &["--listen", "127.0.0.1:0"]);
        let mut child = command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Served { url, child }
    }
}

/// A page that is served.
pub(crate) struct Served {
    pub(crate) url: String,
    child: Child,
}

impl Served {
    /// Sends SIGTERM and waits for its end; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("it did not end within {PATIENCE:?} of SIGTERM");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
