//! The supervisor inside a program becomes each release that was confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use rustix::process::Signal;

use crate::bench::{Clients, Embed, said};
use crate::site::{Supervised, get, text, wait_until};

/// What the supervisor runs.
fn image(supervised: &Supervised<'_>) -> Sha256 {
    Sha256::of(&fs::read(format!("/proc/{}/exe", supervised.pid())).unwrap())
}

/// Waits until it runs `digest`, and goes on.
#[track_caller]
fn becomes(supervised: &mut Supervised<'_>, version: &str, digest: Sha256) {
    supervised.wait_for_version(version);
    wait_until(&format!("the supervisor is {version}"), || image(supervised) == digest);
    supervised.wait("it goes on", |status| status.updates.doing == "idle" && status.supervisor.is_none());
}

/// How often the history has this event for this release.
fn count(supervised: &Supervised<'_>, event: &str, digest: Sha256) -> usize {
    supervised.site.history().iter().filter(|e| e.event == event && e.sha256 == Some(digest)).count()
}

#[test]
fn the_supervisor_becomes_each_release_under_load_and_no_request_is_lost() {
    let embed = Embed::of("embedded");
    let told = embed.site.path().join("events");
    let mut supervised = embed.run(&["service", "--hup", "--events", told.to_str().unwrap(), "--refuse", "9.0.0"]);
    let (address, pid) = (supervised.address(), supervised.pid());
    let before = image(&supervised);
    let clients = Clients::start(address);
    let mut open = usize::MAX;
    for version in ["2.0.0", "3.0.0"] {
        let slow = std::thread::spawn(move || get(address, "/slow/1500").unwrap());
        let digest = embed.publish(&Trailer::version(version));
        becomes(&mut supervised, version, digest);
        supervised.wait_for_event("supervisor.replaced", "");
        assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap(), embed.site.program());
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "app\n");
        assert_eq!(said(address, "version"), version);
        assert!(slow.join().unwrap().contains("generation"));
        supervised.wait("generation alone", |status| status.service.generations.len() == 1);
        // A connection of the last question may still be closing.
        let now = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        wait_until("it has no more descriptors than before", || now() <= open);
        open = now();
    }
    assert_ne!(image(&supervised), before);
    // What the program adds is there as before: its checks, what it hears of, its signal.
    embed.publish(&Trailer::version("9.0.0"));
    supervised.wait_for_event("release.refused", "check.refused");
    supervised.signal(Signal::HUP);
    let status = supervised.wait("generation 4 serves, alone", |status| {
        let generations = &status.service.generations;
        generations.len() == 1 && generations[0].generation == 4 && generations[0].phase == "serving"
    });
    clients.stop();
    assert_eq!((status.pid, status.service.listeners[0].1.as_str()), (pid, &*address.to_string()));
    assert!(!supervised.site.happened("service.crashed", ""), "the signal was not for the service");
    let told = fs::read_to_string(told).unwrap();
    let lines = ["installing 3.0.0", "handed off 3.0.0", "updated", "refused check.refused"];
    assert!(lines.iter().all(|line| told.lines().any(|told| told == *line)), "{told}");
    assert_eq!(supervised.log().matches("supervisor.replaced").count(), 2);
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn a_release_that_cannot_follow_leaves_the_supervisor_as_it_is_and_the_next_one_is_taken() {
    let embed = Embed::of("embedded");
    let settings = embed.site.path().join("app.toml");
    fs::write(&settings, "[crash]\nlimit = 4\n").unwrap();
    let mut supervised = embed.run(&[
        "service",
        "--config",
        settings.to_str().unwrap(),
        "--no-role",
        "2.0.0",
        "--crash",
        "3.0.0",
        "--spoil",
        "4.0.0",
    ]);
    let (address, pid) = (supervised.address(), supervised.pid());
    let first = image(&supervised);
    let clients = Clients::start(address);
    let mut kept = Vec::new();
    for (version, code) in [("2.0.0", "replace.unfit"), ("3.0.0", "replace.unfit"), ("4.0.0", "replace.gave_up")] {
        let digest = embed.publish(&Trailer::version(version));
        supervised.wait(&format!("{version} serves, and the supervisor says why it is not"), |status| {
            let serves = status.updates.version.as_deref() == Some(version) && status.updates.doing == "idle";
            serves && status.supervisor.as_ref().is_some_and(|why| why.code == code)
        });
        wait_until("it is in the history", || count(&supervised, "supervisor.not_replaced", digest) > 0);
        assert_eq!((image(&supervised), said(address, "version").as_str()), (first, version));
        kept.push(digest);
    }
    let status = supervised.fetchd("status", &[]);
    assert!(text(&status).contains("NOT REPLACED"), "{}", text(&status));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "nonsense");
    fs::write(&settings, "[crash]\nlimit = 4\n").unwrap();
    let good = embed.publish(&Trailer::version("5.0.0"));
    becomes(&mut supervised, "5.0.0", good);
    clients.stop();
    for digest in kept {
        assert_eq!(count(&supervised, "supervisor.not_replaced", digest), 1, "one attempt for each release");
    }
    assert_eq!(supervised.try_status().unwrap().pid, pid);
    // The file is looked at when somebody says so, and what is wrong is said.
    fs::write(&settings, "nonsense").unwrap();
    supervised.signal(Signal::HUP);
    supervised.wait("it is not applied", |status| status.configuration.is_some());
    fs::write(&settings, "[crash]\nlimit = 3\n").unwrap();
    supervised.signal(Signal::HUP);
    supervised.wait("it is applied", |status| status.configuration.is_none() && status.updates.doing == "idle");
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn a_supervisor_that_is_to_stay_becomes_a_release_when_asked_and_nothing_that_was_not_verified() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--stays"]);
    supervised.address();
    let first = image(&supervised);
    let second = embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_version("2.0.0");
    supervised.wait("the pass is over", |status| status.updates.doing == "idle");
    let program = embed.site.program();
    let aside = beside(&program);
    let mode = |mode| fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();

    // Another file, though it would do as well.
    fs::rename(&program, &aside).unwrap();
    fs::copy(&aside, &program).unwrap();
    refused(&supervised, "replace.unverified", 23);
    fs::rename(&aside, &program).unwrap();
    mode(0o600);
    refused(&supervised, "replace.exec", 40);
    mode(0o755);
    fs::rename(&program, &aside).unwrap();
    refused(&supervised, "replace.exec", 40);
    fs::rename(&aside, &program).unwrap();
    assert_eq!(image(&supervised), first);

    let output = supervised.fetchd("restart", &["--supervisor"]);
    assert!(output.status.success() && text(&output).contains("in the same process"), "{}", text(&output));
    assert_eq!(image(&supervised), second);
    let status = supervised.try_status().unwrap();
    assert_eq!((status.pid, status.supervisor), (supervised.pid(), None));
    assert_eq!(status.service.generations.last().map(|g| g.generation), Some(2));
    assert_eq!(supervised.stop().code(), Some(0));
}

