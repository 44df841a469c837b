//! Wrong input to the real program: each is named, with a code, an exit code and a way out, and a service that runs
//! goes on running.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "bad_input/confined.rs"]
mod confined;
#[path = "support/site.rs"]
mod site;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output, Stdio};

use fetchd::demo::{Fault, Trailer};
use fetchd::publish::{Protection, keygen};
use serde_json::Value;
use site::{FETCHD, Site, Supervised, get, text, wait_until};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// This exit code, this stable code and a hint on stderr, and these words.
#[track_caller]
fn fails(output: &Output, exit: i32, code: &str, words: &[&str]) {
    assert_eq!(output.status.code(), Some(exit), "{}", text(output));
    let said = stderr(output);
    assert!(said.contains(&format!("[{code}]")), "{code}: {said}");
    assert!(said.lines().any(|line| line.starts_with("hint: ")), "no hint: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// `fetchd COMMAND` with these flags and no others but the place.
fn fetchd(site: &Site, command: &str, flags: &[&str]) -> Output {
    let mut fetchd = Command::new(FETCHD);
    fetchd.arg(command).args(["--product", "app", "--state-dir"]).arg(site.state_dir()).args(flags);
    if matches!(command, "run" | "apply" | "check") {
        fetchd.arg("--").arg(site.program());
    }
    fetchd.current_dir(site.path()).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

fn key(site: &Site) -> String {
    site.publisher.public_key().to_string()
}

/// The last line of stdout as JSON.
#[track_caller]
fn json(output: &Output) -> Value {
    let last = output.stdout.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default().to_owned();
    serde_json::from_slice(&last).unwrap_or_else(|e| panic!("{e}: {}", text(output)))
}

/// The service answers with this version.
#[track_caller]
fn serves(fetchd: &mut Supervised<'_>, version: &str) {
    let address = fetchd.address();
    assert!(get(address, "/").unwrap().contains(&format!(r#""version":"{version}""#)));
}

/// Waits for a pass that ends with this code; returns what `fetchd status` says of it.
#[track_caller]
fn last_code(fetchd: &mut Supervised<'_>, code: &str) -> String {
    fetchd.wait(code, |s| s.updates.last.as_ref().and_then(|l| l.error.as_ref()).is_some_and(|e| e.code == code));
    let output = fetchd.fetchd("status", &[]);
    String::from_utf8(output.stdout).unwrap()
}

// --- sources ---------------------------------------------------------------------------------------------------------

#[test]
fn a_directory_as_a_source_names_the_file_that_is_meant() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let source = format!("file:{}", site.path().join("pub").display());
    let key = key(&site);
    // Without `.fetchd` at its end the source would be an artifact; this is a mistake about what is signed as well.
    let flags = ["--source", source.as_str(), "--key", key.as_str(), "--signature", "bundle"];
    for command in ["check", "apply"] {
        fails(&fetchd(&site, command, &flags), 64, "source.misconfigured", &["is a directory", "`stable.fetchd`"]);
    }
}

#[test]
fn a_relative_source_is_found_from_where_it_stands() {
    let site = Site::new();
    site.publish(&Trailer::version("1.1.0"));
    let key = key(&site);
    let from_here = fetchd(&site, "check", &["--source", "file:pub/stable.fetchd?settle=0s", "--key", &key]);
    assert_eq!(from_here.status.code(), Some(10), "{}", text(&from_here));
    // In a file it is relative to the file.
    let config = site.path().join("pub/web.toml");
    fs::write(&config, format!("source = \"file:stable.fetchd?settle=0s\"\nkey = [\"{key}\"]\n")).unwrap();
    let from_file = fetchd(&site, "check", &["--config", "pub/web.toml"]);
    assert_eq!(from_file.status.code(), Some(10), "{}", text(&from_file));
    fails(&fetchd(&site, "check", &["--source", "pub/stable.fetchd", "--key", &key]), 64, "config.value", &["`file:`"]);
}

#[test]
fn a_source_that_is_not_there_yet_is_waited_for() {
    let site = Site::new();
    let mut fetchd = site.run(&[]);
    serves(&mut fetchd, "1.0.0");
    let status = last_code(&mut fetchd, "source.not_found");
    assert!(status.contains("does not exist yet") && status.contains("hint: "), "{status}");
    let output = fetchd.fetchd("check", &[]);
    fails(&output, 30, "source.not_found", &["does not exist yet"]);
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
}

// --- configuration ---------------------------------------------------------------------------------------------------

#[test]
fn typing_errors_are_answered_with_what_was_meant() {
    let site = Site::new();
    let config = site.path().join("web.toml");
    fs::write(&config, "wach = \"3s\"\n").unwrap();
    fails(&fetchd(&site, "run", &["--config", "web.toml"]), 64, "config.unknown_key", &["`wach`", "`watch`", "line 1"]);
    fs::write(&config, "watch = 3s\n").unwrap();
    fails(&fetchd(&site, "run", &["--config", "web.toml"]), 64, "config.syntax", &["line 1"]);
    fs::write(&config, "watch = \"three\"\n").unwrap();
    let output = fetchd(&site, "run", &["--config", "web.toml"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(stderr(&output).contains("[config.value]"), "{}", text(&output));
    fails(&fetchd(&site, "run", &["--wach", "3s"]), 64, "usage.arguments", &["--wach", "--watch"]);
    assert!(!site.state_dir().exists());
}

#[test]
fn a_key_that_is_none_stops_the_start() {
    let site = Site::new();
    let files = keygen(&site.path().join("release"), Protection::None).unwrap();
    fs::write(site.path().join("garbage"), "hello").unwrap();
    fs::write(site.path().join("empty"), "").unwrap();
    fs::write(site.path().join("huge"), vec![b'R'; 1 << 20]).unwrap();
    let source = site.source();
    let secret = fs::read_to_string(&files.secret).unwrap();
    for wrong in [files.secret.to_str().unwrap(), "garbage", "empty", "huge", "nowhere.pub"] {
        for command in ["run", "apply", "check"] {
            let output = fetchd(&site, command, &["--source", &source, "--key", wrong]);
            fails(&output, 64, "config.value", &["key", "hint: "]);
            assert!(!stderr(&output).contains(secret.lines().nth(1).unwrap()), "a secret key is printed");
        }
    }
    for command in ["run", "apply", "check"] {
        fails(&fetchd(&site, command, &["--source", &source]), 64, "config.missing", &["--key"]);
    }
    let right = fetchd(&site, "check", &["--source", &source, "--key", files.public.to_str().unwrap()]);
    assert_eq!(right.status.code(), Some(30), "{}", text(&right));
}

#[test]
fn sockets_that_cannot_be_had_stop_the_start() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("web={}", taken.local_addr().unwrap());
    fails(&fetchd(&site, "run", &["--listen", &address]), 64, "listen.bind", &["another process"]);
    let twice = fetchd(&site, "run", &["--listen", "web=127.0.0.1:8080", "--listen", "api=127.0.0.1:8080"]);
    assert_eq!(twice.status.code(), Some(64), "{}", text(&twice));
    assert!(stderr(&twice).contains("[config.value]"), "{}", text(&twice));
    let named = fetchd(&site, "run", &["--listen", "web=127.0.0.1:8081", "--listen", "web=127.0.0.1:8082"]);
    assert_eq!(named.status.code(), Some(64), "{}", text(&named));
}

// --- places ----------------------------------------------------------------------------------------------------------

#[test]
fn the_second_fetchd_for_a_service_is_told_who_has_it() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut first = site.run(&[]);
    serves(&mut first, "1.0.0");
    let holder = format!("process {}", first.pid());
    let mut second = site.command("run", &["--listen", "web=127.0.0.1:0"]);
    let output = second.arg("--").arg(site.program()).output().unwrap();
    fails(&output, 75, "state.locked", &[&holder]);
    serves(&mut first, "1.0.0");
    site.publish(&Trailer::version("1.1.0"));
    first.wait_for_version("1.1.0");
}

#[test]
fn a_program_path_that_cannot_hold_a_program() {
    let site = Site::empty();
    fs::create_dir(site.program()).unwrap();
    let (source, key) = (site.source(), key(&site));
    let flags = ["--source", source.as_str(), "--key", key.as_str()];
    for command in ["run", "apply"] {
        fails(&fetchd(&site, command, &flags), 40, "install.path", &["is not a regular file"]);
    }
    fails(&fetchd(&site, "run", &[]), 64, "program.missing", &[]);
}

#[test]
fn a_missing_program_is_installed_from_the_source_and_started() {
    let site = Site::empty();
    let mut fetchd = site.run(&[]);
    let status = last_code(&mut fetchd, "source.not_found");
    assert!(status.contains("not running"), "{status}");
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    serves(&mut fetchd, "1.1.0");
    assert_eq!(fs::metadata(site.program()).unwrap().mode() & 0o111, 0o111);
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_first_release_that_is_bad_is_followed_by_a_good_one() {
    for fault in [Fault::ExitBeforeReady, Fault::CrashAfterReady, Fault::VersionWrong] {
        let site = Site::empty();
        site.publish(&Trailer::version("1.1.0").with_fault(fault));
        let mut fetchd = site.run(&["--watch", "2s"]);
        wait_until("the bad one is shut out", || site.state_dir().exists() && site.record().quarantine.len() == 1);
        site.publish(&Trailer::version("1.2.0"));
        fetchd.wait_for_version("1.2.0");
        serves(&mut fetchd, "1.2.0");
    }
}

#[test]
fn a_program_that_always_crashes_ends_with_its_own_code() {
    let site = Site::empty();
    site.put(&site.program(), &Trailer::version("1.0.0").with_fault(Fault::CrashAfterReady));
    let mut command = Command::new(FETCHD);
    command.args(["run", "--product", "app", "--listen", "web=127.0.0.1:0", "--state-dir"]).arg(site.state_dir());
    let mut fetchd = site.supervise({
        command.arg("--").arg(site.program());
        command
    });
    assert_eq!(fetchd.wait_for_end().code(), Some(9), "{}", fetchd.log());
}

// --- state -----------------------------------------------------------------------------------------------------------

#[test]
fn damaged_state_stops_updates_and_never_the_service() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut before = site.run(&[]);
    before.wait("settled", |s| s.updates.last.is_some());
    assert_eq!(before.stop().code(), Some(0));
    let state = site.state_dir().join("state.json");
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    site.publish(&Trailer::version("1.1.0"));

    let mut fetchd = site.run(&[]);
    serves(&mut fetchd, "1.0.0");
    let status = fetchd.fetchd("status", &[]);
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(shown.contains("OFF") && shown.contains("[state.damaged]"), "{shown}");
    let off = json(&fetchd.fetchd("status", &["--json"]));
    assert_eq!(off["updates"]["updates_off"]["code"], "state.damaged", "{off}");
    for (command, flags) in [("apply", &["--force"][..]), ("check", &[]), ("rollback", &[]), ("hold", &[])] {
        fails(&fetchd.fetchd(command, flags), 50, "state.damaged", &["state.json"]);
    }
    let restarted = fetchd.fetchd("restart", &[]);
    assert!(restarted.status.success(), "{}", text(&restarted));
    serves(&mut fetchd, "1.0.0");
    assert_eq!(fetchd.stop().code(), Some(0));
    fails(&site_apply(&site), 50, "state.damaged", &["state.json"]);
    assert_eq!(fs::read(&state).unwrap(), whole[..whole.len() / 2], "what is damaged is left for whoever looks at it");

    fs::write(&state, whole).unwrap();
    let mut fetchd = site.run(&[]);
    fetchd.wait_for_version("1.1.0");
}

fn site_apply(site: &Site) -> Output {
    let mut apply = site.command("apply", &[]);
    apply.arg("--").arg(site.program()).output().unwrap()
}

// --- commands --------------------------------------------------------------------------------------------------------

#[test]
fn commands_without_a_supervisor_say_so() {
    let site = Site::new();
    for command in ["status", "rollback", "restart", "hold", "unhold"] {
        fails(&fetchd(&site, command, &[]), 64, "control.not_running", &["`fetchd run`", "--state-dir"]);
    }
    let history = fetchd(&site, "history", &[]);
    assert!(history.status.success() && String::from_utf8_lossy(&history.stdout).contains("nothing has happened"));
    // `apply` needs none: it is a supervisor's pass in one process.
    site.publish(&Trailer::version("1.1.0"));
    let applied = site_apply(&site);
    assert!(applied.status.success(), "{}", text(&applied));
    let version = Command::new(site.program()).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains("1.1.0"));
    let again = site_apply(&site);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("newest"), "{}", text(&again));
}

#[test]
fn what_is_printed_for_programs_has_a_schema() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut fetchd = site.run(&[]);
    serves(&mut fetchd, "1.0.0");
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    let status = json(&fetchd.fetchd("status", &["--json"]));
    assert_eq!((&status["schema"], &status["updates"]["version"]), (&1.into(), &"1.1.0".into()), "{status}");
    assert_eq!(status["pid"], fetchd.pid());
    wait_until("it is written down", || site.happened("release.confirmed", ""));
    let history = fetchd.fetchd("history", &["--json"]);
    let events: Vec<Value> =
        history.stdout.trim_ascii().split(|b| *b == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["schema"] == 1), "{events:#?}");
    assert!(events.iter().any(|event| event["event"] == "release.confirmed" && event["version"] == "1.1.0"));
    for command in ["check", "apply", "hold", "unhold", "restart", "rollback"] {
        let output = fetchd.fetchd(command, &["--json"]);
        assert_eq!(json(&output)["schema"], 1, "{command}: {}", text(&output));
    }
    let failure = fetchd.fetchd("rollback", &["--json"]);
    let object = json(&failure);
    assert_eq!((&object["schema"], &object["error"]["code"]), (&1.into(), &"rollback.nothing".into()), "{object}");
}

#[test]
fn a_hold_holds_and_force_goes_on_in_spite_of_it() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut fetchd = site.run(&[]);
    serves(&mut fetchd, "1.0.0");
    let held = fetchd.fetchd("hold", &["--reason", "sale until Monday"]);
    assert!(held.status.success(), "{}", text(&held));
    site.publish(&Trailer::version("1.1.0"));
    let status = last_code(&mut fetchd, "policy.hold");
    assert!(status.contains("sale until Monday") && status.contains("`fetchd unhold`"), "{status}");
    assert_eq!(fetchd.fetchd("check", &[]).status.code(), Some(22));
    let refused = fetchd.fetchd("apply", &[]);
    assert_eq!(refused.status.code(), Some(22), "{}", text(&refused));
    let forced = fetchd.fetchd("apply", &["--force"]);
    assert!(forced.status.success(), "{}", text(&forced));
    fetchd.wait_for_version("1.1.0");

    site.publish(&Trailer::version("1.2.0"));
    assert_eq!(fetchd.fetchd("apply", &[]).status.code(), Some(22));
    assert!(fetchd.fetchd("unhold", &[]).status.success());
    fetchd.wait_for_version("1.2.0");

    // A hold with an end ends by itself.
    assert!(fetchd.fetchd("hold", &["--for", "1s"]).status.success());
    site.publish(&Trailer::version("1.3.0"));
    fetchd.wait_for_version("1.3.0");
    fails(&fetchd.fetchd("hold", &["--for", "soon"]), 64, "config.value", &["--for"]);
}

