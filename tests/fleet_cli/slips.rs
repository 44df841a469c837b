//! Slips of the pen, and what is asked of a bucket in which nothing is, or what there is.

use std::net::TcpListener;

use serde_json::json;

use crate::shell::{Shell, WHO};

#[test]
fn slips_of_the_pen_are_told_and_change_nothing() {
    let (shell, first, second) = Shell::with_releases();
    // One meaning, one code: whoever asks about a rollout that nobody has begun.
    let calls: [&[&str]; 7] = [
        &["status"],
        &["hosts"],
        &["explain", "web-1"],
        &["steward", "--once"],
        &["pin", "web-1"],
        &["renew", "--yes"],
        &["promote", "--yes"],
    ];
    for call in calls {
        shell.bad(&[call, &WHO].concat(), 64, "fleet.no_rollout");
    }
    assert_eq!(shell.json(&["rollouts"])["rollouts"], json!([]));
    let listed = shell.json(&["releases"]);
    assert_eq!(listed["releases"].as_array().unwrap().len(), 2, "{listed}");

    shell.host("web-1");
    let start = |more: &[&str], code: &str| {
        let fixed = ["start", "--release", &second, "--plan", "plan.toml", "--yes"];
        shell.bad(&[&fixed[..], &WHO, more].concat(), 64, code)
    };
    assert!(start(&["--ring", "canary,host=wbe-1"], "fleet.unseen").contains("did you mean `web-1`?"));
    start(&["--window", "25:00-26:00"], "fleet.usage");
    start(&["--lease", "az:0"], "usage.arguments");
    assert!(start(&["--lease", "{az}:5%"], "usage.arguments").contains("number"));
    start(&["--at", "never"], "usage.arguments");
    let (version, _) = second.split_once('+').unwrap();
    let text = shell.bad(&[&["start", "--release", version, "--yes"], &WHO[..]].concat(), 64, "fleet.no_release");
    assert!(text.contains(&format!("did you mean `{second}`?")), "{text}");
    let public = ["start", "--release", &second, "--product", "web", "--rollout-key", "rollout.pub", "--yes"];
    let text = shell.bad(&public, 64, "key.unusable");
    assert!(text.contains("`rollout.pub` is a public key") && text.contains("rollout.key"), "{text}");
    assert_eq!(shell.head(), None, "nothing was written by all of this");

    shell.start(&second);
    let there = shell.head();
    let text = shell.bad(&[&["pin", "web-2"], &WHO[..]].concat(), 64, "fleet.unseen");
    assert!(text.contains("did you mean `web-1`?") && text.contains("--unseen"), "{text}");
    shell.bad(&[&["pin", "web-1", "9.9.9"], &WHO[..]].concat(), 64, "fleet.no_release");
    assert_eq!(shell.head(), there);
    // One that is still to come; and the bucket by the name that hosts are given.
    let store = format!("fleet+{}", shell.server.source("fleet"));
    shell.json(&["pin", "web-2", &first, "--unseen", "--yes", "--store", &store]);
    let text = shell.bad(&[&["unpin", "web-3"], &WHO[..]].concat(), 64, "fleet.phase");
    assert!(text.contains("did you mean `web-2`?"), "{text}");
    let text = shell.good(&[&["fleet", "explain", "wbe-1"], &WHO[..]].concat());
    assert!(text.contains("NEVER") && text.contains("did you mean `web-1`?"), "{text}");

    let text = shell.good(&[&["fleet", "rollouts"], &WHO[..]].concat());
    assert!(text.contains(&second) && text.contains("running") && text.ends_with("1 rollout\n"), "{text}");
    let text = shell.good(&[&["fleet", "releases"], &WHO[..]].concat());
    assert!(text.contains("rolled out now") && text.contains("back to 1.0.0"), "{text}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = shell.bad(&[&["serve", "--listen", &address], &WHO[..]].concat(), 64, "fleet.serve");
    assert!(text.contains("is taken"), "{text}");
}

#[test]
fn a_halt_is_shown_with_the_command_that_acknowledges_it() {
    let (shell, first, _) = Shell::with_releases();
    let begun = shell.start(&first);
    let rollout = begun["rollout"].as_str().unwrap();
    shell.server.put(&shell.names.latch(rollout, 0), &b"stop\n"[..]);
    let text = shell.good(&[&["fleet", "status"], &WHO[..]].concat());
    let (_, ack) = text.split_once("fetchd fleet resume --ack ").unwrap_or_else(|| panic!("{text}"));
    let ack = ack.lines().next().unwrap();
    assert_eq!(ack.len(), 12, "{text}");
    shell.bad(&[&["promote", "--yes"], &WHO[..]].concat(), 22, "fleet.halted");
    shell.json(&["resume", "--ack", ack, "--yes"]);
}

#[test]
fn a_key_is_made_only_for_a_bucket_that_is_there() {
    let shell = Shell::new();
    let nowhere = shell.server.source_in("not-there", "fleet").to_string();
    let make = ["init", "--product", "web", "--make-key", "--no-password", "--store", &nowhere];
    let keys = ["--rollout-key", "new.key", "--public-key", "new.pub"];
    let text = shell.bad(&[&make[..], &keys].concat(), 30, "source.not_found");
    assert!(text.contains("make the bucket first"), "{text}");
    assert!(!shell.dir.path().join("new.key").exists() && !shell.dir.path().join("new.pub").exists());
    // The second file cannot be written: no half of a pair is left.
    let text = shell.bad(
        &[
            "init",
            "--product",
            "web",
            "--make-key",
            "--no-password",
            "--rollout-key",
            "new.key",
            "--public-key",
            "no/new.pub",
        ],
        40,
        "publish.io",
    );
    assert!(!shell.dir.path().join("new.key").exists(), "{text}");
    let text = shell.bad(&["doctor", "--store", &nowhere], 30, "fleet.doctor");
    assert!(text.contains("there is no bucket"), "{text}");
}

#[test]
fn a_plan_of_ones_own_is_simulated() {
    let shell = Shell::new();
    let plan = "steps = [{pct = 20, ramp = \"10m\", bake = \"10m\"}, {pct = 100, ramp = \"10m\", manual = true}]\n";
    std::fs::write(shell.dir.path().join("own.toml"), plan).unwrap();
    let text = shell.good(&["fleet", "simulate", "--plan", "own.toml", "--hosts", "60", "--seeds", "1"]);
    assert!(text.contains("good, own.toml"), "{text}");
    std::fs::write(shell.dir.path().join("own.toml"), "steps = []\n").unwrap();
    let text = shell.bad(&["simulate", "--plan", "own.toml"], 64, "usage.arguments");
    assert!(text.contains("0 steps"), "{text}");
    shell.bad(&["simulate", "--plan", "slow"], 64, "fleet.usage");
}
