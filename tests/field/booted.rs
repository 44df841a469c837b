//! A Debian that boots systemd as its process 1, and fetchd's package in it.
//!
//! `tests/all` makes the tree with debootstrap; systemd-nspawn boots it with everything that is written kept in memory.
//! Its network is the machine's own, so that the test's clients reach it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fetchd::demo::{Fault, Trailer};
use fetchd::load::{Load, LoadPlan, Target};
use fetchd::publish::Publisher;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Service, load, nothing_lost, open_descriptors};
use crate::container::children;
use crate::machine::repository;
use crate::site::{PATIENCE, Site, get, text, wait_until};

/// A control group of its own, in every hierarchy there is: what boots in the one of this process would take it for its own.
const BOOT: &str = r#"
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir "$hierarchy/$0"
    echo $$ >"$hierarchy/$0/cgroup.procs"
done
exec setpriv --pdeathsig KILL systemd-nspawn --quiet --boot --register=no --keep-unit --settings=no --volatile=overlay \
    --link-journal=no --console=passive --machine="$0" "$@"
"#;

pub(crate) struct Booted {
    pub(crate) site: Site,
    nspawn: Child,
    name: String,
    /// The process that is number 1 inside.
    leader: u32,
    _alone: File,
}

impl Booted {
    /// Boots, and installs the package. What is published is in `/srv/releases`.
    pub(crate) fn start() -> Booted {
        let tree = repository("target/ci/debian");
        assert!(tree.join("usr/lib/systemd/systemd").exists(), "{} is missing: `tests/all` makes it", tree.display());
        // systemd-nspawn wants a tree for itself.
        let alone = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("booted.lock")).unwrap();
        flock(&alone, FlockOperation::LockExclusive).unwrap();
        let mut site = Site::empty();
        site.publisher = Publisher::new(site.path().join("pub")).unwrap().product("web");
        let carried = site.path().join("carried");
        fs::create_dir(&carried).unwrap();
        crate::package::build(&carried);
        site.put(&carried.join("server"), &Trailer::version("1.0.0"));

        let name = format!("fetchd-test-{}", std::process::id());
        let bind = |from: PathBuf, to: &str| format!("--bind-ro={}:{to}", from.display());
        let mut command = Command::new("/bin/sh");
        command.args(["-ec", BOOT, &name]).arg(format!("--directory={}", tree.display()));
        command.arg(bind(carried, "/srv/carried")).arg(bind(site.path().join("pub"), "/srv/releases"));
        let log = File::create(site.path().join("boot")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let nspawn = command.spawn().unwrap();
        let mut booted = Booted { site, nspawn, name, leader: 0, _alone: alone };
        wait_until("systemd is process 1", || {
            assert!(booted.nspawn.try_wait().unwrap().is_none(), "{}", booted.log());
            let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let found = children(booted.nspawn.id()).into_iter().find(|pid| comm(pid).trim() == "systemd");
            booted.leader = found.unwrap_or(0);
            booted.leader != 0
        });
        wait_until("it has booted", || {
            let state = booted.run(&["systemctl", "is-system-running"]);
            String::from_utf8_lossy(&state.stdout).trim() == "running"
        });
        booted.succeed(&["sh", "-c", "dpkg --install /srv/carried/*.deb"]);
        booted.succeed(&["install", "-d", "-o", "fetchd", "-g", "fetchd", "/srv/web"]);
        booted.succeed(&["install", "-o", "fetchd", "-g", "fetchd", "/srv/carried/server", "/srv/web/server"]);
        booted
    }

    /// Runs a command inside.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string(), "--all", "--"]).args(words).stdin(Stdio::null());
        command.output().unwrap()
    }

    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}\n{}", text(&output), self.journal());
        String::from_utf8(output.stdout).unwrap()
    }

    /// A property of `fetchd@web.service`.
    fn property(&self, name: &str) -> String {
        self.succeed(&["systemctl", "show", "--value", "-p", name, "fetchd@web"]).trim().to_owned()
    }

    fn journal(&self) -> String {
        text(&self.run(&["journalctl", "--no-pager", "-n", "60", "-u", "fetchd@web"]))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.site.path().join("boot")).unwrap_or_default()
    }

    /// Where a path of it lies for the test.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.leader.to_string()).join("root").join(path)
    }

    /// What an operator writes, with the site's releases and `more`.
    fn configure(&self, more: &str) {
        let key = self.site.publisher.public_key();
        let text = format!(
            "product = \"web\"\nprogram = [\"/srv/web/server\"]\nkey = [\"{key}\"]\ninterval = \"200ms\"\njitter = 0\n\
             watch = \"200ms\"\nsource = \"file:/srv/releases/stable.fetchd?settle=0s\"\n{more}"
        );
        fs::write(self.at("etc/fetchd/web.toml"), text).unwrap();
    }

    /// A drop-in of `unit`.
    fn edit(&self, unit: &str, text: &str) {
        let dir = self.at(&format!("etc/systemd/system/{unit}.d"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("test.conf"), text).unwrap();
        self.succeed(&["systemctl", "daemon-reload"]);
    }

    fn service(&self) -> Service {
        Service::at(&self.at("var/lib/fetchd/web"))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 {
            eprintln!("--- journal ---\n{}\n--- boot ---\n{}", self.journal(), self.log());
        }
        // With the process 1 goes all that is inside.
        for pid in [self.leader, self.nspawn.id()] {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.nspawn.wait();
        for hierarchy in ["", "systemd", "unified"] {
            remove_group(&Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.name));
        }
    }
}