#[test]
fn a_pin_takes_one_version_and_no_other() {
    let site = Site::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        site.publish(&Trailer::version(version));
    }
    let mut fetchd = site.run(&["--pin", "1.1.0"]);
    fetchd.wait_for_version("1.1.0");
    fetchd.wait("it stays there", |s| {
        s.updates.last.as_ref().is_some_and(|l| matches!(l.outcome.as_str(), "up_to_date" | "unchanged"))
    });
    serves(&mut fetchd, "1.1.0");
    let none = fetchd.fetchd("check", &["--pin", "7.0.0"]);
    assert_eq!(none.status.code(), Some(22), "{}", text(&none));
    fails(&fetchd.fetchd("check", &["--pin", "latest"]), 64, "config.value", &["latest"]);
}

#[test]
fn a_second_rollback_has_nothing_to_go_back_to() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut fetchd = site.run(&[]);
    serves(&mut fetchd, "1.0.0");
    fails(&fetchd.fetchd("rollback", &[]), 40, "rollback.nothing", &["fetchd history"]);
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    let first = fetchd.fetchd("rollback", &[]);
    assert!(first.status.success(), "{}", text(&first));
    fetchd.wait_for_version("1.0.0");
    fails(&fetchd.fetchd("rollback", &[]), 40, "rollback.nothing", &[]);
    serves(&mut fetchd, "1.0.0");
    let again = fetchd.fetchd("apply", &["--force"]);
    assert_eq!(again.status.code(), Some(22), "what was rolled back is not taken again: {}", text(&again));
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
}

