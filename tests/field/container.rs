//! fetchd as process 1, as in a container: a process namespace of its own, and the image's files at their places.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use fetchd::demo::Trailer;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{load, nothing_lost, open_descriptors};
use crate::machine::{Init, Machine, repository};
use crate::site::{PATIENCE, get, text, wait_until};

const RUN: [&str; 4] = ["/usr/bin/fetchd", "run", "--config", "/etc/fetchd/web.toml"];

/// Parent and state of a process of this machine.
fn stat(pid: u32) -> Option<(u32, char)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

pub(crate) fn children(of: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(parent, _)| parent == of)).collect()
}

impl Init {
    /// The number outside of the process that is 1 inside.
    fn pid(&self) -> u32 {
        let own = self.unshare.id();
        wait_until("there is a process 1", || children(own).len() == 1);
        children(own)[0]
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), signal).unwrap();
    }

    /// How process 1 ended.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.unshare.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "process 1 does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A machine whose `/srv/web/server` is this Python program, which is not updated.
fn with_script(script: &str) -> Machine {
    let machine = Machine::new();
    let program = machine.at("srv/web/server");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = "product = \"web\"\nprogram = [\"/srv/web/server\"]\nlisten = [\"web=127.0.0.1:0\"]\n";
    fs::write(machine.at("etc/fetchd/web.toml"), settings).unwrap();
    machine
}

#[test]
fn process_1_hands_off_under_load_and_its_term_is_a_drain() {
    let machine = Machine::new();
    machine.configure("");
    let mut init = machine.init(&RUN, "log");
    let service = machine.service();
    let address = service.address();
    assert_eq!(service.status().unwrap().pid, 1);
    let load = load(address, 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        machine.site.publish(&Trailer::version(version));
        service.wait_for_version(version);
        load.wait_for_version(version, PATIENCE).unwrap();
    }
    init.signal(Signal::USR2);
    service.settled(5);
    nothing_lost(&load.stop());

    let load = crate::bench::load(address, 0, 0);
    let at_rest = open_descriptors(address);
    let slow = load.slow_request(Duration::from_secs(2));
    wait_until("the slow request is accepted", || open_descriptors(address) > at_rest);
    init.signal(Signal::TERM);
    assert_eq!(init.ended().code(), Some(0));
    slow.wait().expect("the request in flight was finished");
}

#[test]
fn process_1_reaps_strangers_and_takes_nothing_from_their_owners() {
    let machine = with_script(include_str!("orphans.py"));
    let init = machine.init(&RUN, "log");
    let service = machine.service();
    let address = service.address();
    let pid = init.pid();
    let at_rest = children(pid).len();
    // Each is the grandchild of a request whose child ends at once, and sleeps for a moment.
    for _ in 0..3 {
        assert!(get(address, "/orphans?n=5").unwrap().contains("200 OK"));
    }
    wait_until("strangers came to process 1", || children(pid).len() > at_rest + 1);
    wait_until("those that ended are reaped", || {
        children(pid).len() == at_rest && children(pid).iter().all(|child| stat(*child).is_none_or(|s| s.1 != 'Z'))
    });
    assert_eq!(service.settled(1).service.generations[0].generation, 1, "the service is still the first");
    service.restart();
    service.settled(2);
}

#[test]
fn process_1_forwards_signals_and_ends_with_the_services_code() {
    let machine = with_script(include_str!("orphans.py"));
    let heard = machine.at("srv/web/heard");
    let mut init = machine.init(&RUN, "log");
    machine.service().settled(1);
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        init.signal(signal);
        wait_until(name, || fs::read_to_string(&heard).unwrap_or_default().contains(name));
    }
    init.signal(Signal::TERM);
    assert_eq!(init.ended().code(), Some(7));
}

