//! A fleet's bucket with its keys, and hosts that follow it. The test is operator, publisher and steward.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::fleet::cohort::{HostId, Shards};
use fetchd::fleet::head::{COMMENT, Head};
use fetchd::fleet::names::Names;
use fetchd::fleet::plan::{Gate, Match, OnHalt, Phase, PollHint, Ring, Step, Supersede};
use fetchd::fleet::store::s3::{BucketStore, Deletes};
use fetchd::fleet::store::{Request, Store as _, What};
use fetchd::publish::{SigningKey, sign_manifest};
use fetchd_fetchers::Options;
use fetchd_stand_ins::s3::S3Server;
use serde_json::{Value, json};
use url::Url;

use crate::site::{FETCHD, Site, Supervised, wait_until};

/// What a release does once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It runs.
    Good,
    /// It ends a moment after it is ready.
    Crashes,
    /// It takes its supervisor with it.
    KillsSupervisor,
    /// It ends like that on hosts whose directory has a file `weak`.
    CrashesIfWeak,
}

/// A service that is a script: small, and up at once.
pub(crate) fn script(version: &str, kind: Kind) -> String {
    let run = match kind {
        Kind::Good => "exec sleep 100000",
        Kind::Crashes => "sleep 0.3; exit 9",
        Kind::KillsSupervisor => "sleep 0.3; kill -9 $PPID",
        Kind::CrashesIfWeak => "[ -e ./weak ] && { sleep 0.3; exit 9; }; exec sleep 100000",
    };
    format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo app {version}; exit 0; }}\n{run}\n")
}

pub(crate) struct Field {
    pub(crate) url: Url,
    pub(crate) options: Options,
    pub(crate) store: Mutex<BucketStore>,
    pub(crate) names: Names,
    pub(crate) offline: SigningKey,
    pub(crate) online: SigningKey,
    /// The provisioned key set, where hosts have one instead of the offline key.
    pub(crate) keys: Option<PathBuf>,
}

impl Field {
    pub(crate) fn new(s3: &S3Server) -> Field {
        Field::at(s3.source("fleet"), s3.options())
    }

    pub(crate) fn at(url: Url, options: Options) -> Field {
        let store = BucketStore::open(&url, &options, Deletes::Conditional).unwrap();
        Field {
            url,
            options,
            store: Mutex::new(store),
            names: Names::new("fleet", "app", "stable").unwrap(),
            offline: SigningKey::generate().unwrap(),
            online: SigningKey::generate().unwrap(),
            keys: None,
        }
    }

    /// Somebody has asked what the bucket can do, and it can do everything.
    pub(crate) fn is_of_tier_1(&self) {
        let caps = fetchd::fleet::caps::Caps {
            tier: fetchd::fleet::caps::Tier::All,
            at: Timestamp::now(),
            conditions: true,
            conditional_delete: true,
            not_modified: true,
            lists: true,
            ..fetchd::fleet::caps::Caps::unknown()
        };
        self.put(self.names.caps(), caps.to_file());
    }

    pub(crate) fn ask(&self, request: Request) -> What {
        self.store.lock().unwrap().ask(request).what
    }

    pub(crate) fn put(&self, key: String, body: impl Into<Vec<u8>>) {
        let what = self.ask(Request::Put { key, body: body.into() });
        assert!(matches!(what, What::Written(_)), "{what:?}");
    }

    pub(crate) fn get(&self, key: String) -> Option<Vec<u8>> {
        match self.ask(Request::Get { key, unless: None, limit: 1 << 19 }) {
            What::Object { body, .. } => Some(body),
            What::Absent => None,
            other => panic!("{other:?}"),
        }
    }

    /// A release in its directory, with bounds that allow anything.
    pub(crate) fn release(&self, version: &str, seq: u64, kind: Kind, rollback_to: &[&str]) {
        self.release_with(version, seq, kind, |release| {
            release["bounds"]["rollback_to"] = json!(rollback_to);
        });
    }

    pub(crate) fn release_with(&self, version: &str, seq: u64, kind: Kind, edit: impl FnOnce(&mut Value)) {
        let binary = script(version, kind).into_bytes();
        let (size, sha256) = (binary.len(), Sha256::of(&binary).to_string());
        let mut release = json!({
            "version": version,
            "artifacts": [{
                "target": fetchd::config::BUILD_TARGET, "urls": ["app"], "size": size, "sha256": sha256,
                "format": "raw", "binary_size": size, "binary_sha256": sha256,
            }],
            "bounds": {"min_steps": 1, "max_first_pct": 100, "min_total_s": 0, "min_bake_s": 0, "rollback_to": []},
        });
        edit(&mut release);
        let manifest = json!({
            "type": "fetchd-manifest", "spec": 1, "product": "app", "channel": "stable", "epoch": 0, "seq": seq,
            "issued": Timestamp::now().to_string(), "expires": null, "releases": [release],
        });
        let signed = sign_manifest(&manifest, std::slice::from_ref(&self.offline)).unwrap();
        let dir = self.names.release(version);
        self.put(format!("{dir}app"), binary);
        self.put(format!("{dir}manifest.json"), signed);
    }

