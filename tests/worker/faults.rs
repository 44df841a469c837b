//! Each way a worker can fail, in each kind of job.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fetchd::demo::Trailer;
use fetchd::fetch::measure;
use fetchd::publish::{ArtifactFile, NewRelease, host_target};
use fetchd::trust::Format;

use crate::site::Site;
use crate::web::{all_was_answered, light_load, wait_for_count};

macro_rules! faults {
    ($($name:ident: $mode:literal $code:literal;)*) => {
        $(#[test]
        fn $name() {
            costs_one_pass($mode, $code);
        })*
    };
}

faults! {
    a_panic_in_a_job: "panic" "worker.panicked";
    a_panic_beside_a_job: "crash" "worker.died";
    an_abort: "abort" "worker.died";
    an_exit: "exit" "worker.died";
    a_hang: "hang" "worker.silent";
    a_worker_out_of_memory: "oom" "worker.died";
    garbage: "garbage" "worker.protocol";
    a_flood: "flood" "worker.protocol";
}

fn costs_one_pass(mode: &str, code: &str) {
    let site = Site::new();
    publish_packed(&site, "1.0.0");
    let order = site.path().join("order");
    let fail = |phase: &str| {
        let next = order.with_extension("next");
        fs::write(&next, format!("{mode}@{phase}")).unwrap();
        fs::rename(next, &order).unwrap();
    };
    let variables = [("FETCHD_TEST_WORKER_FILE", order.to_str().unwrap()), ("FETCHD_TEST_WORKER_SILENCE_MS", "2500")];
    let memory = if mode == "oom" { "200MiB" } else { "0" };
    let mut fetchd = site.run_with(&["--worker-memory", memory, "--watch", "300ms"], &variables);
    let load = light_load(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    for (count, (phase, version)) in [("poll", "1.0.0"), ("download", "1.1.0"), ("extract", "1.2.0")].iter().enumerate()
    {
        fetchd.wait("a good pass", |s| s.updates.last.as_ref().is_some_and(|last| last.error.is_none()));
        fail(phase);
        if *phase != "poll" {
            publish_packed(&site, version);
        }
        // Publishing may take longer than the failure is shown.
        if *phase == "poll" {
            let failed = fetchd.wait(&format!("{mode} is shown"), |s| {
                s.updates.last.as_ref().and_then(|last| last.error.as_ref()).is_some_and(|error| error.code == code)
            });
            assert!(failed.service.generations.iter().any(|g| g.phase == "serving"));
        }
        wait_for_count(&fetchd, "fetch.failed", code, count + 1);
        assert!(!order.exists());
        fetchd.wait_for_version(version);
    }
    all_was_answered(load);
    let left: Vec<PathBuf> = ["staging", "custody"]
        .iter()
        .flat_map(|name| fs::read_dir(site.path().join("srv/.fetchd/app").join(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// Publishes the demo service in an archive, so that there is something to extract.
pub(crate) fn publish_packed(site: &Site, version: &str) {
    let dir = site.path().join(format!("packed-{version}"));
    fs::create_dir(&dir).unwrap();
    site.put(&dir.join("app"), &Trailer::version(version));
    let archive = dir.join("app.tar.gz");
    let made = Command::new("tar")
        .args(["--use-compress-program=gzip -1", "-cf"])
        .arg(&archive)
        .arg("-C")
        .args([dir.as_path(), Path::new("app")])
        .status()
        .expect("the program `tar` is installed");
    assert!(made.success());
    let artifact = ArtifactFile { target: host_target(), path: archive, format: Some(Format::TarGz), entry: None };
    let release = NewRelease::new(version.parse().unwrap(), vec![artifact]);
    site.publisher
        .change(|options| {
            options.release = Some(release);
            options.unpack = &|path, format, entry| measure(path, format, entry).map_err(|e| e.to_string());
        })
        .unwrap();
}