/// Control groups are removed from the innermost on; the kernel may need a moment for the last process.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    for _ in 0..100 {
        if !group.is_dir() || fs::remove_dir(group).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_real_systemd_starts_reloads_watches_and_stops_it() {
    let booted = Booted::start();
    // Installed and not started, and not to be started at the next boot either.
    let listed = booted.succeed(&["systemctl", "list-units", "--all", "--plain", "--no-legend", "fetchd*"]);
    assert_eq!(listed.trim(), "");
    assert_eq!(booted.succeed(&["stat", "-c", "%U", "/srv/web/server"]).trim(), "fetchd");
    booted.succeed(&["systemd-analyze", "verify", "--man=no", "fetchd@web.service"]);
    let socket = "/usr/share/doc/fetchd/examples/fetchd@web.socket";
    let verified = booted.run(&["systemd-analyze", "verify", "--man=no", socket]);
    assert!(verified.status.success() && verified.stderr.is_empty(), "{}", text(&verified));

    booted.configure("listen = [\"web=127.0.0.1:0\"]\n");
    booted.edit("fetchd@web.service", "[Service]\nWatchdogSec=2\n");
    // Type=notify-reload: this returns once the service serves.
    booted.succeed(&["systemctl", "start", "fetchd@web"]);
    let service = booted.service();
    let status = service.status().expect("it serves when `systemctl start` returns");
    assert_eq!(status.service.generations[0].phase, "serving");
    let (main, address) = (booted.property("MainPID"), service.address());
    assert_eq!(booted.property("ActiveState"), "active");
    assert_eq!(booted.succeed(&["stat", "-c", "%U", &format!("/proc/{main}")]).trim(), "fetchd");

    let load = load(address, 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for minor in 1..=3 {
        let generation = service.settled(1).service.generations[0].generation;
        booted.succeed(&["systemctl", "reload", "fetchd@web"]);
        let serving = service.status().unwrap().service.generations;
        assert!(serving.iter().any(|g| g.phase == "serving" && g.generation == generation + 1), "{serving:?}");
        let version = format!("1.{minor}.0");
        booted.site.publish(&Trailer::version(&version));
        service.wait_for_version(&version);
        load.wait_for_version(&version, PATIENCE).unwrap();
        wait_until("systemd sees the end of it", || booted.property("ActiveState") == "active");
        assert_eq!((booted.property("SubState"), booted.property("MainPID")), ("running".to_owned(), main.clone()));
    }
    nothing_lost(&load.stop());
    let fed = booted.property("WatchdogTimestampMonotonic");
    wait_until("the watchdog is fed", || booted.property("WatchdogTimestampMonotonic") != fed);
    assert_eq!(booted.property("NRestarts"), "0");

    // systemd's stop is a drain.
    let load = crate::bench::load(address, 0, 0);
    let at_rest = open_descriptors(address);
    let slow = load.slow_request(std::time::Duration::from_secs(2));
    wait_until("the slow request is accepted", || open_descriptors(address) > at_rest);
    booted.succeed(&["systemctl", "stop", "fetchd@web"]);
    slow.wait().expect("the request in flight was finished");
    assert_eq!((booted.property("ActiveState"), booted.property("Result")), ("inactive".into(), "success".into()));
}

#[test]
fn a_real_systemd_keeps_the_socket_of_a_killed_supervisor() {
    let booted = Booted::start();
    booted.configure("listen = [\"web=127.0.0.1:0\"]\n");
    booted.edit("fetchd@web.service", "[Service]\nRestartSec=2\n");
    booted.succeed(&["systemctl", "start", "fetchd@web"]);
    let service = booted.service();
    let (main, address) = (booted.property("MainPID"), service.address());
    assert_eq!(booted.property("NFileDescriptorStore"), "1");
    booted.succeed(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "fetchd@web"]);
    wait_until("it is gone, and so is its service", || booted.property("SubState") == "auto-restart");
    // The port was the kernel's choice. It is still open, and who comes now is answered by the next one.
    let answer = get(address, "/").unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
    assert_eq!(service.address(), address);
    assert_ne!(booted.property("MainPID"), main);
    assert_eq!(booted.property("NRestarts"), "1");
}

