//! Those that are told.

use std::fs;

use fetchd::demo::{Fault, Trailer};
use fetchd::digest::Sha256;
use fetchd::publish::Publisher;
use rustix::process::Signal;

use crate::site::{Site, get, is_alive, text, wait_until};
use crate::{Script, number_in};

#[test]
fn each_hook_is_told_what_its_name_says_once_and_as_the_history_says_it() {
    let site = Site::new();
    let scripts = ["post_handoff", "on_rollback", "on_refused"].map(|name| (name, Script::new(&site, name, "exit 0")));
    let flags: Vec<String> = scripts
        .iter()
        .flat_map(|(name, script)| [format!("--hooks-{}", name.replace('_', "-")), script.path().to_owned()])
        .collect();
    let mut fetchd = site.run(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let [(_, handed), (_, back), (_, refused)] = &scripts;

    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    wait_until("the first one was told", || handed.told().len() == 1);

    site.publish(&Trailer::version("1.2.0").with_fault(Fault::CrashAfterReady));
    fetchd.wait_for_event("handoff.failed", "");
    wait_until("the second one was told", || back.told().len() == 1);

    let stranger = Publisher::new(site.path().join("bin")).unwrap();
    let theirs = stranger.publish("1.3.0", &site.binary(&Trailer::version("1.3.0"))).unwrap();
    fs::copy(theirs.pointer, site.publisher.pointer()).unwrap();
    fetchd.wait_for_event("release.refused", "signature.unknown_key");
    wait_until("the third one was told", || refused.told().len() == 1);

    // The source goes on to show what is refused, poll after poll.
    let polls = |fetchd: &crate::site::Supervised<'_>| fetchd.try_status().unwrap().updates.last.unwrap().at;
    let seen = polls(&fetchd);
    wait_until("the source was asked again", || polls(&fetchd) > seen);
    assert!(fetchd.fetchd("rollback", &[]).status.success());
    wait_until("somebody's way back was told", || back.told().len() == 2);

    let history = site.history();
    let expected = [
        (handed.told(), vec!["release.confirmed"], "post_handoff"),
        (back.told(), vec!["handoff.failed", "release.rolled_back"], "on_rollback"),
        (refused.told(), vec!["release.refused"], "on_refused"),
    ];
    for (told, events, hook) in expected {
        assert_eq!(told.len(), events.len(), "{told:?}");
        for (told, event) in told.into_iter().zip(events) {
            assert_eq!((told["schema"].as_u64(), told["hook"].as_str()), (Some(1), Some(hook)), "{told}");
            assert_eq!(told["product"], "app");
            assert_eq!(told["program"], site.program().to_str().unwrap());
            let line = history.iter().find(|line| line.event == event).unwrap();
            assert_eq!(told["event"], serde_json::to_value(line).unwrap(), "the very line of the history");
        }
    }
    assert_eq!(refused.told()[0]["event"]["code"], "signature.unknown_key");
    assert_eq!(handed.told()[0]["event"]["version"], "1.1.0");
    let bad = &back.told()[0]["event"];
    assert_eq!((bad["version"].as_str(), bad["code"].as_str()), (Some("1.2.0"), Some("watch.died")), "which, and why");
    assert_eq!(
        bad["sha256"],
        Sha256::of(&site.binary(&Trailer::version("1.2.0").with_fault(Fault::CrashAfterReady))).to_string()
    );
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// They hang, they fail, they are not there: the service, the next release and the end of fetchd wait for none of it.
#[test]
fn a_hook_that_hangs_or_fails_or_is_missing_is_in_nobodys_way() {
    let site = Site::new();
    let (hangs, pid) = Script::that_hangs(&site);
    let fails = Script::new(&site, "fails", "echo 'no chat today' >&2; exit 3");
    let missing = site.path().join("missing");
    let missing = missing.to_str().unwrap();
    let mut fetchd = site.run(&[
        "--hooks-deadline",
        "1h",
        "--hooks-on-refused",
        hangs.path(),
        "--hooks-post-handoff",
        fails.path(),
        "--hooks-on-rollback",
        missing,
    ]);
    let address = fetchd.address();
    // Those that are told run one after the other: first the two that end.
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    wait_until("its failure is logged", || fetchd.log().contains("no chat today"));
    assert!(fetchd.log().contains("`hooks.post_handoff` ended with exit code 3; it said: no chat today"));
    site.publish(&Trailer::version("1.2.0").with_fault(Fault::ExitBeforeReady));
    fetchd.wait_for_event("handoff.failed", "handoff.exited");
    wait_until("that it is missing is logged", || fetchd.log().contains("is not there"));

    // A release that lies about its version is refused, and the hook that hears of it never ends.
    site.publish(&Trailer::version("1.3.0").with_fault(Fault::VersionWrong));
    wait_until("it hangs", || number_in(&pid).is_some());
    let hanging = number_in(&pid).unwrap();
    site.publish(&Trailer::version("1.4.0"));
    fetchd.wait_for_version("1.4.0");
    assert!(get(address, "/").unwrap().contains("200 OK"));
    assert!(is_alive(hanging), "nobody has waited for it");
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
    assert!(fetchd.log().contains("`hooks.on_refused` was broken off"), "{}", fetchd.log());
    wait_until("it does not outlive fetchd", || !is_alive(hanging));
}

#[test]
fn a_hook_that_is_late_is_killed_and_the_next_one_runs() {
    let site = Site::new();
    let (hangs, pid) = Script::that_hangs(&site);
    let done = Script::new(&site, "done", "exit 0");
    let flags = ["--hooks-deadline", "2s", "--hooks-on-refused", hangs.path(), "--hooks-post-handoff", done.path()];
    let mut fetchd = site.run(&flags);
    fetchd.address();
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::VersionWrong));
    fetchd.wait_for_event("release.refused", "");
    site.publish(&Trailer::version("1.2.0"));
    wait_until("the next one was told", || done.told().len() == 1);
    assert!(fetchd.log().contains("`hooks.on_refused` did not end within 2 s and was killed"), "{}", fetchd.log());
    assert!(!is_alive(number_in(&pid).unwrap()));
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// Nobody is left who would look at its deadline.
#[test]
fn a_hook_dies_with_fetchd() {
    let site = Site::new();
    let (hangs, pid) = Script::that_hangs(&site);
    let mut fetchd = site.run(&["--hooks-deadline", "1h", "--hooks-on-refused", hangs.path()]);
    fetchd.address();
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::VersionWrong));
    wait_until("it hangs", || number_in(&pid).is_some());
    let hanging = number_in(&pid).unwrap();
    assert!(is_alive(hanging));
    fetchd.signal(Signal::KILL);
    wait_until("it is gone", || !is_alive(hanging));
    assert!(!fetchd.wait_for_end().success());
}

