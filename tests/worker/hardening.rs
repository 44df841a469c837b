//! What a worker gives up, what `status` says of it, and what somebody can still do who has taken it over.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use fetchd::control;
use fetchd::demo::Trailer;
use fetchd::fetch::Measure;

use crate::faults::publish_packed;
use crate::malice::{BARE, Stage};
use crate::processes::worker_of;
use crate::site::{Site, text, wait_until};

/// What only Landlock stops where the worker has our own user.
const FILES: [&str; 15] = [
    "list_etc",
    "list_state",
    "read_state",
    "write_state",
    "truncate_state",
    "list_custody",
    "write_custody",
    "write_program",
    "replace_program",
    "remove_program",
    "link_program",
    "symlink_staging",
    "look_into_supervisor",
    "environment",
    "read_shadow",
];

/// Has a worker try to get out; how each attempt went.
fn attempts(stage: &Stage<'_>, site: &Site, phase: &str) -> BTreeMap<String, String> {
    let service = stage.fetchd.try_status().unwrap().service.generations[0].pid;
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (place, socket) = (site.path().display(), control::path(&site.state_dir()));
    let order = format!("escape {place} {} {} {service} {port}", socket.display(), stage.fetchd.pid());
    let before = fs::metadata(site.program()).unwrap().ino();
    let state = fs::read(site.state_dir().join("state.json")).unwrap();
    stage.order(&order, phase);
    let (_, code, said) = stage.pass();
    assert_eq!(code, "source.other", "{said}");
    let now = stage.fetchd.try_status().unwrap();
    assert_eq!(now.service.generations[0].pid, service, "the service serves on");
    if phase == "poll" {
        assert_eq!(fs::metadata(site.program()).unwrap().ino(), before);
        assert_eq!(fs::read(site.state_dir().join("state.json")).unwrap(), state);
    }
    let message = now.updates.last.unwrap().error.unwrap().message;
    let tried = message.split_whitespace().filter_map(|word| word.split_once('='));
    let tried: BTreeMap<String, String> = tried.map(|(name, how)| (name.to_owned(), how.to_owned())).collect();
    assert!(tried.len() > 20, "{message}");
    tried
}