#[test]
fn a_socket_unit_starts_it_at_the_first_connection() {
    let booted = Booted::start();
    booted.configure("");
    booted.succeed(&["cp", "/usr/share/doc/fetchd/examples/fetchd@web.socket", "/etc/systemd/system/"]);
    // The network is the machine's own, and so are its ports.
    booted.edit("fetchd@web.socket", "[Socket]\nListenStream=\nListenStream=/run/web.sock\n");
    booted.succeed(&["systemctl", "start", "fetchd@web.socket"]);
    assert_eq!(booted.property("ActiveState"), "inactive");
    let target = Target::Unix(booted.at("run/web.sock"));
    let load = Load::start(LoadPlan { fresh: 2, keep_alive: 2, ..LoadPlan::new(target) }).unwrap();
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let service = booted.service();
    booted.succeed(&["systemctl", "reload", "fetchd@web"]);
    booted.site.publish(&Trailer::version("1.1.0"));
    service.wait_for_version("1.1.0");
    load.wait_for_version("1.1.0", PATIENCE).unwrap();
    nothing_lost(&load.stop());
    // Killed, it gets the socket from its unit and from the store: it is one, all the same.
    booted.succeed(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "fetchd@web"]);
    wait_until("it runs again", || booted.property("NRestarts") == "1" && booted.property("SubState") == "running");
    let listeners = service.settled(1).service.listeners;
    assert_eq!(listeners, [("web".to_owned(), "unix".to_owned())]);
}

/// A unit of somebody else's, restarted by the driver; its socket is systemd's, so nobody is refused meanwhile.
const APP: &str = "[Service]\nType=notify\nExecStart=/srv/app/server\nTimeoutStopSec=30\n";
const APP_SOCKET: &str = "[Socket]\nListenStream=/run/app.sock\nFileDescriptorName=web\n";

#[test]
fn a_real_systemd_restarts_a_unit_for_the_driver_and_goes_back_when_it_fails() {
    let booted = Booted::start();
    booted.succeed(&["install", "-d", "/srv/app"]);
    booted.succeed(&["install", "/srv/carried/server", "/srv/app/server"]);
    fs::write(booted.at("etc/systemd/system/app.service"), APP).unwrap();
    fs::write(booted.at("etc/systemd/system/app.socket"), APP_SOCKET).unwrap();
    booted.succeed(&["systemctl", "daemon-reload"]);
    booted.succeed(&["systemctl", "start", "app.socket", "app.service"]);
    let target = Target::Unix(booted.at("run/app.sock"));
    let load = Load::start(LoadPlan { fresh: 2, timeout: PATIENCE, ..LoadPlan::new(target) }).unwrap();
    load.wait_for_version("1.0.0", PATIENCE).unwrap();

    let key = booted.site.publisher.public_key().to_string();
    let mut fetchd =
        vec!["systemd-run", "--unit=keeper", "--property=Type=notify", "fetchd", "run", "--product", "web"];
    fetchd.extend(["--restart", "systemd", "--restart-unit", "app.service", "--key", &key, "--interval", "200ms"]);
    fetchd.extend(["--jitter", "0", "--watch", "1s", "--source", "file:/srv/releases/stable.fetchd?settle=0s"]);
    fetchd.extend(["--state-dir", "/var/lib/keeper", "--", "/srv/app/server"]);
    booted.succeed(&fetchd);
    let service = Service::at(&booted.at("var/lib/keeper"));
    let main = || booted.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "app.service"]);
    let before = main();
    booted.site.publish(&Trailer::version("1.1.0"));
    load.wait_for_version("1.1.0", PATIENCE).unwrap();
    let confirmed = |version: &str| {
        let of = |event: &fetchd::state::Event| {
            event.event == "release.confirmed" && event.version.as_ref().is_some_and(|v| v.to_string() == version)
        };
        service.history().iter().any(of)
    };
    wait_until("1.1.0 is confirmed", || confirmed("1.1.0"));
    assert_ne!(main(), before);

    // What has accepted when it crashes is lost with it; before and after that nobody may notice.
    let report = load.stop();
    nothing_lost(&report);
    booted.site.publish(&Trailer::version("1.2.0").with_fault(Fault::CrashAfterReady));
    let failed = |event: &fetchd::state::Event| event.event == "handoff.failed";
    wait_until("1.2.0 is given up", || service.history().iter().any(failed));
    let target = Target::Unix(booted.at("run/app.sock"));
    let load = Load::start(LoadPlan { fresh: 2, timeout: PATIENCE, ..LoadPlan::new(target) }).unwrap();
    load.wait_for_version("1.1.0", PATIENCE).unwrap();
    booted.site.publish(&Trailer::version("1.3.0"));
    load.wait_for_version("1.3.0", PATIENCE).unwrap();
    wait_until("1.3.0 is confirmed", || confirmed("1.3.0"));
    nothing_lost(&load.stop());
    // fetchd goes, and the service is systemd's as before.
    booted.succeed(&["systemctl", "stop", "keeper"]);
    assert_eq!(booted.succeed(&["systemctl", "is-active", "app.service"]).trim(), "active");
}
