//! A program that was changed where it lies is not started, however well that is hidden.

use std::fs::{self, FileTimes, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fetchd::agent::Answer;
use fetchd::control::{self, Line, Request};

use crate::bench::{restart, settled, updated};
use crate::site::{PATIENCE, Site, Supervised, wait_until};

/// A script: the kernel lets anybody with the right to write to it do so while it runs.
fn script(site: &Site, mark: &str) -> String {
    let mark = site.path().join(mark);
    format!("#!/bin/sh\n[ \"$1\" = --version ] && exec echo app 1.0.0\n: > {}\nexec sleep 600\n", mark.display())
}

/// Writes `text` over what is in the program, which has as many bytes, and sets its time of modification back.
fn write_over(site: &Site, text: &str) {
    let before = fs::metadata(site.program()).unwrap();
    let mut file = OpenOptions::new().write(true).open(site.program()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    drop(file);
    let after = fs::metadata(site.program()).unwrap();
    let seen = |meta: &fs::Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    assert_eq!(seen(&after), seen(&before));
}

fn asked(fetchd: &Supervised<'_>) -> Answer {
    match control::ask(&control::path(&fetchd.site.state_dir()), &Request::Restart, PATIENCE, |_| {}) {
        Ok(Line::Answer(answer)) => answer,
        other => panic!("{other:?}\n{}", fetchd.log()),
    }
}

#[test]
fn a_program_written_over_in_place_is_not_restarted_though_its_time_was_set_back() {
    let site = Site::empty();
    let (good, bad) = (script(&site, "ran.1"), script(&site, "ran.2"));
    fs::write(site.program(), &good).unwrap();
    fs::set_permissions(site.program(), Permissions::from_mode(0o755)).unwrap();
    let mut fetchd = site.supervise(updated(&site, &["--ready", "alive:50ms", "--watch", "50ms"], &[]));
    settled(&mut fetchd);
    // Old enough for its digest to be remembered; the second restart need not read it.
    let changed = fs::metadata(site.program()).unwrap();
    let changed =
        UNIX_EPOCH + Duration::new(changed.ctime().unsigned_abs(), u32::try_from(changed.ctime_nsec()).unwrap());
    wait_until("the program is old enough", || {
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > Duration::from_millis(2100))
    });
    restart(&fetchd);
    restart(&fetchd);
    let before = settled(&mut fetchd);

    write_over(&site, &bad);
    let answer = asked(&fetchd);
    assert_eq!(answer.error.map(|error| error.code).as_deref(), Some("program.changed"), "{}", answer.message);
    assert_eq!(settled(&mut fetchd), before);
    assert!(site.path().join("ran.1").exists() && !site.path().join("ran.2").exists());

    write_over(&site, &good);
    restart(&fetchd);
    assert_eq!(settled(&mut fetchd).0, before.0 + 1);
    fetchd.stop();
    assert!(!site.path().join("ran.2").exists());
}
