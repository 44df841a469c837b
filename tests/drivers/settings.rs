//! What the settings refuse, and what a fetchd that runs no service leaves alone.

use std::process::Command;

use crate::site::FETCHD;

/// `config check` with these flags: its exit code and what it said.
fn check(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(FETCHD);
    command
        .args(["config", "check", "--product", "app", "--state-dir", "/nowhere"])
        .args(flags)
        .args(["--", "/srv/app"]);
    let output = command.env_clear().output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn combinations_that_mean_nothing_are_refused_with_the_reason() {
    for (flags, code, words) in [
        ("--restart systemd", "config.missing", "needs `restart_unit`"),
        ("--restart signal", "config.missing", "restart_pid_file = \"/run/web.pid\""),
        ("--restart supervisord --restart-socket /s", "config.missing", "needs `restart_process`"),
        ("--restart command", "config.missing", "needs `restart_command`"),
        (
            "--restart systemd --restart-unit a --restart-pid-file /p",
            "config.conflict",
            "`systemd` has `restart_unit`, `restart_verb`",
        ),
        ("--restart none --restart-unit a", "config.conflict", "`none` has no settings"),
        ("--restart-unit a", "config.conflict", "fetchd itself runs the service"),
        (
            "--restart signal --restart-pid-file /p --restart-recipe nginx --restart-signal HUP",
            "config.value",
            "signals of its own",
        ),
        ("--restart systemd --restart-unit --now", "config.value", "cannot be the name of a unit"),
        ("--restart supervisord --restart-socket /s --restart-process web:*", "config.value", "no single process"),
        ("--restart none --listen :8080", "config.conflict", "`listen` is set"),
        ("--restart systemd --restart-unit a --ready alive:1s", "config.conflict", "`ready` is set"),
        ("--restart command --restart-command x --watchdog 1s", "config.conflict", "`watchdog` is set"),
        ("--restart launchd", "", "launchd"),
    ] {
        let flags: Vec<&str> = flags.split(' ').collect();
        // A unit that looks like a flag is given as one word.
        let flags: Vec<String> = match flags.as_slice() {
            [.., "--restart-unit", unit] if unit.starts_with('-') => {
                let head = flags[..flags.len() - 2].iter().map(|flag| (*flag).to_owned());
                head.chain([format!("--restart-unit={unit}")]).collect()
            }
            flags => flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        let (exit, said) = check(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(exit, Some(64), "{flags:?}: {said}");
        assert!(said.contains(code) && said.contains(words), "{flags:?}: {said}");
    }
}

#[test]
fn each_driver_is_configured_by_its_own_settings() {
    for flags in [
        "--restart none",
        "--restart systemd --restart-unit web.service --restart-verb reload",
        "--restart signal --restart-pid-file /run/web.pid --restart-recipe nginx",
        "--restart signal --restart-pid-file /run/web.pid --restart-signal USR1 --restart-deadline 5s",
        "--restart supervisord --restart-socket /run/supervisor.sock --restart-process group:web",
        "--restart command --restart-command /usr/local/bin/restart-web",
    ] {
        let (exit, said) = check(&flags.split(' ').collect::<Vec<_>>());
        assert_eq!(exit, Some(0), "{flags}: {said}");
    }
}
