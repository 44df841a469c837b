//! The program path is a symlink.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bench::Bench;
use crate::maker::{SEQ, program};
use crate::table::Verdict;

/// Moves the program to where `real` says, and puts the links there, the first at the program path.
fn behind_links(bench: &mut Bench, real: &str, links: &[(&str, &str)]) {
    let at = |name: &str| bench.path().join(name);
    fs::create_dir_all(at(real).parent().unwrap()).unwrap();
    fs::rename(bench.program(), at(real)).unwrap();
    for (link, target) in links {
        fs::create_dir_all(at(link).parent().unwrap()).unwrap();
        symlink(target, at(link)).unwrap();
    }
    bench.mark();
}

#[track_caller]
fn assert_kept(bench: &mut Bench, real: &str, links: &[(&str, &str)], verdict: &Verdict) {
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    for (link, target) in links {
        assert_eq!(fs::read_link(bench.path().join(link)).unwrap(), Path::new(target), "the link is what it was");
    }
    let found = bench.path().join(real);
    assert!(fs::symlink_metadata(&found).unwrap().is_file());
    assert!(fs::read(found).unwrap() == program("1.1.0"), "the pointee is the new program");
    bench.assert_recovers();
}

pub fn link(bench: &mut Bench, verdict: &Verdict) {
    let links = [("srv/app", "../real/app")];
    behind_links(bench, "real/app", &links);
    assert_kept(bench, "real/app", &links, verdict);
}

/// Each link is relative to its own directory.
pub fn links(bench: &mut Bench, verdict: &Verdict) {
    let links = [("srv/app", "../etc/alternatives/app"), ("etc/alternatives/app", "../../opt/app/bin/app-1")];
    behind_links(bench, "opt/app/bin/app-1", &links);
    assert_kept(bench, "opt/app/bin/app-1", &links, verdict);
}

#[track_caller]
fn leads_nowhere(bench: &mut Bench, links: &[(&str, &str)], verdict: &Verdict) {
    behind_links(bench, "elsewhere", links);
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    for (link, target) in links {
        assert_eq!(fs::read_link(bench.path().join(link)).unwrap(), Path::new(target), "the link is what it was");
    }
    assert!(!bench.path().join("srv/nowhere").exists(), "something was created");
    fs::remove_file(bench.program()).unwrap();
    fs::rename(bench.path().join("elsewhere"), bench.program()).unwrap();
    bench.assert_recovers();
}

pub fn dangling(bench: &mut Bench, verdict: &Verdict) {
    leads_nowhere(bench, &[("srv/app", "nowhere")], verdict);
}

pub fn looping(bench: &mut Bench, verdict: &Verdict) {
    leads_nowhere(bench, &[("srv/app", "other"), ("srv/other", "app")], verdict);
}
