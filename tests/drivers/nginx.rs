//! `signal` with the real nginx: its binary is upgraded under load, and what cannot run is taken back.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::processes::{children, runs, signal};
use crate::scene::{
    Foreign, LONG, free_port, gone, is_watched, load, nothing_was_lost, patched, pid_in, system_program,
};
use crate::site::{get, wait_until};

const NGINX: &str = "/usr/sbin/nginx";

/// nginx, master and workers, with its files below the site.
pub(crate) struct Nginx {
    pub(crate) scene: Foreign,
    pub(crate) address: SocketAddr,
}

/// The binary as another patch version, which it then says in its answers, too.
pub(crate) fn version(patch: u8) -> Vec<u8> {
    let (_, own) = own_version();
    let (head, _) = own.rsplit_once('.').unwrap();
    let width = own.len() - head.len() - 1;
    let other = format!("{head}.{:0>width$}", patch % 10);
    patched(&system_program(NGINX), format!("nginx/{own}").as_bytes(), format!("nginx/{other}").as_bytes())
}

/// What the binary says of itself: its first two numbers, and all three.
fn own_version() -> (String, String) {
    let output = Command::new(NGINX).arg("-v").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let own = said.trim().rsplit_once("nginx/").unwrap().1.to_owned();
    (own.rsplit_once('.').unwrap().0.to_owned(), own)
}

fn named(patch: u8) -> String {
    format!("{}.{patch}", own_version().0)
}

impl Nginx {
    /// Serves as patch version 2; `/health` is well but for patch version 8.
    fn start() -> Nginx {
        Nginx::start_as(&named(2))
    }

    /// The same, published under another version.
    pub(crate) fn start_as(published: &str) -> Nginx {
        let scene = Foreign::with(&version(2), published);
        // nginx cannot choose a port, and one that was free may be taken a moment later.
        for _ in 0..20 {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            fs::write(scene.path("nginx.conf"), configuration(&scene, address)).unwrap();
            let mut nginx = Command::new(scene.site.program());
            nginx.arg("-c").arg(scene.path("nginx.conf")).stdin(Stdio::null()).stderr(Stdio::null());
            if nginx.status().unwrap().success() {
                wait_until("nginx serves", || get(address, "/").is_ok());
                return Nginx { scene, address };
            }
        }
        panic!("nginx does not start: {}", fs::read_to_string(scene.path("error.log")).unwrap_or_default());
    }

    pub(crate) fn flags(&self) -> Vec<String> {
        let flags = ["--smoke", "off", "--restart", "signal", "--restart-recipe", "nginx", "--restart-pid-file"];
        flags.into_iter().map(str::to_owned).chain([self.scene.text_path("app.pid")]).collect()
    }

    fn health(&self) -> Vec<String> {
        ["--health-interval", "50ms", "--health"]
            .into_iter()
            .map(str::to_owned)
            .chain([format!("http://{}/health", self.address)])
            .collect()
    }

