//! What is handed from process to process: descriptors, paths, the program, the PID file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::process::Command;

use fetchd::demo::Trailer;

use crate::chain::{Chain, field, gone, pid_file, put, site};
use crate::processes::signal;
use crate::site::{Site, get, wait_until};

#[test]
fn a_named_descriptor_is_made_once_and_handed_on() {
    let site = site();
    let path = site.path().join("kept");
    let chain = Chain::start(&site, &["--keep", path.to_str().unwrap()]);
    let first = chain.pid();
    // Whoever opened the path again would write elsewhere, and fail.
    let same = fs::File::open(&path).unwrap();
    let second = chain.switch();
    let third = chain.switch();
    wait_until("the third answers", || chain.answering() == third);
    assert_eq!(std::io::read_to_string(same).unwrap(), format!("1 {first}\n2 {second}\n3 {third}\n"));
}

#[test]
fn the_path_of_a_unix_socket_outlives_every_parent() {
    let site = site();
    let path = site.path().join("web.sock");
    let mut chain = Chain::start(&site, &["--pause-ms", "20", "--bind", &format!("unix:{}", path.display())]);
    let inode = fs::symlink_metadata(&path).unwrap().ino();
    let first = chain.pid();
    for _ in 0..2 {
        assert!(chain.upgrade().starts_with("upgraded to "));
    }
    wait_until("the first process has ended", || chain.reap_first().is_some());
    gone(first);
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_link_that_is_turned_leads_to_the_new_release_and_arguments_stay() {
    let site = Site::empty();
    let release = |version: &str| {
        let dir = site.path().join("releases").join(version);
        fs::create_dir_all(&dir).unwrap();
        put(&site, &dir.join("app"), &Trailer::version(version));
        dir
    };
    let turn = |to: &std::path::Path| {
        symlink(to, site.path().join("next")).unwrap();
        fs::rename(site.path().join("next"), site.path().join("current")).unwrap();
    };
    turn(&release("1.0.0"));
    let program = site.path().join("current/app");
    let mut command = Command::new("./app");
    // As a shell does it that went there through the link.
    command.current_dir(site.path().join("current")).env("PWD", site.path().join("current"));
    let mut chain = Chain::start_with(&site, command, &["--pause-ms", "20"]);
    turn(&release("2.0.0"));
    // The old release goes away; the process that runs it knows by what path it was started.
    fs::remove_dir_all(site.path().join("releases/1.0.0")).unwrap();
    for _ in 0..2 {
        let outcome = chain.upgrade();
        assert!(outcome.starts_with("upgraded to "), "{outcome}");
        assert_eq!(field(&get(chain.address, "/").unwrap(), "version"), "2.0.0");
        let told = get(chain.address, "/env").unwrap();
        assert!(told.contains(&format!("program {}", program.display())), "{told}");
        assert!(told.contains("\"left\":[]"), "nothing of the protocol is left to grandchildren: {told}");
        let cwd = fs::read_link(format!("/proc/{}/cwd", chain.pid())).unwrap();
        assert_eq!(cwd, fs::canonicalize(site.path().join("releases/2.0.0")).unwrap());
        let args = fs::read(format!("/proc/{}/cmdline", chain.pid())).unwrap();
        assert!(args.starts_with(b"./app\0--direct\0"), "{}", String::from_utf8_lossy(&args));
    }
    chain.reap_first();
}

#[test]
fn sigterm_ends_the_last_process_and_the_pid_file_names_the_one_that_serves() {
    let site = site();
    let mut chain = Chain::start(&site, &["--pause-ms", "20", "--lame-duck-ms", "50"]);
    let first = chain.pid();
    assert_eq!(chain.answering(), first);
    assert!(chain.upgrade().starts_with("upgraded to "));
    let second = chain.pid();
    assert_eq!(chain.answering(), second);
    let mut ended = None;
    wait_until("the first process has drained", || {
        ended = chain.reap_first();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));
    signal(second, rustix::process::Signal::TERM);
    gone(second);
    assert!(get(chain.address, "/").is_err(), "nobody listens any more");
    assert_eq!(
        fs::read_dir(site.path())
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().contains("app.pid"))
            .count(),
        1
    );
    assert_eq!(fs::read_to_string(pid_file(&site)).unwrap(), format!("{second}\n"));
}