#[test]
fn nobody_rolls_back_to_what_was_revoked() {
    let site = Site::new();
    for version in ["1.0.0", "1.1.0"] {
        site.publish(&Trailer::version(version));
    }
    let mut fetchd = site.run(&[]);
    fetchd.wait_for_version("1.1.0");
    site.publisher.revoke("1.0.0", "it leaks").unwrap();
    fetchd.wait("the revocation is known", |_| site.record().revoked.len() == 1);
    fails(&fetchd.fetchd("rollback", &[]), 20, "release.revoked", &["it leaks"]);
    serves(&mut fetchd, "1.1.0");
    assert!(site.record().quarantine.is_empty(), "what serves was not blamed");
}

#[test]
fn check_says_what_there_is_and_changes_nothing() {
    let site = Site::new();
    let check = || {
        let mut check = site.command("check", &[]);
        check.arg("--").arg(site.program()).output().unwrap()
    };
    fails(&check(), 30, "source.not_found", &[]);
    site.publish(&Trailer::version("1.1.0"));
    assert_eq!(check().status.code(), Some(10));
    assert!(!site.state_dir().exists() && !site.path().join("srv/.fetchd").exists());
    assert!(site_apply(&site).status.success());
    assert_eq!(check().status.code(), Some(0));
    let good = site.publisher.document().unwrap();
    site.publisher
        .forge(|m| {
            (m["seq"], m["issued"], m["expires"]) =
                (9.into(), "2020-01-01T00:00:00Z".into(), "2020-02-01T00:00:00Z".into())
        })
        .unwrap();
    let expired = check();
    assert_eq!(expired.status.code(), Some(22), "{}", text(&expired));
    let mut broken = good.clone();
    let at = broken.windows(9).position(|w| w == b"\"payload\"").unwrap() + 20;
    broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
    fs::write(site.publisher.pointer(), broken).unwrap();
    let forged = check();
    assert_eq!(forged.status.code(), Some(20), "{}", text(&forged));
    assert!(stderr(&forged).contains("[signature."), "{}", text(&forged));
    let before = site.record();
    fs::write(site.publisher.pointer(), good).unwrap();
    assert_eq!(check().status.code(), Some(0));
    assert_eq!(site.record(), before);
}