fn succeeded(tried: &BTreeMap<String, String>) -> Vec<&str> {
    tried.iter().filter(|(_, how)| *how == "done").map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_hardened_worker_reaches_staging_and_the_network_and_nothing_else() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let stage = Stage::new(&site, "", &[]);
    let held = stage.fetchd.try_status().unwrap().updates.worker.unwrap();
    assert!(held.no_new_privs && held.capabilities && held.seccomp && held.limits, "{held:?}");
    let tried = attempts(&stage, &site, "poll");
    if held.landlock.is_some() {
        assert_eq!(succeeded(&tried), ["connect", "write_staging"], "{tried:?}");
    } else {
        // Then it is said, and what needs no Landlock holds all the same.
        assert_eq!(held.lacking.iter().map(|lacking| lacking.measure).collect::<Vec<_>>(), [Measure::Landlock]);
        let others = ["connect", "wait_for_connections", "write_staging"];
        assert!(succeeded(&tried).iter().all(|name| FILES.contains(name) || others.contains(name)), "{tried:?}");
    }
    assert_eq!(stage.pass().0, 0);
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

#[test]
fn a_worker_that_unpacks_reaches_nothing_at_all() {
    let site = Site::new();
    let mut stage = Stage::new(&site, "", &[]);
    publish_packed(&site, "1.1.0");
    let held = stage.fetchd.try_status().unwrap().updates.worker.unwrap();
    let tried = attempts(&stage, &site, "extract");
    if held.landlock.is_some() {
        assert_eq!(succeeded(&tried), [] as [&str; 0], "{tried:?}");
    }
    assert_eq!((tried["connect"].as_str(), tried["execute"].as_str()), ("1", "1"));
    assert_eq!(stage.pass().0, 0);
    stage.fetchd.wait_for_version("1.1.0");
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

/// The same attempts without hardening succeed: it is not something else that stops them.
#[test]
fn without_hardening_the_same_attempts_succeed() {
    let site = Site::new();
    let stage = Stage::new(&site, "", &["--worker-hardening", "off", "--worker-stay", "2h"]);
    let said = text(&stage.fetchd.fetchd("status", &[]));
    assert!(said.contains("NOT hardened (off)"), "{said}");
    site.publish(&Trailer::version("1.1.0"));
    // Those that do no harm.
    let tried = {
        stage.order("kind symlink", "download");
        stage.pass().1
    };
    assert_eq!(tried, "staged.kind", "it could make a symlink");
    // One whose artifact is refused is let go; the next pass has another.
    let mut status = String::new();
    wait_until("a worker can be looked at", || {
        stage.pass();
        let worker = worker_of(stage.fetchd.pid());
        status = worker.and_then(|id| fs::read_to_string(format!("/proc/{id}/status")).ok()).unwrap_or_default();
        status.contains("Seccomp:")
    });
    assert!(status.contains("NoNewPrivs:\t0") && status.contains("Seccomp:\t0"), "{status}");
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

/// For a processor and for memory: what it does can wait, and requests cannot.
#[test]
fn a_worker_gives_way_to_the_service() {
    let site = Site::new();
    for hardening in ["auto", "off"] {
        let stage = Stage::new(&site, "", &["--worker-hardening", hardening, "--worker-stay", "2h"]);
        let nice = |pid: u32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The second field is the command in parentheses, and may hold anything.
            stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
        };
        let mut seen = None;
        wait_until("a worker can be looked at", || {
            stage.pass();
            seen = worker_of(stage.fetchd.pid()).and_then(|worker| {
                let queue = fs::read_to_string(format!("/proc/{worker}/oom_score_adj")).ok()?;
                Some((nice(worker)?, queue.trim().to_owned()))
            });
            seen.is_some()
        });
        let service = stage.fetchd.try_status().unwrap().service.generations[0].pid;
        let ours = nice(stage.fetchd.pid()).unwrap();
        assert_eq!(nice(service), Some(ours), "a service is as important as its supervisor");
        assert_eq!(seen, Some(((ours + 10).min(19), "800".to_owned())), "hardening {hardening}");
        assert_eq!(stage.fetchd.stop().code(), Some(0));
    }
}

#[test]
fn what_a_kernel_lacks_is_shown_and_logged_once() {
    let site = Site::new();
    let stage = Stage::new(&site, "landlock", &[]);
    let said = text(&stage.fetchd.fetchd("status", &[]));
    assert!(said.contains("PARTLY hardened (auto): seccomp"), "{said}");
    assert!(said.contains("lacks landlock (a test plays a kernel without it)"), "{said}");
    let json = stage.fetchd.fetchd("status", &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let held = &json["updates"]["worker"];
    assert_eq!(held["lacking"][0]["measure"], "landlock", "{json}");
    assert_eq!((&held["mode"], &held["landlock"]), (&"auto".into(), &serde_json::Value::Null));
    assert_eq!((&held["seccomp"], &held["no_new_privs"]), (&true.into(), &true.into()));
    for _ in 0..2 {
        site.publish(&Trailer::version("1.1.0"));
        assert_eq!(stage.pass().0, 0);
    }
    let log = stage.fetchd.log();
    assert_eq!(log.matches("less hardening than it could").count(), 1, "{log}");
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

#[test]
fn a_worker_that_lacks_what_is_required_is_given_no_job() {
    for lacking in ["landlock", "seccomp", "no_new_privs"] {
        let site = Site::new();
        site.publish(&Trailer::version("1.1.0"));
        let stage = Stage::new(&site, lacking, &["--worker-hardening", "require"]);
        let (exit, code, said) = stage.pass();
        assert_eq!((exit, code.as_str()), (64, "worker.hardening"), "{said}");
        assert!(said.contains(lacking), "{said}");
        assert_eq!(worker_of(stage.fetchd.pid()), None, "and it is gone");
        assert_eq!(stage.fetchd.stop().code(), Some(0));
    }
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let mut command = site.command("apply", &["--worker-hardening", "require", "--json"]);
    let output = command.env("FETCHD_TEST_WORKER_WITHOUT", "seccomp").arg("--").arg(site.program()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("worker.hardening"), "{}", text(&output));
}

#[test]
fn a_kernel_that_has_everything_is_good_enough_for_require() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let stage = Stage::new(&site, "", &["--worker-hardening", "require"]);
    let (exit, code, said) = stage.pass();
    let held = stage.fetchd.try_status().unwrap().updates.worker.unwrap();
    if held.lacking.is_empty() {
        assert_eq!(exit, 0, "{said}");
        assert!(text(&stage.fetchd.fetchd("status", &[])).contains("hardened (require): landlock "));
    } else {
        assert_eq!((exit, code.as_str()), (64, "worker.hardening"), "{said}");
    }
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

#[test]
fn apply_and_check_harden_their_worker_too() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    for command in ["check", "apply"] {
        let order = crate::malice::orders(&site);
        let (place, pid) = (site.path().display(), std::process::id());
        fs::write(&order, format!("escape {place} /nonexistent {pid} 1 1@poll")).unwrap();
        let mut fetchd = site.command(command, &["--json"]);
        let output = fetchd.env("FETCHD_TEST_WORKER_FILE", &order).arg("--").arg(site.program()).output().unwrap();
        let said = text(&output);
        assert!(said.contains("execute=1 ") && said.contains("chroot=1 "), "{command}: {said}");
        let honest = site.command(command, &["--json"]).arg("--").arg(site.program()).output().unwrap();
        assert_eq!(honest.status.code(), Some(if command == "check" { 10 } else { 0 }), "{}", text(&honest));
    }
}

/// With a user of its own, permissions alone keep a worker from what is ours.
#[test]
fn a_user_of_its_own() {
    let site = Site::new();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    publish_packed(&site, "1.1.0");
    if !rustix::process::geteuid().is_root() {
        let mut command = site.command("apply", &["--worker-user", "65534"]);
        let output = command.arg("--").arg(site.program()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains("[worker.user]"), "{}", text(&output));
        return;
    }
    let without = BARE.replace("no_new_privs,", "");
    fs::create_dir_all(site.path().join("orders")).unwrap();
    fs::set_permissions(site.path().join("orders"), fs::Permissions::from_mode(0o777)).unwrap();
    let mut stage = Stage::new(&site, &without, &["--worker-user", "65534"]);
    // Packed: the one that unpacks cannot enter custody either, and need not.
    stage.fetchd.wait_for_version("1.1.0");
    let held = stage.fetchd.try_status().unwrap().updates.worker.unwrap();
    assert_eq!(held.user, 65534);
    let tried = attempts(&stage, &site, "poll");
    let mut can = succeeded(&tried);
    can.retain(|name| !["connect", "list_etc", "execute", "wait_for_connections"].contains(name));
    assert_eq!(can, ["socket_staging", "symlink_staging", "write_staging"], "{tried:?}");
    let private = site.path().join("srv/.fetchd/app");
    let owner = |name: &str| fs::metadata(private.join(name)).map(|meta| (meta.uid(), meta.mode() & 0o777)).unwrap();
    assert_eq!((owner("staging"), owner("custody"), owner("")), ((65534, 0o700), (0, 0o700), (0, 0o710)));
    assert_eq!(stage.pass().0, 0, "what it left there is in nobody's way");
    assert_eq!(stage.fetchd.stop().code(), Some(0));

    // Taken back: what the other user left goes.
    site.publish(&Trailer::version("1.2.0"));
    let stage = Stage::new(&site, "", &[]);
    let owner = |name: &str| fs::metadata(private.join(name)).unwrap().uid();
    assert_eq!((owner("staging"), owner("custody")), (0, 0));
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

#[test]
fn a_user_that_cannot_be_is_an_error_at_the_start() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for (user, why) in [("nobody-at-all", "does not know"), ("0", "root itself"), ("65534", "may not pass through")] {
        let mut command = site.command("run", &["--worker-user", user, "--listen", "web=127.0.0.1:0"]);
        let output = command.arg("--").arg(site.program()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        let why = if rustix::process::geteuid().is_root() { why } else { "only root can" };
        assert!(text(&output).contains("[worker.user]") && text(&output).contains(why), "{}", text(&output));
    }
}