fn beside(program: &Path) -> PathBuf {
    program.with_extension("aside")
}

#[track_caller]
fn refused(supervised: &Supervised<'_>, code: &str, exit: i32) {
    let output = supervised.fetchd("restart", &["--supervisor"]);
    let said = text(&output);
    assert!(output.status.code() == Some(exit) && said.contains(&format!("[{code}]")), "{said}");
    let why = supervised.try_status().unwrap().supervisor;
    assert_eq!(why.map(|why| why.code).as_deref(), Some(code));
}

#[test]
fn the_next_supervisor_waits_as_the_program_says_and_listens_where_it_says() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--when-asked", "--more-from", "2.0.0"]);
    let address = supervised.address();
    let second = embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_event("release.held", "restart.waits");
    supervised.signal(Signal::USR2);
    becomes(&mut supervised, "2.0.0", second);
    // It has one socket more than the one before, and so has the service that it starts therefore.
    wait_until("the service has the new socket", || said(address, "names") == r#"[Some("web"), Some("more")]"#);
    supervised.wait("two sockets", |status| status.service.listeners.len() == 2 && !status.service.watching);
    let third = embed.publish(&Trailer::version("3.0.0"));
    supervised.wait("it waits", |status| {
        status.updates.last.as_ref().is_some_and(|last| last.message.contains("3.0.0") && last.outcome == "held")
    });
    assert_eq!(said(address, "version"), "2.0.0");
    supervised.signal(Signal::USR2);
    becomes(&mut supervised, "3.0.0", third);
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn a_supervisor_goes_back_with_its_release() {
    let embed = Embed::of("embedded");
    let mut command = embed.command(&["service"]);
    command.env("FETCHD_CRASH_LIMIT", "1");
    let mut supervised = embed.site.supervise(command);
    let address = supervised.address();
    let second = embed.publish(&Trailer::version("2.0.0"));
    becomes(&mut supervised, "2.0.0", second);
    let third = embed.publish(&Trailer::version("3.0.0"));
    becomes(&mut supervised, "3.0.0", third);
    // Whoever crashes does not answer.
    let _ = get(address, "/crash");
    becomes(&mut supervised, "2.0.0", second);
    let fourth = embed.publish(&Trailer::version("4.0.0"));
    becomes(&mut supervised, "4.0.0", fourth);
    assert!(supervised.fetchd("rollback", &[]).status.success());
    becomes(&mut supervised, "2.0.0", second);
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn restarts_by_others_stay_theirs_when_the_supervisor_was_replaced() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--by-others"]);
    let address = supervised.address();
    let first = image(&supervised);
    let output = supervised.fetchd("restart", &["--supervisor"]);
    assert!(output.status.success(), "{}", text(&output));
    let second = embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_event("release.confirmed", "");
    assert_eq!((embed.at_path(), said(address, "version").as_str()), (second, "1.0.0"));
    refused(&supervised, "replace.unverified", 23);
    assert_eq!(image(&supervised), first);
    supervised.signal(Signal::USR2);
    assert_eq!(supervised.wait_for_end().code(), Some(0), "{}", supervised.log());
}

#[test]
fn a_signal_sent_while_the_program_is_replaced_is_not_lost() {
    for delay in [0, 25, 50] {
        let embed = Embed::of("embedded");
        let mut supervised = embed.run(&["service"]);
        supervised.address();
        assert_eq!(threads_that_take_sigterm(supervised.pid()), Vec::<String>::new());
        let path = fetchd::control::path(&embed.site.state_dir());
        std::thread::scope(|scope| {
            let ask = fetchd::control::Request::ReplaceSupervisor;
            // It may be told that the supervisor is stopping, or hear nothing any more.
            scope.spawn(move || fetchd::control::ask(&path, &ask, crate::site::PATIENCE, |_| {}).is_ok());
            std::thread::sleep(std::time::Duration::from_millis(delay));
            supervised.signal(Signal::TERM);
        });
        assert_eq!(supervised.wait_for_end().code(), Some(0), "after {delay} ms\n{}", supervised.log());
    }
}

/// Those that the kernel may give it to. It would be lost with the program they belong to.
fn threads_that_take_sigterm(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    // One that has ended meanwhile takes nothing.
    let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let takes = |status: &String| {
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0");
        u64::from_str_radix(blocked.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) == 0
    };
    status.filter(takes).collect()
}