    /// A head of the rollout `r-1` that lets every host go at once, as `edit` changes it, signed by the online key.
    pub(crate) fn head(&self, seq: u64, release: &str, edit: impl FnOnce(&mut Head)) {
        let mut head = plan(seq, release);
        edit(&mut head);
        self.publish(&head, &self.online);
    }

    pub(crate) fn publish(&self, head: &Head, key: &SigningKey) {
        let payload = head.payload().unwrap();
        let signature = key.sign(&mut payload.as_slice(), COMMENT, "test").unwrap();
        self.put(self.names.head(), Head::to_file(&payload, &[signature]).unwrap());
    }

    /// The evidence of a rollout, each host's reports as they stand in keys.
    pub(crate) fn evidence(&self, rollout: &str) -> Vec<(HostId, String)> {
        self.try_evidence(rollout).expect("evidence can be listed")
    }

    /// The same of a bucket that may not be there.
    pub(crate) fn try_evidence(&self, rollout: &str) -> Option<Vec<(HostId, String)>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let request = Request::Evidence { rollout: rollout.to_owned(), shard: "0".to_owned(), after };
            let What::Evidence { found, next } = self.ask(request) else { return None };
            all.extend(found.into_iter().map(|one| (one.host, one.report.to_string())));
            match next {
                Some(next) => after = Some(next),
                None => return Some(all),
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_for_evidence(&self, rollout: &str, host: &str, starts: &str) {
        let id = HostId::named(host);
        wait_until(&format!("evidence `{starts}…` of {host}"), || {
            self.evidence(rollout).iter().any(|(of, report)| *of == id && report.starts_with(starts))
        });
    }

    /// A host that has 1.0.0 and is not started yet.
    pub(crate) fn host(&self) -> Site {
        let url = self.url.as_str().replacen("s3://", "fleet+s3://", 1);
        let site = Site::empty().following(&url);
        install(&site, &script("1.0.0", Kind::Good));
        site
    }

    /// `fetchd COMMAND` on a host of this name.
    pub(crate) fn command(&self, site: &Site, command: &str, name: &str, more: &[&str]) -> Command {
        let mut fetchd = Command::new(FETCHD);
        fetchd
            .args(command.split(' '))
            .args(["--product", "app", "--state-dir"])
            .arg(site.state_dir())
            .args(["--source", &site.source()])
            .args(["--fleet-key", &self.online.public().to_string(), "--fleet-host", name, "--fleet-prefetch", "0s"])
            .args(["--target-check", "off"])
            .args(more)
            .current_dir(site.path().join("srv"))
            .env_remove("RUST_LOG");
        match &self.keys {
            Some(keys) => fetchd.arg("--keys").arg(keys),
            None => fetchd.args(["--key", &self.offline.public().to_string()]),
        };
        for (option, values) in &self.options {
            for value in values {
                fetchd.args(["--source-options", &format!("{option}={value}")]);
            }
        }
        fetchd
    }

    /// Starts it: it polls every second and watches for half a second.
    pub(crate) fn run<'a>(&self, site: &'a Site, name: &str, more: &[&str]) -> Supervised<'a> {
        self.run_with(site, name, more, &[])
    }

    pub(crate) fn run_with<'a>(
        &self,
        site: &'a Site,
        name: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Supervised<'a> {
        let mut flags = more.to_vec();
        for (flag, value) in [("--interval", "1s"), ("--watch", "600ms"), ("--ready", "alive:100ms")] {
            if !more.contains(&flag) {
                flags.extend([flag, value]);
            }
        }
        let mut command = self.command(site, "run", name, &flags);
        command.arg("--").arg(site.program()).envs(variables.iter().copied());
        site.supervise(command)
    }

    /// What `fetchd check` or `apply` prints and ends with.
    pub(crate) fn one_shot(&self, site: &Site, command: &str, name: &str) -> (Option<i32>, String) {
        let output = self.command(site, command, name, &[]).arg("--").arg(site.program()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }
}

pub(crate) fn install(site: &Site, script: &str) {
    fs::write(site.program(), script).unwrap();
    fs::set_permissions(site.program(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// One ring, one step, everybody at once, asked every second.
pub(crate) fn plan(seq: u64, release: &str) -> Head {
    let now = Timestamp::now();
    Head {
        v: 1,
        product: "app".to_owned(),
        channel: "stable".to_owned(),
        seq,
        nonce: format!("{seq:032x}"),
        valid_until: now.plus(Duration::from_secs(86_400)),
        rollout: "r-1".to_owned(),
        release: release.to_owned(),
        base: Vec::new(),
        salt: release.to_owned(),
        state: Phase::Running,
        t0: Timestamp(now.0 - 60),
        rings: vec![Ring {
            name: "all".to_owned(),
            matches: Match::default(),
            min_hosts: 0,
            delay_s: 0,
            steps: None,
            hosts: 0,
        }],
        steps: vec![Step { pct: 100.0, not_before: None, ramp_s: 0, bake_s: 0, manual: false }],
        gate: Gate::default(),
        on_halt: OnHalt::Hold,
        windows: Vec::new(),
        lease: None,
        poll_s: PollHint { idle: 1, open: 1 },
        pins: Vec::new(),
        attempt: 1,
        ack: None,
        shards: Shards::ONE,
        ok_sample: 1.0,
        promoted: None,
        supersede: Supersede::Jump,
        hold_unmatched: false,
    }
}
