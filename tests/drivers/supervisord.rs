//! `supervisord` with the real supervisord, and `supervisorctl` through `command`.

use std::fs;
use std::process::{Command, Stdio};

use crate::scene::{Foreign, python_program, server};
use crate::site::{text, wait_until};

/// supervisord, in the background, with the server as its program `web`.
pub(crate) fn scene() -> Foreign {
    let scene = Foreign::new();
    let home = scene.site.path().display();
    let configuration = format!(
        "[unix_http_server]\nfile={home}/supervisor.sock\n[supervisord]\nlogfile={home}/supervisord.log\n\
         pidfile={home}/supervisord.pid\nchildlogdir={home}\n[rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\n\
         serverurl=unix://{home}/supervisor.sock\n[program:web]\ncommand={home}/srv/app {home}\nstartsecs=1\n\
         startretries=2\nstopwaitsecs=5\n"
    );
    fs::write(scene.path("supervisord.conf"), configuration).unwrap();
    let mut supervisord = Command::new(python_program("supervisord"));
    supervisord.arg("-c").arg(scene.path("supervisord.conf")).stdin(Stdio::null()).stderr(Stdio::null());
    assert!(supervisord.status().unwrap().success());
    scene.serves("1.0.0");
    wait_until("it is RUNNING", || supervisorctl(&scene, "status").contains("RUNNING"));
    scene
}

fn supervisorctl(scene: &Foreign, verb: &str) -> String {
    let mut supervisorctl = Command::new(python_program("supervisorctl"));
    let output = supervisorctl.arg("-c").arg(scene.path("supervisord.conf")).args([verb, "web"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn flags(scene: &Foreign, process: &str, more: &[&str]) -> Vec<String> {
    let socket = scene.text_path("supervisor.sock");
    let flags = ["--restart", "supervisord", "--restart-socket", &socket, "--restart-process", process];
    flags.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

pub(crate) fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[test]
fn supervisord_restarts_each_release() {
    let scene = scene();
    let flags = flags(&scene, "web", &[]);
    let mut fetchd = scene.run(&borrowed(&flags));
    for version in ["1.1.0", "1.2.0"] {
        scene.publish_server(version, "");
        fetchd.wait(&format!("{version} is confirmed"), |status| status.updates.version.as_deref() == Some(version));
        scene.serves(version);
        assert!(supervisorctl(&scene, "status").contains(&format!("pid {}", scene.pid())));
    }
}

#[test]
fn without_a_supervisord_or_its_process_no_release_is_blamed() {
    let scene = scene();
    let pid = scene.pid();
    let fetchd = scene.run(&borrowed(&flags(&scene, "web", &["--interval", "1h"])));
    scene.publish_server("1.1.0", "");
    let aside = scene.path("aside.sock");
    fs::rename(scene.path("supervisor.sock"), &aside).unwrap();
    scene.is_unreachable(&fetchd, "supervisor.sock");
    assert_eq!(scene.pid(), pid);
    fs::rename(&aside, scene.path("supervisor.sock")).unwrap();
    scene.goes_live(&fetchd);
    scene.serves("1.1.0");
    assert_eq!(fetchd.stop().code(), Some(0));
    scene.publish_server("1.2.0", "");
    let mut apply = scene.command("apply", &borrowed(&flags(&scene, "other", &[])));
    let output = apply.arg("--").arg(scene.site.program()).output().unwrap();
    assert!(text(&output).contains("BAD_NAME") && output.status.code() == Some(42), "{}", text(&output));
    assert!(scene.site.record().quarantine.is_empty());
    scene.serves("1.1.0");
}

#[test]
fn supervisorctl_is_a_command_like_any_other() {
    let scene = scene();
    let configuration = scene.text_path("supervisord.conf");
    let supervisorctl = python_program("supervisorctl");
    let command = format!("{} -c {configuration} restart web", supervisorctl.display());
    let mut fetchd = scene.run(&["--restart", "command", "--restart-command", &command]);
    scene.publish_server("1.1.0", "crash");
    fetchd.wait_for_event("handoff.failed", "handoff.restart_failed");
    scene.is_back_at(&mut fetchd, &server("1.0.0", ""));
    scene.serves("1.0.0");
    scene.publish_server("1.2.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.2.0");
}