/// A supervisor that becomes another program could neither reap it nor end it any more.
#[test]
fn fetchd_replaces_itself_when_no_hook_runs() {
    let site = Site::new();
    let (go, pid) = (site.path().join("go"), site.path().join("pid"));
    let wait = format!("echo $$ > {}; while ! [ -e {} ]; do sleep 0.05; done", pid.display(), go.display());
    let waits = Script::new(&site, "waits", &wait);
    let mut fetchd = site.run(&["--hooks-post-handoff", waits.path()]);
    let address = fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    wait_until("a hook runs", || number_in(&pid).is_some());
    let before = fetchd.pid();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| fetchd.fetchd("restart", &["--supervisor"]));
        wait_until("fetchd has come to rest but for the hook", || !has_thread(before, "agent"));
        assert!(get(address, "/").unwrap().contains("200 OK"));
        assert!(is_alive(number_in(&pid).unwrap()) && !asked.is_finished(), "it is waited for");
        fs::write(&go, "").unwrap();
        let output = asked.join().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    });
    assert_eq!(fetchd.pid(), before);
    wait_until("nothing is left of it", || !is_alive(number_in(&pid).unwrap()));
    // The new one has hooks, too.
    site.publish(&Trailer::version("1.2.0"));
    wait_until("the next release was told", || waits.told().len() == 2);
    assert_eq!(fetchd.stop().code(), Some(0));
}

fn has_thread(pid: u32, name: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.into_iter().any(|thread| thread.trim() == name)
}

/// Two bad releases with the same fault, one right after the other, are two to be told of.
#[test]
fn the_next_bad_release_is_told_as_well_though_its_fault_is_the_same() {
    let site = Site::new();
    let back = Script::new(&site, "back", "exit 0");
    let mut fetchd = site.run(&["--interval", "1h", "--hooks-on-rollback", back.path()]);
    fetchd.address();
    for (many, version) in ["1.1.0", "1.2.0"].into_iter().enumerate() {
        site.publish(&Trailer::version(version).with_fault(Fault::ExitBeforeReady));
        assert_eq!(fetchd.fetchd("apply", &[]).status.code(), Some(42));
        wait_until("it was told", || back.told().len() == many + 1);
        assert_eq!(back.told()[many]["event"]["version"], version);
    }
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// The previous binary is not what it was: the worst that can happen, and somebody hears of it.
#[test]
fn a_way_back_that_fails_is_told_and_so_is_what_led_to_it() {
    let site = Site::new();
    let back = Script::new(&site, "back", "exit 0");
    let mut fetchd = site.run(&["--interval", "1h", "--ready-deadline", "5s", "--hooks-on-rollback", back.path()]);
    fetchd.address();
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::NeverReady));
    let kept = site.path().join("srv/.fetchd/app/previous");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| fetchd.fetchd("apply", &[]));
        // Five seconds before it is missed.
        wait_until("the previous one is kept", || kept.exists() || asked.is_finished());
        fs::write(kept.with_extension("damaged"), "damaged").unwrap();
        fs::rename(kept.with_extension("damaged"), &kept).unwrap();
        assert!(!asked.join().unwrap().status.success());
    });
    wait_until("both were told", || back.told().len() >= 2);
    let events: Vec<String> =
        back.told().iter().map(|told| told["event"]["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events[..2], ["handoff.failed", "rollback.failed"], "{events:?}");
    assert_eq!(back.told()[0]["event"]["version"], "1.1.0");
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_hook_can_ask_fetchd_itself() {
    let site = Site::new();
    let history = format!(
        "{} history --product app --state-dir {} > history 2>&1",
        crate::site::FETCHD,
        site.state_dir().display()
    );
    let asks = Script::new(&site, "asks", &history);
    let mut fetchd = site.run(&["--hooks-post-handoff", asks.path()]);
    fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    let said = || fs::read_to_string(site.path().join("history")).unwrap_or_default();
    wait_until("it has an answer", || fetchd.log().contains("`hooks.post_handoff`"));
    assert!(said().contains("release.confirmed    1.1.0"), "{}", said());
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn apply_waits_for_the_hooks_that_it_told_without_the_lock_of_the_state() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let again = format!(
        "{} apply --product app --state-dir {} --source {} --key {} -- {} > again 2>&1 && touch done",
        crate::site::FETCHD,
        site.state_dir().display(),
        site.source(),
        site.publisher.public_key(),
        site.program().display()
    );
    let slow = Script::new(&site, "slow", &again);
    let output =
        site.command("apply", &["--hooks-post-handoff", slow.path()]).arg("--").arg(site.program()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(site.path().join("done").exists(), "it was done when the command ended");
    assert_eq!(slow.told()[0]["event"]["version"], "1.1.0");
}