/// The supervisor opens no TLS client itself: another process looks at these options, and its word ends the start.
#[test]
fn what_is_wrong_with_a_web_source_is_said_at_the_start() {
    let site = Site::new();
    let key = site.publisher.public_key().to_string();
    let config = site.path().join("web.toml");
    let source = "[source]\nurl = \"http://127.0.0.1:1/stable.fetchd\"\n[source.options]\nhaeder = \"X: y\"\n";
    fs::write(&config, format!("key = [\"{key}\"]\n{source}")).unwrap();
    let ftp = ["--source", "ftp://127.0.0.1/stable.fetchd", "--key", &key];
    for (flags, words) in [(&["--config", "web.toml"][..], ["`haeder`", "`header`"]), (&ftp[..], ["`ftp:`", "`http`"])]
    {
        let mut run = Command::new(FETCHD);
        run.args(["run", "--product", "app", "--state-dir"]).arg(site.state_dir()).args(flags).arg("--");
        run.arg(site.program()).current_dir(site.path());
        // With a deadline: a supervisor that took the source would never end.
        let mut run = site.supervise(run);
        assert_eq!(run.wait_for_end().code(), Some(64), "{}", run.log());
        let said = run.log();
        assert!(said.contains("[config.value]") && words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(!site.state_dir().exists());
}
