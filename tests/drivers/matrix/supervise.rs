//! The column of the driver that runs the service itself.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use fetchd::demo::{Fault as Demo, Trailer};

use super::{GARBAGE, code_of, health, word};
use crate::chain::field;
use crate::failures::{Fault, SUPERVISE, Stage, play};
use crate::scene::put;
use crate::site::{Site, Supervised, get, wait_until};

struct Supervise<'a> {
    site: &'a Site,
    fetchd: Option<Supervised<'a>>,
    address: Option<SocketAddr>,
}

impl Supervise<'_> {
    fn run(&mut self, more: &[&str]) {
        self.fetchd = None;
        let script = self.site.path().join("bin/health");
        let flags = ["--interval", "1h", "--watch", "300ms", "--ready-deadline", "5s", "--health-interval", "50ms"];
        let flags = [&flags[..], &["--health", script.to_str().unwrap()], more].concat();
        let fetchd = self.fetchd.insert(self.site.run(&flags));
        self.address = Some(fetchd.address());
        assert_eq!(code_of(&fetchd.fetchd("apply", &["--json"])), "");
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

impl Stage for Supervise<'_> {
    fn let_pass(&mut self, fault: Fault) {
        if fault == Fault::WrongFormat {
            self.run(&["--smoke", "off", "--target-check", "off"]);
        }
    }

    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        if fault == Some(Fault::WrongFormat) {
            self.site.publisher.publish(version, &GARBAGE).unwrap();
        } else {
            self.site.publish(&trailer(version, fault));
        }
        fs::write(self.site.path().join("fault"), word(fault)).unwrap();
        code_of(&self.fetchd.as_ref().unwrap().fetchd("apply", &["--json"]))
    }

    fn serves(&mut self, version: &str) -> u32 {
        let wanted = format!(r#""version":"{version}""#);
        let mut answer = String::new();
        wait_until(&format!("{version} answers"), || {
            answer = get(self.address.unwrap(), "/").unwrap_or_default();
            answer.contains(&wanted)
        });
        assert!(fs::read(self.site.program()).unwrap() == self.site.binary(&trailer(version, None)));
        field(&answer, "pid").parse().unwrap()
    }
}

#[test]
fn every_failure_under_supervise() {
    let site = Site::new();
    let home = site.path().to_str().unwrap();
    put(&site.path().join("bin/health"), health(home).as_bytes());
    fs::write(site.path().join("fault"), "").unwrap();
    site.publish(&Trailer::version("1.0.0"));
    let mut stage = Supervise { site: &site, fetchd: None, address: None };
    stage.run(&[]);
    play(&SUPERVISE, &mut stage);
}
