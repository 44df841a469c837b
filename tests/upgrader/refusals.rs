//! Where a direct handoff would harm the service, it is refused, and the service goes on.

use std::process::Command;

use rustix::process::Signal;

use crate::chain::{Chain, end_all, pid_file, running, site};
use crate::processes::{services_of, signal};
use crate::site::{FETCHD, wait_until};

#[test]
fn under_supervisord_it_is_refused() {
    let site = site();
    let mut command = Command::new(site.program());
    command.env("SUPERVISOR_ENABLED", "1").env("SUPERVISOR_PROCESS_NAME", "web");
    let chain = Chain::start_with(&site, command, &[]);
    let pid = chain.pid();
    let outcome = chain.upgrade();
    assert!(outcome.starts_with("upgrade.refused: ") && outcome.contains("supervisord watches"), "{outcome}");
    assert_eq!((chain.answering(), chain.running()), (pid, vec![pid]));
}

#[test]
fn as_process_1_it_is_refused() {
    let site = site();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(site.program());
    let chain = Chain::start_with(&site, command, &[]);
    assert_eq!(chain.pid(), 1, "it knows itself by this number");
    let outside = chain.running();
    assert_eq!(outside.len(), 1);
    signal(outside[0], Signal::USR2);
    wait_until("the refusal", || chain.log().contains("1 upgrade.refused: ") && chain.log().contains("process 1"));
    assert_eq!((chain.answering(), chain.running()), (1, outside));
}

#[test]
fn under_fetchd_it_is_refused_and_fetchd_restarts_it() {
    let site = site();
    let pids = pid_file(&site);
    let mut command = Command::new(FETCHD);
    command.args(["run", "--product", "app", "--watch", "100ms", "--listen", "web=127.0.0.1:0", "--state-dir"]);
    command.arg(site.state_dir()).arg("--").arg(site.program()).args(["--direct", "--pid-file"]).arg(&pids);
    command.env_remove("RUST_LOG");
    let mut fetchd = site.supervise(command);
    let address = fetchd.address();
    let first = services_of(fetchd.pid())[0];
    signal(first, Signal::USR2);
    wait_until("the refusal", || {
        let log = fetchd.log();
        log.contains(&format!("{first} upgrade.refused")) && log.contains("fetchd supervises this process")
    });
    assert!(crate::site::get(address, "/").unwrap().contains(&format!("\"pid\":{first},")));
    let restarted = fetchd.fetchd("restart", &[]);
    assert!(restarted.status.success(), "{}", crate::site::text(&restarted));
    wait_until("another process answers", || {
        !crate::site::get(address, "/").unwrap().contains(&format!("\"pid\":{first},"))
    });
    assert_eq!(fetchd.stop().code(), Some(0));
    end_all(site.path());
    assert!(running(site.path()).is_empty());
}
