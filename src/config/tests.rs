use std::path::Path;

use super::*;

/// Loads `text` from a file, called from `/somewhere`, with variables and flags on top.
fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Effective, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.toml");
    std::fs::write(&path, text).unwrap();
    let mut layer = Layer::default();
    for (key, value) in flags {
        let setting = find(key).unwrap();
        let given = match setting.kind {
            setting::Kind::List => Given::List(vec![(*value).to_owned()]),
            _ => Given::Text((*value).to_owned()),
        };
        layer.set(setting, given, Origin::Flag);
    }
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let host = Host { directory: PathBuf::from("/somewhere"), root: false, variables };
    let settings = Effective::load(layer, Some(&path), host)?;
    assert_eq!(settings.file(), Some(path.as_path()));
    Ok(settings)
}

fn config(text: &str) -> Config {
    let settings = load(text, &[("HOME", "/home/somebody")], &[]).unwrap();
    Config::of(&settings).unwrap()
}

#[test]
fn a_relative_path_is_relative_to_the_place_it_was_written_in() {
    let text = "program = [\"./bin/../web\", \"./arg\"]\nkey = [\"release.pub\"]\nsource = \"file:out/web#1.fetchd\"\n\
                listen = [\"unix:run/web.sock\"]\nstate_dir = \"state\"\n";
    let settings = load(text, &[], &[]).unwrap();
    let config = Config::of(&settings).unwrap();
    let base = settings.file().unwrap().parent().unwrap();
    // `..` stays: what is before it may be a symlink.
    assert_eq!(config.program, Program { path: base.join("bin/../web"), args: vec!["./arg".to_owned()] });
    assert_eq!(config.place.state_dir, base.join("state"));
    assert_eq!(config.serve.listen[0].address, Address::Unix(base.join("run/web.sock")));
    let source = config.source.unwrap();
    assert_eq!(source.url.path(), base.join("out/web").to_str().unwrap());
    let Trust::Keys { keys, .. } = source.trust else { panic!("{:?}", source.trust) };
    assert_eq!(keys, [KeyRef::Path(base.join("release.pub"))]);

    let flags = [("state_dir", "./state"), ("key", "./release.pub"), ("source", "file:out/web")];
    let settings = load(text, &[("FETCHD_LISTEN", "unix:web.sock")], &flags).unwrap();
    let config = Config::of(&settings).unwrap();
    assert_eq!(config.place.state_dir, Path::new("/somewhere/state"));
    assert_eq!(config.serve.listen[0].address, Address::Unix(PathBuf::from("/somewhere/web.sock")));
    let source = config.source.unwrap();
    assert_eq!(source.url.as_str(), "file:///somewhere/out/web");
    let Trust::Keys { keys, .. } = source.trust else { panic!("{:?}", source.trust) };
    assert_eq!(keys, [KeyRef::Path(PathBuf::from("/somewhere/release.pub"))]);
}

#[test]
fn the_defaults_are_those_of_the_documents() {
    let config = config("program = [\"/usr/bin/web\"]");
    assert_eq!(config.place.product, "web");
    assert_eq!(config.place.state_dir, Path::new("/home/somebody/.local/state/fetchd/web"));
    assert_eq!(config.source, None);
    let seconds = Duration::from_secs;
    assert_eq!(config.schedule, Schedule { interval: seconds(300), jitter: 10 });
    assert_eq!(config.policy.channel, "stable");
    assert_eq!((config.policy.cooldown, config.policy.max_age), (Duration::ZERO, None));
    assert_eq!(
        config.download,
        Download {
            deltas: true,
            poll: seconds(30),
            total: seconds(3600),
            stall: seconds(30),
            min_rate: 1024,
            max_size: 2 << 30,
            reserve: 64 << 20,
        }
    );
    assert_eq!(config.verify.target, BUILD_TARGET);
    assert!(BUILD_TARGET.contains("linux"), "{BUILD_TARGET}");
    assert!(config.verify.target_check);
    assert_eq!(config.verify.smoke, Some(SmokeRun { args: vec!["--version".to_owned()], deadline: seconds(10) }));
    assert_eq!(config.install, Install { layout: Layout::Replace, best_effort: false });
    let serve = config.serve;
    assert_eq!((serve.ready, serve.restart), (Ready::Notify, Restart::Supervise));
    assert_eq!((serve.ready_deadline, serve.drain_deadline, serve.watch), (seconds(30), seconds(30), seconds(10)));
    assert_eq!((serve.health, serve.on_supervisor_death), (None, OnDeath::Drain));
    let crash = Crash {
        limit: 3,
        window: seconds(60),
        probation: seconds(600),
        backoff: Duration::from_millis(100),
        backoff_max: seconds(30),
    };
    assert_eq!((serve.capture_stderr, serve.crash), (true, crash));
    assert_eq!(
        config.worker,
        Worker { hardening: crate::fetch::Harden::Auto, user: None, memory: None, stay: seconds(60) }
    );
}

