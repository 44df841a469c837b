//! The one that is asked.

use std::fs;

use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use rustix::process::Signal;

use crate::site::{Site, get, is_alive, wait_until};
use crate::web::{Web, all_was_answered, light_load, wait_for_count};
use crate::{Script, number_in};

#[test]
fn a_release_is_installed_when_the_hook_says_so_and_held_until_then_without_another_download() {
    let web = Web::new();
    let asked = Script::new(&web.site, "asked", "echo 'not on a Friday'; exit 1");
    let mut fetchd = web.run(&["--hooks-pre-install", asked.path()], &[]);
    let load = light_load(&mut fetchd);
    let artifact = web.publish(&Trailer::version("1.1.0"), |_| Vec::new());
    fetchd.wait_for_event("release.held", "install.not_now");
    wait_until("it was asked again", || asked.told().len() >= 3);
    let held = fetchd.try_status().unwrap().updates;
    assert_eq!(held.version.as_deref(), Some("1.0.0"), "nothing has changed");
    let why = held.last.unwrap().error.unwrap();
    assert_eq!(why.code, "install.not_now");
    assert!(why.message.contains("`hooks.pre_install` ended with exit code 1; it said: not on a Friday"), "{why:?}");
    assert_eq!(web.asked(&artifact).len(), 1, "it is downloaded once");
    assert_eq!(web.site.record().quarantine, [], "the release is not blamed");

    let told = asked.told().pop().unwrap();
    assert_eq!((told["hook"].as_str(), told["product"].as_str()), (Some("pre_install"), Some("app")), "{told}");
    let bytes = web.site.binary(&Trailer::version("1.1.0"));
    let candidate = &told["candidate"];
    assert_eq!(candidate["sha256"], Sha256::of(&bytes).to_string());
    assert_eq!((candidate["version"].as_str(), candidate["size"].as_u64()), (Some("1.1.0"), Some(bytes.len() as u64)));
    assert_eq!(fs::read(candidate["path"].as_str().unwrap()).unwrap(), bytes, "what it could look at");

    asked.now("exit 0");
    fetchd.wait_for_version("1.1.0");
    assert_eq!(web.asked(&artifact).len(), 1);
    all_was_answered(load);
    assert_eq!(fetchd.stop().code(), Some(0));
    assert_eq!(web.leftovers(), Vec::<std::path::PathBuf>::new());
}

/// No digest is signed: what waits is known by what the source shows.
#[test]
fn a_release_without_a_signed_digest_is_held_without_another_download_too() {
    let site = Site::new();
    let asked = Script::new(&site, "asked", "exit 1");
    let origin = ScriptedOrigin::start();
    origin.put("/app", site.binary(&Trailer::version("1.1.0")));
    let mut command = std::process::Command::new(crate::site::FETCHD);
    command
        .args(["run", "--product", "app", "--jitter", "0", "--interval", "200ms", "--watch", "300ms"])
        .args(["--listen", "web=127.0.0.1:0", "--insecure-unsigned", "--source", origin.url("/app").as_str()])
        .args(["--hooks-pre-install", asked.path(), "--state-dir"])
        .arg(site.state_dir())
        .arg("--")
        .arg(site.program())
        .current_dir(site.path());
    let mut fetchd = site.supervise(command);
    fetchd.address();
    wait_until("it was asked again and again", || asked.told().len() >= 3);
    let bodies = origin.requests().iter().filter(|request| request.method == "GET").count();
    asked.now("exit 0");
    fetchd.wait_for_version("1.1.0");
    assert!(bodies < 3, "{bodies} requests for the artifact, asked {} times", asked.told().len());
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_fleet_does_not_wait_for_a_hosts_program() {
    let site = Site::new();
    let key = site.publisher.public_key().to_string();
    let mut command = std::process::Command::new(crate::site::FETCHD);
    command.args(["config", "check", "--source", "fleet+s3://bucket/prod", "--key", &key, "--fleet-key", &key]);
    let output = command.args(["--hooks-pre-install", "/bin/true", "--", "./server"]).output().unwrap();
    let said = crate::site::text(&output);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("--hooks-pre-install") && said.contains("the rollout says when"), "{said}");
}

#[test]
fn a_release_that_was_held_and_then_revoked_is_never_installed() {
    let web = Web::new();
    let asked = Script::new(&web.site, "asked", "exit 1");
    let mut fetchd = web.run(&["--hooks-pre-install", asked.path()], &[]);
    web.publish(&Trailer::version("1.1.0"), |_| Vec::new());
    fetchd.wait_for_event("release.held", "install.not_now");
    web.site.publisher.revoke("1.1.0", "leaks memory").unwrap();
    web.origin.put(crate::web::POINTER, fs::read(web.site.publisher.pointer()).unwrap());
    asked.now("exit 0");
    fetchd.wait("it is not offered any more", |status| {
        status.updates.last.as_ref().is_some_and(|last| last.error.as_ref().is_none_or(|e| e.code != "install.not_now"))
    });
    web.publish(&Trailer::version("1.2.0"), |_| Vec::new());
    fetchd.wait_for_version("1.2.0");
    assert!(!web.site.history().iter().any(|line| {
        line.event == "release.confirmed" && line.version.as_ref().is_some_and(|version| version.to_string() == "1.1.0")
    }));
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// It hangs, with a child of its own; a stop does not wait for it, nor does whoever asks something else of fetchd.
#[test]
fn one_that_hangs_is_killed_at_its_deadline_and_does_not_hold_up_a_stop() {
    let site = Site::new();
    let pid = site.path().join("pid");
    let hangs = Script::new(&site, "hangs", &format!("sleep 3600 & echo $! > {}; wait", pid.display()));
    let mut fetchd = site.run(&["--hooks-pre-install", hangs.path(), "--hooks-deadline", "2s"]);
    site.publish(&Trailer::version("1.1.0"));
    wait_for_count(&fetchd, "release.held", "install.not_now", 1);
    let first = number_in(&pid).unwrap();
    let why = site.history().into_iter().find(|line| line.event == "release.held").unwrap().message.unwrap();
    assert!(why.contains("did not end within 2 s and was killed"), "{why}");
    wait_until("what it had started was killed with it", || !is_alive(first) || number_in(&pid) != Some(first));
    assert!(get(fetchd.address(), "/").unwrap().contains("200 OK"));
    assert_eq!(fetchd.stop().code(), Some(0));

    let mut fetchd = site.run(&["--hooks-pre-install", hangs.path(), "--hooks-deadline", "1h"]);
    fetchd.address();
    let seen = hangs.told().len();
    wait_until("it hangs again", || hangs.told().len() > seen);
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
    assert!(fetchd.log().contains("`hooks.pre_install` was broken off"), "{}", fetchd.log());
}

/// What was verified is what is installed, whoever had it in his hands meanwhile.
#[test]
fn a_candidate_that_the_hook_has_changed_is_not_installed() {
    let site = Site::new();
    let change = "path=$(printf '%s' \"$text\" | sed 's/.*\"path\":\"\\([^\"]*\\)\".*/\\1/'); printf x >> \"$path\"";
    let changes = Script::new(&site, "changes", change);
    let before = fs::read(site.program()).unwrap();
    let mut fetchd = site.run(&["--hooks-pre-install", changes.path()]);
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_event("install.failed", "install.swapped");
    assert_eq!(fs::read(site.program()).unwrap(), before);
    changes.now("exit 0");
    fetchd.wait_for_version("1.1.0");
    assert_eq!(fetchd.stop().code(), Some(0));
}
