//! Under the real supervisord, with the files of `packaging/supervisord`.

use std::fs;
use std::process::Output;
use std::time::Duration;

use fetchd::demo::Trailer;

use crate::bench::{Service, load, nothing_lost, open_descriptors};
use crate::machine::{Init, Machine, repository};
use crate::site::{PATIENCE, text, wait_until};

/// As Debian's package has it.
const MAIN: &str = "[unix_http_server]\nfile=/var/run/supervisor.sock\nchmod=0700\n\n\
    [supervisord]\nlogfile=/var/log/supervisor/supervisord.log\npidfile=/var/run/supervisord.pid\n\
    childlogdir=/var/log/supervisor\nuser=root\n\n\
    [rpcinterface:supervisor]\n\
    supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n\
    [supervisorctl]\nserverurl=unix:///var/run/supervisor.sock\n\n\
    [include]\nfiles = /etc/supervisor/conf.d/*.conf\n";

const SCRIPT: &str = "/usr/local/bin/start-or-reload";

struct Supervisord {
    machine: Machine,
    _init: Init,
}

impl Supervisord {
    fn start() -> Supervisord {
        let machine = Machine::new();
        fs::create_dir_all(machine.at("etc/supervisor/conf.d")).unwrap();
        fs::create_dir_all(machine.at("var/log/supervisor")).unwrap();
        fs::write(machine.at("etc/supervisor/supervisord.conf"), MAIN).unwrap();
        machine.install("packaging/supervisord/start-or-reload", "usr/local/bin/start-or-reload", 0o755);
        machine.configure("");
        let init = machine.init(&["supervisord", "-n", "-c", "/etc/supervisor/supervisord.conf"], "supervisord");
        wait_until("supervisord answers", || machine.run(&["supervisorctl", "pid"]).status.success());
        Supervisord { machine, _init: init }
    }

    /// What a package or a deploy job adds.
    fn add_program(&self) {
        self.machine.install("packaging/supervisord/fetchd.conf", "etc/supervisor/conf.d/fetchd.conf", 0o644);
    }

    fn deploy(&self) -> Output {
        self.machine.run(&[SCRIPT, "web"])
    }

    #[track_caller]
    fn deployed(&self) {
        let output = self.deploy();
        assert!(output.status.success(), "{}\n{}", text(&output), self.log());
    }

    fn service(&self) -> Service {
        self.machine.service()
    }

    /// `web  RUNNING  pid 17, uptime 0:00:05` as `RUNNING` and `17`.
    fn shown(&self) -> (String, String) {
        let output = self.machine.run(&["supervisorctl", "status", "web"]);
        let line = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let pid = words.get(3).unwrap_or(&"").trim_end_matches(',');
        (words.get(1).copied().unwrap_or_default().to_owned(), pid.to_owned())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.machine.at("var/log/supervisor/web.log")).unwrap_or_default()
    }
}

