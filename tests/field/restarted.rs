//! A unit of a real systemd that the driver `systemd` restarts: every way in which a release can be bad.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fetchd::demo::{Fault as Demo, Trailer};
use serde_json::Value;

use crate::booted::Booted;
use crate::failures::{Fault, SYSTEMD, Stage, play};
use crate::site::{text, wait_until};

/// A unit of somebody else's. A socket unit holds its socket, so that nobody is refused meanwhile.
const APP: &str = "[Service]\nType=notify\nExecStart=/srv/app/server\nTimeoutStopSec=2\n";
const APP_SOCKET: &str = "[Socket]\nListenStream=/run/app.sock\nFileDescriptorName=web\n";

/// Does to the watched process what the file says.
const HEALTH: &str = "#!/bin/sh\ncase \"$(cat /srv/app/fault)\" in\ndies) kill -KILL \"$FETCHD_PID\"; exit 1 ;;\n\
                      unhealthy) exit 1 ;;\nesac\n";

struct Unit<'a> {
    booted: &'a Booted,
}

impl Unit<'_> {
    /// `fetchd COMMAND` for it, inside.
    fn fetchd(&self, before: &[&str], command: &str, more: &[&str]) -> Vec<String> {
        let key = self.booted.site.publisher.public_key().to_string();
        let source = "file:/srv/releases/stable.fetchd?settle=0s";
        let flags =
            ["fetchd", command, "--product", "web", "--state-dir", "/var/lib/keeper", "--key", &key, "--source"];
        let words = before.iter().chain(&flags).chain([&source]).chain(more).chain(&["--", "/srv/app/server"]);
        words.map(|word| (*word).to_owned()).collect()
    }

    fn keep(&self, more: &[&str]) {
        let unit = ["systemd-run", "--unit=keeper", "--collect", "--property=Type=notify"];
        let flags =
            ["--restart", "systemd", "--restart-unit", "app.service", "--restart-deadline", "5s", "--interval", "1h"];
        let health = ["--watch", "300ms", "--health", "/srv/app/health", "--health-interval", "50ms"];
        let words = self.fetchd(&unit, "run", &[&flags[..], &health, more].concat());
        self.booted.succeed(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(self.apply(), "");
    }

    /// One pass; the code of what went wrong, empty for nothing.
    fn apply(&self) -> String {
        let words = self.fetchd(&[], "apply", &["--json"]);
        let output = self.booted.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
        object["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn answer(&self) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.booted.at("run/app.sock"))?;
        stream.set_read_timeout(Some(crate::site::PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The demo service with a fault; the health check sees to the rest.
fn trailer(version: &str, fault: Option<Fault>) -> Trailer {
    let good = Trailer::version(version);
    match fault {
        Some(Fault::ExitsAtOnce) => good.with_fault(Demo::ExitBeforeReady),
        Some(Fault::ExitsLater) => good.with_fault(Demo::ExitBeforeReady).with_boot(Duration::from_millis(300)),
        Some(Fault::Hangs) => good.with_fault(Demo::NeverReady),
        Some(Fault::WrongVersion) => good.with_fault(Demo::VersionWrong),
        _ => good,
    }
}

impl Stage for Unit<'_> {
    fn let_pass(&mut self, fault: Fault) {
        if fault == Fault::WrongFormat {
            self.booted.succeed(&["systemctl", "stop", "keeper"]);
            self.keep(&["--smoke", "off", "--target-check", "off"]);
        }
    }

    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        if fault == Some(Fault::WrongFormat) {
            self.booted.site.publisher.publish(version, &[0xa5; 4096]).unwrap();
        } else {
            self.booted.site.publish(&trailer(version, fault));
        }
        let word = match fault {
            Some(Fault::DiesInWatch) => "dies",
            Some(Fault::Unhealthy) => "unhealthy",
            _ => "",
        };
        fs::write(self.booted.at("srv/app/fault"), word).unwrap();
        self.apply()
    }

    fn serves(&mut self, version: &str) -> u32 {
        let wanted = format!(r#""version":"{version}""#);
        wait_until(&format!("{version} answers"), || self.answer().is_ok_and(|answer| answer.contains(&wanted)));
        let installed = fs::read(self.booted.at("srv/app/server")).unwrap();
        assert!(installed == self.booted.site.binary(&trailer(version, None)));
        let main = self.booted.succeed(&["systemctl", "show", "--value", "-p", "MainPID", "app.service"]);
        main.trim().parse().unwrap()
    }
}

#[test]
fn every_failure_under_a_real_systemd() {
    let booted = Booted::start();
    booted.succeed(&["install", "-d", "/srv/app"]);
    booted.succeed(&["install", "/srv/carried/server", "/srv/app/server"]);
    let health = booted.at("srv/app/health");
    fs::write(&health, HEALTH).unwrap();
    fs::set_permissions(&health, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(booted.at("srv/app/fault"), "").unwrap();
    fs::write(booted.at("etc/systemd/system/app.service"), APP).unwrap();
    fs::write(booted.at("etc/systemd/system/app.socket"), APP_SOCKET).unwrap();
    booted.succeed(&["systemctl", "daemon-reload"]);
    booted.succeed(&["systemctl", "start", "app.socket", "app.service"]);
    booted.site.publish(&Trailer::version("1.0.0"));
    let mut unit = Unit { booted: &booted };
    unit.keep(&[]);
    play(&SYSTEMD, &mut unit);
}