#[test]
fn a_killed_process_1_takes_its_service_along() {
    let machine = Machine::new();
    machine.configure("on_supervisor_death = \"keep\"\n");
    let init = machine.init(&RUN, "log");
    let address = machine.service().address();
    let services = children(init.pid());
    assert!(!services.is_empty());
    init.signal(Signal::KILL);
    // The kernel ends a process namespace with its process 1: neither `drain` nor `keep` can have a say.
    wait_until("the service is gone", || services.iter().all(|pid| stat(*pid).is_none()));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn whoever_sits_outside_of_a_container_is_answered() {
    let machine = Machine::new();
    machine.configure("");
    let _init = machine.init(&RUN, "log");
    machine.service().settled(1);
    // Not in its process namespace: to the supervisor this client is process 0.
    let output = machine.run(&["fetchd", "status", "--config", "/etc/fetchd/web.toml"]);
    assert!(output.status.success(), "{}", text(&output));
    let output = machine.run(&["fetchd", "restart", "--config", "/etc/fetchd/web.toml"]);
    assert!(output.status.success(), "{}", text(&output));
}

/// The value of an instruction of the Dockerfile, continued lines joined.
fn instruction(name: &str) -> String {
    let text = fs::read_to_string(repository("packaging/container/Dockerfile")).unwrap().replace("\\\n", " ");
    let found = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).next_back();
    found.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
}

#[test]
fn the_images_own_command_line_serves_as_an_unprivileged_process_1() {
    let machine = Machine::new();
    let key = machine.site.publisher.public_key();
    machine.install("packaging/container/web.toml", "etc/fetchd/web.toml", 0o644);
    // The image's port may be taken here; what is left out in it is where releases come from.
    let path = machine.at("etc/fetchd/web.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let settings = settings.replace("web=:8080", "web=127.0.0.1:0") + "interval = \"200ms\"\nwatch = \"200ms\"\n";
    let settings = format!("{settings}source = \"{}\"\nkey = [\"{key}\"]\n", machine.site.source());
    fs::write(&path, settings).unwrap();
    let user: Vec<u32> = instruction("USER").split(':').map(|id| id.parse().unwrap()).collect();
    fs::create_dir(machine.at("var/lib/fetchd")).unwrap();
    for owned in ["var/lib/fetchd", "srv/web", "srv/web/server"] {
        chown(machine.at(owned), Some(user[0]), Some(user[1])).unwrap();
    }
    // The test's directory is closed to others, and the publisher's is not for a container's user either.
    for open in ["", "pub"] {
        fs::set_permissions(machine.at(open), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let entry: Vec<String> = serde_json::from_str(&instruction("ENTRYPOINT")).unwrap();
    let (uid, gid) = (format!("--reuid={}", user[0]), format!("--regid={}", user[1]));
    let mut words = vec!["setpriv", &uid, &gid, "--clear-groups", "--no-new-privs", "--"];
    words.extend(entry.iter().map(String::as_str));
    let mut init = machine.init(&words, "log");
    let service = machine.service();
    let address: SocketAddr = service.address();
    let status = fs::read_to_string(format!("/proc/{}/status", init.pid())).unwrap();
    assert!(status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}", user[0])), "{status}");

    let load = load(address, 2, 2);
    machine.site.publish(&Trailer::version("1.1.0"));
    service.wait_for_version("1.1.0");
    load.wait_for_version("1.1.0", PATIENCE).unwrap();
    nothing_lost(&load.stop());

    // As the engine runs it: a shell, inside of the namespaces, as the image's user.
    let health = instruction("HEALTHCHECK");
    let health = health.split_once("CMD ").unwrap().1;
    let healthy = |init: &Init| inside(init, &user, health);
    assert!(healthy(&init), "{}", init.log());
    assert!(instruction("STOPSIGNAL") == "SIGTERM");
    init.signal(Signal::TERM);
    assert_eq!(init.ended().code(), Some(0));
    assert!(!machine.run(&["sh", "-c", health]).status.success(), "nothing serves any more");
}

/// Whether a shell command succeeds in the namespaces of process 1.
fn inside(init: &Init, user: &[u32], command: &str) -> bool {
    let pid = init.pid().to_string();
    let mut enter = Command::new("nsenter");
    enter.args(["--target", &pid, "--mount", "--pid", "--setuid", &user[0].to_string()]);
    enter.args(["--setgid", &user[1].to_string(), "--", "sh", "-c", command]);
    assert!(Path::new("/usr/bin/nsenter").exists(), "nsenter is missing; it comes with util-linux");
    enter.output().unwrap().status.success()
}
