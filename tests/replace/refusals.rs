//! What lies at fetchd's path cannot take over: the old one goes on, says why, and takes the next one.

use std::fs;

use crate::bench::{in_phase, load, restart, script, settled, tcp};
use crate::site::{PATIENCE, Site, text};
use crate::stand::{own, plain, put, put_back, put_script, refused, replace};

#[test]
fn what_cannot_take_over_changes_nothing() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    let address = fetchd.address();
    let load = load(tcp(address), 2, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let before = settled(&mut fetchd);

    put(&site, b"#!/bin/sh\n", 0o644);
    let output = fetchd.fetchd("restart", &["--supervisor"]);
    assert!(output.status.code() == Some(40) && text(&output).contains("[replace.exec]"), "{}", text(&output));
    put(&site, &[0x55; 4096], 0o755);
    refused(&fetchd, "replace.exec", 40, "could not be executed");
    fs::remove_file(own(&site)).unwrap();
    refused(&fetchd, "replace.exec", 40, "could not be executed");
    put_script(&site, "echo 'no such library' >&2; exit 3");
    refused(&fetchd, "replace.unfit", 42, "no such library");
    put_script(&site, "kill -SEGV $$");
    refused(&fetchd, "replace.unfit", 42, "SIGSEGV");
    put_script(&site, "exit 0");
    refused(&fetchd, "replace.unfit", 42, "did not answer as a fetchd does");
    put_script(&site, "sleep 600");
    refused(&fetchd, "replace.silent", 42, "did not say within 10 s");

    let status = fetchd.try_status().unwrap();
    assert_eq!((status.pid, settled(&mut fetchd)), (fetchd.pid(), before));
    assert_eq!(fetchd.log().matches("supervisor.not_replaced").count(), 7);
    put_back(&site);
    let output = fetchd.fetchd("restart", &["--supervisor"]);
    assert!(output.status.success() && text(&output).contains("in the same process"), "{}", text(&output));
    restart(&fetchd);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_state_of_another_schema_is_refused_before_anything_changes() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    fetchd.address();
    let later = script(
        &site,
        "later",
        r#"
import os, sys
number = int(os.environ["FETCHD_STATE_FD"])
text = os.read(number, 1 << 20).replace(b'"schema":1', b'"schema":7', 1)
os.ftruncate(number, 0)
os.pwrite(number, text, 0)
os.execv(sys.argv[1], ["fetchd"] + sys.argv[2:])
"#,
    );
    put_script(&site, &format!("exec {} $REAL \"$@\"", later.display()));
    refused(&fetchd, "replace.unfit", 42, "has schema 7, this fetchd reads schema 1");
    assert_eq!(settled(&mut fetchd).0, 1);
}

/// A configuration file that is replaced by nonsense between the question and the `execve`.
#[test]
fn one_that_gives_up_after_it_took_over_leaves_the_old_one_running() {
    let site = Site::new();
    let file = site.path().join("app.toml");
    let text = format!(
        "product = \"app\"\nstate_dir = \"{}\"\nlisten = [\"web=127.0.0.1:0\"]\nwatch = \"100ms\"\nprogram = [\"{}\"]\n",
        site.state_dir().display(),
        site.program().display()
    );
    fs::write(&file, &text).unwrap();
    let mut command = std::process::Command::new("fetchd");
    command.args(["run", "--config"]).arg(&file);
    let mut fetchd = site.supervise(crate::stand::from_own_path(&site, &command));
    let address = fetchd.address();
    let load = load(tcp(address), 2, 2);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let before = settled(&mut fetchd);

    put_script(&site, "[ $FETCHD_ROLE = supervisor-resume ] && echo nonsense > app.toml; exec $REAL \"$@\"");
    refused(&fetchd, "replace.gave_up", 42, "the old one serves again");
    let status = fetchd.try_status().unwrap();
    assert_eq!((status.pid, settled(&mut fetchd)), (fetchd.pid(), before));
    // A configuration that is wrong is seen before anything changes, by one that is asked.
    put_back(&site);
    refused(&fetchd, "replace.unfit", 42, "app.toml");
    fs::write(&file, text.replace("product = \"app\"", "product = \"other\"")).unwrap();
    refused(&fetchd, "replace.unfit", 42, "`product`");
    restart(&fetchd);
    fs::write(&file, text).unwrap();
    replace(&fetchd);
    let status = fetchd.try_status().unwrap();
    assert_eq!(in_phase(&status, "serving")[0].0, 2);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert_eq!(fetchd.stop().code(), Some(0));
}