#[test]
fn the_kind_of_signature_follows_the_source() {
    for (source, set, wanted) in [
        ("https://a/web/stable.fetchd", "", Signature::Bundle),
        ("https://a/web/manifest.json", "", Signature::Bundle),
        ("https://a/web/stable.fetchd?x=y", "", Signature::Bundle),
        ("https://a/web", "", Signature::Bound),
        ("https://a/web", "signature = \"plain\"", Signature::Plain),
        ("https://a/web", "signature = \"bundle\"", Signature::Bundle),
        ("https://a/web.fetchd", "signature = \"bound\"", Signature::Bound),
    ] {
        let text = format!("program = \"/web\"\nkey = \"k.pub\"\nsource = \"{source}\"\n{set}");
        let trust = config(&text).source.unwrap().trust;
        assert!(matches!(trust, Trust::Keys { signature, .. } if signature == wanted), "{source} {set}: {trust:?}");
    }
}

#[test]
fn a_source_as_a_table_has_options() {
    let text = "program = \"/web\"\nkey = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n\
                [source]\nurl = \"https://a/web\"\n[source.options]\nmethod = \"get\"\nheader = [\"a: b\", \"c: d\"]\n";
    let source = config(text).source.unwrap();
    assert_eq!(source.options["method"], ["get"]);
    assert_eq!(source.options["header"], ["a: b", "c: d"]);
    assert!(matches!(source.trust, Trust::Keys { keys, .. } if matches!(keys[..], [KeyRef::Inline(_)])));
    let error = load("[source.options]\nmethod = 5", &[], &[]).unwrap_err();
    assert!(error.to_string().contains("the value of `method` must be a text"), "{error}");
}

#[test]
fn commands_probes_and_switches() {
    let text = "program = \"/web --flag\"\nready = 'exec:[\"./is ready\", \"--now\"]'\nhealth = \"curl -f localhost\"\n\
                layout = \"releases\"\nsmoke = \"off\"\nworker.memory = \"1GiB\"\nkeep = 5\nmetadata = \"best-effort\"\n";
    let parsed = config(text);
    assert_eq!(parsed.program.args, ["--flag"]);
    assert_eq!(parsed.serve.ready, Ready::Exec(vec!["./is ready".to_owned(), "--now".to_owned()]));
    let command = ["curl", "-f", "localhost"].map(str::to_owned).to_vec();
    assert_eq!(parsed.serve.health.unwrap().probe, Probe::Command(command));
    assert_eq!(parsed.install, Install { layout: Layout::Releases { keep: 5 }, best_effort: true });
    assert_eq!(parsed.verify.smoke, None);
    assert_eq!(parsed.worker.memory, Some(1 << 30));
    let parsed = config("program = \"/web\"\nready = \"alive:2s\"\nhealth = \"http://[::1]:8080/health\"\n");
    assert_eq!(parsed.serve.ready, Ready::Alive(Duration::from_secs(2)));
    assert!(matches!(parsed.serve.health.unwrap().probe, Probe::Url(_)));
}

#[test]
fn the_service_is_found_without_a_program() {
    let settings = load("product = \"web\"", &[("XDG_STATE_HOME", "/state")], &[]).unwrap();
    let place = Place::of(&settings).unwrap();
    assert_eq!(place, Place { product: "web".to_owned(), state_dir: PathBuf::from("/state/fetchd/web") });
    assert!(matches!(Config::of(&settings), Err(ConfigError::Missing { .. })));
    let settings = load("", &[], &[]).unwrap();
    assert!(matches!(Place::of(&settings), Err(ConfigError::Missing { .. })));
    let settings = load("product = \"web\"", &[], &[]).unwrap();
    let error = Place::of(&settings).unwrap_err();
    assert!(error.to_string().contains("`HOME`"), "{error}");
}

