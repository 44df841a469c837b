//! What an operator types, from an empty bucket to a rollout that is over: the real program, and an S3 server.

#![cfg(all(feature = "cli", feature = "fleet"))]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod deltas;
mod shell;
mod slips;

use serde_json::json;
use shell::{Shell, WHO};

#[test]
fn a_rollout_from_an_empty_bucket_to_its_end() {
    let (shell, first, second) = Shell::with_releases();
    assert!(first.starts_with("1.0.0+") && second.starts_with("1.1.0+"), "{first} {second}");
    let hosts: Vec<_> = (0..8).map(|n| shell.host(&format!("web-{n}"))).collect();

    // Looked at, and not written.
    let before = shell.server.keys();
    let plan = ["start", "--release", &second, "--plan", "plan.toml", "--at", "now"];
    let text = shell.good(&[&["fleet"], &plan[..], &WHO, &["--dry-run"]].concat());
    assert!(text.ends_with("nothing was written\n") && text.contains("now: 0 → 4"), "{text}");
    let dry = shell.json(&[&plan[..], &["--dry-run"]].concat());
    assert_eq!((&dry["written"], &dry["effect"]["before"]), (&json!(false), &json!(null)));
    // Nobody has said that it is right.
    let text = shell.bad(&[&plan[..], &WHO].concat(), 64, "usage.arguments");
    assert!(text.contains("--yes"), "{text}");
    assert_eq!(shell.server.keys(), before);

    let begun = shell.start(&second);
    let rollout = begun["rollout"].as_str().unwrap();
    assert_eq!((&begun["written"], &begun["seq"]), (&json!(true), &json!(1)));
    assert_eq!(shell.server.get(&shell.names.plan(rollout, None)), shell.head());

    // The first half comes, and is well.
    let explained = |host: &str| shell.json(&["explain", host]);
    let turn = |n: usize| explained(&format!("web-{n}"))["step"].as_u64().unwrap();
    let early: Vec<usize> = (0..8).filter(|n| turn(*n) == 1).collect();
    let late = (0..8).find(|n| !early.contains(n)).unwrap();
    for n in &early {
        shell.report(rollout, hosts[*n], "1-s-r0k0");
        shell.report(rollout, hosts[*n], "1-o");
    }
    let counted = shell.json(&["steward", "--once"]);
    assert_eq!(counted["rollup"]["rings"][0][0]["ok"], early.len());
    let listed = shell.json(&["hosts", "--state", "ok"]);
    assert_eq!((&listed["total"], listed["hosts"][0]["name"].as_str().is_some()), (&json!(early.len()), true));
    let text = shell.good(&[&["fleet", "hosts"], &WHO[..]].concat());
    assert!(text.contains("all/1") && text.ends_with(&format!("{} hosts\n", early.len())), "{text}");

    for (verb, state) in [("pause", "paused"), ("resume", "running")] {
        assert_eq!(shell.json(&[verb, "--yes"])["effect"]["after"]["state"], state);
    }
    let promoted = shell.json(&["promote", "--yes"]);
    assert_eq!(promoted["effect"]["after"]["open"], json!(["all", 2]));
    let text = shell.good(&[&["fleet", "explain", &format!("web-{late}")], &WHO[..]].concat());
    assert!(text.contains("step 2") && text.contains("said      nothing yet"), "{text}");
    for n in (0..8).filter(|n| !early.contains(n)) {
        shell.report(rollout, hosts[n], "1-s-r0k1");
        shell.report(rollout, hosts[n], "1-o");
    }
    shell.json(&["steward", "--once"]);
    assert_eq!(shell.json(&["finish", "--yes"])["effect"]["after"]["state"], "done");

    // The way back is a rollout of its own.
    let slow = ["--to", &first, "--yes"];
    let back = shell.json(&[&["rollback"], &slow[..]].concat());
    assert_eq!((&back["release"], &back["seq"]), (&json!(first), &json!(6)));
    assert_ne!(back["rollout"], rollout);
    for change in [&["pin", "web-1"][..], &["unpin", "web-1"], &["retry", "--bad"], &["renew"], &["abort"]] {
        assert_eq!(shell.json(&[change, &["--yes"]].concat())["written"], true, "{change:?}");
    }
    // What is still young stays; nothing is removed without being asked for.
    let old = shell.json(&["gc", "--older", "1d", "--dry-run"]);
    assert_eq!((&old["removed"], &old["rollouts"]), (&json!(0), &json!([])));
}