    pub(crate) fn answers(&self, patch: u8) {
        let wanted = format!(r#""version":"{}""#, named(patch));
        wait_until(&format!("{wanted} answers"), || {
            get(self.address, "/").is_ok_and(|answer| answer.contains(&wanted))
        });
    }

    pub(crate) fn old(&self) -> Option<u32> {
        pid_in(&self.scene.path("app.pid.oldbin"))
    }
}

fn configuration(scene: &Foreign, address: SocketAddr) -> String {
    let home = scene.site.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {home}/{name};\n"))
        .collect();
    format!(
        "pid {home}/app.pid;\nerror_log {home}/error.log notice;\nworker_processes 2;\nevents {{}}\nhttp {{\n{temporary}\
         access_log off;\nserver {{\nlisten {address};\ndefault_type application/json;\n\
         location = /health {{ if ($nginx_version = \"{}\") {{ return 503; }} return 200 \"well\"; }}\n\
         location / {{ return 200 '{{\"version\":\"$nginx_version\",\"pid\":$pid}}'; }}\n}}\n}}\n",
        named(8)
    )
}

pub(crate) fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[test]
fn five_upgrades_of_nginx_under_load_lose_no_request() {
    let nginx = Nginx::start();
    let flags = [nginx.flags(), nginx.health()].concat();
    let mut fetchd = nginx.scene.run(&borrowed(&flags));
    let load = load(nginx.address);
    for patch in 3..=7 {
        let before = nginx.scene.pid();
        nginx.scene.publish(&named(patch), &version(patch));
        fetchd.wait(&format!("{} is confirmed", named(patch)), |status| {
            status.updates.version.as_deref() == Some(&named(patch))
        });
        nginx.answers(patch);
        assert_ne!(nginx.scene.pid(), before);
        gone(before);
        wait_until("one PID file is left", || nginx.old().is_none());
    }
    nothing_was_lost(load, &fetchd);
    assert!(nginx.scene.site.record().quarantine.is_empty());
}

#[test]
fn an_nginx_that_dies_in_its_watch_gives_way_to_the_old_process() {
    let nginx = Nginx::start();
    let flags = [nginx.flags(), vec!["--watch".to_owned(), LONG.to_owned()]].concat();
    let mut fetchd = nginx.scene.run(&borrowed(&flags));
    let pid = nginx.scene.pid();
    nginx.scene.publish(&named(3), &version(3));
    is_watched(&fetchd);
    assert_eq!(nginx.old(), Some(pid));
    nginx.answers(3);
    // Its workers notice by themselves that their parent is gone.
    signal(nginx.scene.pid(), Signal::KILL);
    fetchd.wait_for_event("handoff.failed", "watch.died");
    nginx.scene.is_back_at(&mut fetchd, &version(2));
    wait_until("the old one has its PID file back", || nginx.scene.pid() == pid && nginx.old().is_none());
    nginx.answers(2);
    nginx.scene.quarantined(&named(3));
}

#[test]
fn a_fetchd_that_stops_in_the_watch_leaves_the_old_process_serving() {
    let nginx = Nginx::start();
    let flags = [nginx.flags(), vec!["--watch".to_owned(), LONG.to_owned()]].concat();
    let fetchd = nginx.scene.run(&borrowed(&flags));
    let (pid, load) = (nginx.scene.pid(), load(nginx.address));
    nginx.scene.publish(&named(3), &version(3));
    is_watched(&fetchd);
    assert_eq!(nginx.old(), Some(pid));
    nginx.answers(3);
    assert_eq!(fetchd.stop().code(), Some(0));
    nginx.answers(2);
    assert_eq!((nginx.scene.pid(), nginx.old()), (pid, None));
    // The release was not to blame: it is taken by the next one.
    let mut fetchd = nginx.scene.run(&borrowed(&nginx.flags()));
    fetchd.wait(&format!("{} is confirmed", named(3)), |s| s.updates.version.as_deref() == Some(&named(3)));
    nginx.answers(3);
    nothing_was_lost(load, &fetchd);
}

#[test]
fn an_upgrade_that_a_killed_fetchd_left_half_done_is_taken_back_by_the_next() {
    let nginx = Nginx::start();
    let flags = [nginx.flags(), vec!["--watch".to_owned(), LONG.to_owned()]].concat();
    let mut fetchd = nginx.scene.run(&borrowed(&flags));
    let pid = nginx.scene.pid();
    nginx.scene.publish(&named(3), &version(3));
    is_watched(&fetchd);
    assert_eq!(nginx.old(), Some(pid));
    let cut_off = nginx.scene.pid();
    wait_until("the old one has sent its workers home", || children(pid) == [cut_off]);
    fetchd.signal(Signal::KILL);
    fetchd.wait_for_end();
    drop(fetchd);
    let mut fetchd = nginx.scene.run(&borrowed(&nginx.flags()));
    fetchd.wait(&format!("{} is confirmed", named(3)), |s| s.updates.version.as_deref() == Some(&named(3)));
    nginx.answers(3);
    gone(cut_off);
    gone(pid);
    assert!(runs(nginx.scene.pid()));
    assert!(fetchd.log().contains("taking back an upgrade that was cut off"), "{}", fetchd.log());
}
