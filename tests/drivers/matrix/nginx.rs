//! The column of two processes side by side, with the real nginx, under load.

use std::fs;

use super::{GARBAGE, code_of, health, word};
use crate::failures::{Fault, NGINX, Stage, play};
use crate::nginx::{Nginx, borrowed, version as binary};
use crate::processes::children;
use crate::scene::{load, nothing_was_lost};
use crate::site::{Supervised, wait_until};

struct Played<'a> {
    nginx: &'a Nginx,
    fetchd: &'a Supervised<'a>,
    /// The good releases, and which patch version of nginx each is: it has no more than ten.
    good: Vec<(String, u8)>,
}

impl Stage for Played<'_> {
    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        let scene = &self.nginx.scene;
        let program = match fault {
            None => {
                let patch = self.good.last().unwrap().1 % 7 + 1;
                self.good.push((version.to_owned(), patch));
                binary(patch)
            }
            Some(Fault::ExitsAtOnce) => b"#!/bin/sh\nexit 3\n".to_vec(),
            Some(Fault::ExitsLater) => b"#!/bin/sh\nsleep 1\nexit 3\n".to_vec(),
            Some(Fault::Hangs) => b"#!/bin/sh\nexec sleep 600\n".to_vec(),
            Some(Fault::WrongFormat) => GARBAGE.to_vec(),
            Some(Fault::DiesInWatch) => binary(8),
            Some(_) => binary(9),
        };
        fs::write(scene.path("fault"), word(fault)).unwrap();
        scene.publish(version, &program);
        code_of(&self.fetchd.fetchd("apply", &["--json"]))
    }

    fn serves(&mut self, version: &str) -> u32 {
        let patch = self.good.iter().find(|(known, _)| known == version).unwrap().1;
        wait_until("one nginx is left, with its workers", || {
            self.nginx.old().is_none() && children(self.nginx.scene.pid()).len() == 2
        });
        self.nginx.answers(patch);
        assert!(fs::read(self.nginx.scene.site.program()).unwrap() == binary(patch));
        self.nginx.scene.pid()
    }
}

#[test]
fn every_failure_under_nginx() {
    let nginx = Nginx::start_as("1.0.0");
    let script = nginx.scene.script("health", &health(nginx.scene.site.path().to_str().unwrap()));
    fs::write(nginx.scene.path("fault"), "").unwrap();
    let flags = nginx.flags();
    let more = ["--interval", "1h", "--restart-deadline", "4s", "--health", &script, "--health-interval", "50ms"];
    let fetchd = nginx.scene.run(&[&borrowed(&flags)[..], &more].concat());
    let load = load(nginx.address);
    play(&NGINX, &mut Played { nginx: &nginx, fetchd: &fetchd, good: vec![("1.0.0".to_owned(), 2)] });
    nothing_was_lost(load, &fetchd);
}