#[test]
fn what_is_not_allowed_changes_nothing() {
    let (shell, first, second) = Shell::with_releases();
    let start = |release: &str, more: &[&str], exit, code| {
        shell.bad(&[&["start", "--release", release, "--yes"], &WHO[..], more].concat(), exit, code)
    };
    shell.good(&["keygen", "--no-password", "--secret-key", "foreign.key", "--public-key", "foreign.pub"]);
    let foreign =
        ["--product", "web", "--key", "release.pub", "--rollout-key", "foreign.key", "--fleet-key", "rollout.pub"];
    let text =
        shell.bad(&[&["start", "--release", &second, "--yes"], &foreign[..]].concat(), 20, "signature.unknown_key");
    assert!(text.contains("key"), "{text}");
    start(&second, &["--plan", "nowhere.toml"], 64, "fleet.usage");
    start("9.9.9", &[], 64, "fleet.no_release");
    start(&second, &["--lease", "{az}:2"], 64, "fleet.store_lacks");
    std::fs::write(shell.dir.path().join("one.toml"), "steps = [{pct = 100, ramp = \"1h\"}]\n").unwrap();
    let text = start(&second, &["--plan", "one.toml"], 20, "fleet.out_of_bounds");
    assert!(text.contains("has 1 steps, at least 2 are needed"), "{text}");
    for verb in ["pause", "promote", "abort"] {
        shell.bad(&[&[verb, "--yes"], &WHO[..]].concat(), 64, "fleet.no_rollout");
    }
    assert_eq!(shell.head(), None);

    shell.start(&first);
    let there = shell.head();
    // A release that the running one does not name, and a rollout that goes on.
    shell.bad(&[&["rollback", "--to", &second, "--yes"], &WHO[..]].concat(), 20, "fleet.not_a_way_back");
    start(&second, &["--plan", "plan.toml"], 64, "fleet.phase");
    shell.bad(&[&["resume", "--ack", "0123456789"], &WHO[..]].concat(), 22, "fleet.other_halt");
    shell.bad(&[&["pause", "--if-seq", "7", "--yes"], &WHO[..]].concat(), 75, "fleet.changed_meanwhile");
    // The same bytes again, under the same name.
    let artifact = format!("{}=web", fetchd::config::BUILD_TARGET);
    let again = [
        "publish",
        "--product",
        "web",
        "--secret-key",
        "release.key",
        "--release",
        "1.1.0",
        "--id",
        &second,
        &artifact,
    ];
    shell.bad(&again, 64, "publish.exists");
    assert_eq!(shell.head(), there);
}

#[test]
fn of_operators_at_the_same_time_each_succeeds_or_says_so() {
    let (shell, first, _) = Shell::with_releases();
    shell.start(&first);
    let args = [&["fleet", "renew", "--yes"], &WHO[..]].concat();
    let all: Vec<_> = (0..4).map(|_| shell.spawn(&args)).collect();
    let codes: Vec<i32> =
        all.into_iter().map(|child| child.wait_with_output().unwrap().status.code().unwrap()).collect();
    assert!(codes.iter().all(|code| [0, 75].contains(code)), "{codes:?}");
    let won = codes.iter().filter(|code| **code == 0).count();
    assert_eq!(shell.json(&["pause", "--dry-run"])["effect"]["before"]["seq"], 1 + won, "{codes:?}");
    assert!(won >= 1);
}