#[test]
fn the_first_error_of_the_file_is_the_one_reported() {
    let error = load("zeta = 1\nalpha = 1\n", &[], &[]).unwrap_err();
    assert!(matches!(error, ConfigError::UnknownKey { ref key, .. } if key == "zeta"), "{error}");
}

#[test]
fn debug_shows_no_secret() {
    let text = "program = \"/web\"\nkey = \"k.pub\"\n[source]\nurl = \"https://me:hunter2@a/b?c=hunter2\"\n\
                [source.options]\nheader = \"hunter2\"\n";
    let settings = load(text, &[("HOME", "/home/x"), ("FETCHD_KEY_PASSWORD", "hunter2")], &[]).unwrap();
    let shown = format!("{settings:?} {:?} {:?}", settings.host(), Config::of(&settings).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("https://a/b?c=***") && shown.contains("header"), "{shown}");
}

#[test]
fn a_floor_is_a_number_with_or_without_its_epoch() {
    let of = |text: &str| {
        let settings = load(&format!("program = [\"./web\"]\nfloor = \"{text}\"\n"), &[("HOME", "/home/x")], &[])?;
        Config::of(&settings).map(|config| config.policy.floor)
    };
    assert_eq!(config("program = [\"./web\"]\n").policy.floor, None);
    assert_eq!(of("42").unwrap(), Some((0, 42)));
    assert_eq!(of("3/7").unwrap(), Some((3, 7)));
    for wrong in ["", "x", "1/", "/1", "1/2/3", "-1", "+1", "9007199254740992"] {
        let said = of(wrong).unwrap_err().to_string();
        assert!(said.contains("floor"), "{wrong}: {said}");
    }
}

/// A rollout that nobody may sign is followed by nobody.
#[test]
fn a_fleet_needs_the_key_of_its_rollouts_and_signed_manifests() {
    let text = |more: &str| {
        format!(
            "program = [\"/usr/bin/web\"]\nsource = \"fleet+s3://bucket/the/fleet?region=r\"\nkey = [\"a.pub\"]\n{more}"
        )
    };
    let refused = |more: &str| {
        let settings = load(&text(more), &[("HOME", "/home/somebody")], &[]).unwrap();
        Config::of(&settings).unwrap_err()
    };
    assert!(refused("").to_string().contains("no key is given that may sign its rollouts"));
    assert!(refused("signature = \"plain\"\nfleet.key = [\"b.pub\"]").to_string().contains("need a signed manifest"));
    assert!(refused("fleet.key = [\"b.pub\"]\nfleet.labels = [\"az\"]").to_string().contains("NAME=VALUE"));
    let config =
        config(&text("[fleet]\nkey = [\"b.pub\"]\nhost = \"web-1\"\nlabels = [\"az=a\"]\npin = \"1.2.3+b\"\n"));
    let source = config.source.unwrap();
    assert_eq!(source.reached().as_str(), "s3://bucket/the/fleet?region=r");
    assert!(matches!(source.trust, Trust::Keys { signature: Signature::Bundle, .. }));
    let fleet = source.fleet.unwrap();
    assert_eq!((fleet.prefix.as_str(), fleet.host.as_deref()), ("the/fleet", Some("web-1")));
    assert_eq!((fleet.labels["az"].as_str(), fleet.pin), ("a", Some(Pin::Release("1.2.3+b".to_owned()))));
}

/// A name in a fleet that the host is not in would be believed to matter.
#[test]
fn settings_of_a_fleet_need_its_source() {
    let text = "program = [\"/usr/bin/web\"]\nsource = \"https://dl.example.com/a.fetchd\"\nkey = [\"a.pub\"]\n\
                fleet.host = \"web-1\"\n";
    let settings = load(text, &[("HOME", "/home/somebody")], &[]).unwrap();
    assert!(Config::of(&settings).unwrap_err().to_string().contains("not a fleet's"));
}