#[test]
fn supervisord_shows_one_pid_through_ten_upgrades_and_no_request_fails() {
    let supervisord = Supervisord::start();
    supervisord.add_program();
    supervisord.deployed();
    let service = supervisord.service();
    let address = service.address();
    wait_until("it counts as running", || supervisord.shown().0 == "RUNNING");
    let (_, pid) = supervisord.shown();
    assert_eq!(service.status().unwrap().pid.to_string(), pid);

    let load = load(address, 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for upgrade in 1..=10_u64 {
        service.room_to_drain();
        let slow = load.slow_request(Duration::from_secs(1));
        if upgrade % 2 == 0 {
            supervisord.machine.succeed(&["supervisorctl", "signal", "USR2", "web"]);
            service.wait("it was restarted", |status| {
                let serving = status.service.generations.iter().find(|g| g.phase == "serving");
                serving.is_some_and(|g| g.generation == upgrade + 1) && !status.service.watching
            });
        } else {
            let version = format!("1.{upgrade}.0");
            supervisord.machine.site.publish(&Trailer::version(&version));
            service.wait_for_version(&version);
            load.wait_for_version(&version, PATIENCE).unwrap();
        }
        slow.wait().expect("the slow request was answered");
        assert_eq!(supervisord.shown(), ("RUNNING".to_owned(), pid.clone()), "after upgrade {upgrade}");
    }
    assert_eq!(service.settled(11).service.generations[0].generation, 11);
    assert_eq!(service.address(), address);
    nothing_lost(&load.stop());
}

#[test]
fn the_deploy_script_starts_what_is_down_and_reloads_what_runs() {
    let supervisord = Supervisord::start();
    // supervisord does not know the program yet, and the script is there before its section is.
    assert!(!supervisord.deploy().status.success());
    supervisord.add_program();
    supervisord.deployed();
    let service = supervisord.service();
    let address = service.address();
    wait_until("it counts as running", || supervisord.shown().0 == "RUNNING");
    let (_, pid) = supervisord.shown();
    let load = load(address, 2, 2);
    for generation in 2..=4 {
        supervisord.deployed();
        assert!(service.settled(generation).service.generations[0].generation == generation);
    }
    // Two jobs at once: each ends well, and both mean the same.
    std::thread::scope(|scope| {
        let jobs = [(), ()].map(|()| scope.spawn(|| supervisord.deployed()));
        jobs.into_iter().for_each(|job| job.join().unwrap());
    });
    service.settled(5);
    assert_eq!(supervisord.shown(), ("RUNNING".to_owned(), pid));

    // A program that never becomes ready: the script says so, and the old one serves.
    let (old, program) = (service.status().unwrap(), supervisord.machine.at("srv/web/server"));
    fs::rename(&program, supervisord.machine.at("srv/web/good")).unwrap();
    fs::write(&program, "#!/bin/false\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = supervisord.deploy();
    assert!(!output.status.success(), "{}", text(&output));
    let generations = service.status().unwrap().service.generations;
    assert!(generations.iter().any(|g| g.phase == "serving" && g.pid == old.service.generations[0].pid));
    fs::rename(supervisord.machine.at("srv/web/good"), &program).unwrap();
    supervisord.deployed();
    nothing_lost(&load.stop());

    supervisord.machine.succeed(&["supervisorctl", "stop", "web"]);
    assert_eq!(supervisord.shown().0, "STOPPED");
    supervisord.deployed();
    assert!(crate::site::get(service.address(), "/").unwrap().contains("200 OK"));
}

#[test]
fn supervisords_stop_is_a_drain_and_it_waits_for_it() {
    let supervisord = Supervisord::start();
    supervisord.add_program();
    supervisord.deployed();
    let address = supervisord.service().address();
    let load = load(address, 0, 0);
    let at_rest = open_descriptors(address);
    let slow = load.slow_request(Duration::from_secs(3));
    wait_until("it is accepted", || open_descriptors(address) > at_rest);
    supervisord.machine.succeed(&["supervisorctl", "stop", "web"]);
    assert_eq!(supervisord.shown().0, "STOPPED");
    let answer = slow.wait().expect("the request in flight was finished");
    assert!(answer.took >= Duration::from_secs(3), "{answer:?}");
    assert!(!supervisord.log().contains("service.killed"), "{}", supervisord.log());
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn supervisord_waits_longer_than_a_drain_takes() {
    let conf = fs::read_to_string(repository("packaging/supervisord/fetchd.conf")).unwrap();
    let waits = conf.lines().find_map(|line| line.strip_prefix("stopwaitsecs=")).unwrap();
    let machine = Machine::new();
    machine.configure("");
    let shown = machine.succeed(&["fetchd", "config", "show", "--config", "/etc/fetchd/web.toml", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let drain =
        shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == "drain_deadline").unwrap();
    assert_eq!(drain["value"], "\"30s\"");
    assert!(waits.parse::<u64>().unwrap() >= 30 + 15, "{waits}");
}
