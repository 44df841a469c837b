//! Two hundred handoffs leave nothing behind.

use std::fs;

use fetchd::demo::Trailer;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{children, descriptors, restart, serves_from, settled};
use crate::site::{Site, get, text, wait_until};

fn anonymous_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_handoffs_leave_no_process_no_descriptor_and_no_memory() {
    let site = Site::new();
    let mut fetchd = site.run(&["--watch", "0s", "--interval", "1h"]);
    let address = fetchd.address();
    let supervisor = fetchd.pid();
    // What is published is what runs, so that the next poll is an hour away.
    site.publish(&Trailer::version("1.0.0"));
    // The first pass is over and its worker gone, so that only handoffs are counted.
    let output = fetchd.fetchd("apply", &[]);
    assert!(output.status.success(), "{}", text(&output));

    let serving = |fetchd: &mut crate::site::Supervised<'_>| {
        let (number, pid) = settled(fetchd);
        wait_until("the worker is gone", || children(supervisor).iter().map(|c| c.0).eq([pid]));
        (number, get(address, "/fds").unwrap().lines().last().unwrap().parse::<usize>().unwrap())
    };
    let mut after_five = None;
    let mut after_twenty = 0;
    for count in 1..=200 {
        restart(&fetchd);
        match count {
            5 => {
                let (number, of_service) = serving(&mut fetchd);
                assert_eq!(number, 6);
                after_five = Some((descriptors(supervisor), of_service));
            }
            20 => {
                serving(&mut fetchd);
                after_twenty = anonymous_kib(supervisor);
            }
            _ => {}
        }
    }
    let (number, of_service) = serving(&mut fetchd);
    assert_eq!(number, 201);
    let (before, of_first) = after_five.unwrap();
    let mut after = descriptors(supervisor);
    // The last status connection may still be closing, and so may one have been when they were counted first.
    wait_until("the supervisor has no more descriptors than before", || {
        after = descriptors(supervisor);
        after.len() <= before.len()
    });
    assert_eq!(of_service, of_first, "descriptors of the service");
    assert!(children(supervisor).iter().all(|(_, state)| *state != 'Z'), "{:?}", children(supervisor));
    // What it has free it gives back once it has been quiet for a moment.
    wait_until(&format!("the supervisor holds less than 512 KiB more than its {after_twenty} KiB"), || {
        anonymous_kib(supervisor) < after_twenty + 512
    });
    assert_eq!(fetchd.pid(), fetchd.try_status().unwrap().pid);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn an_idle_supervisor_gives_back_what_it_does_not_use() {
    let site = Site::new();
    let mut fetchd = site.run(&["--watch", "0s", "--interval", "1h"]);
    let address = fetchd.address();
    site.publish(&Trailer::version("1.0.0"));
    let supervisor = fetchd.pid();
    for _ in 0..2 {
        let output = fetchd.fetchd("apply", &[]);
        assert!(output.status.success(), "{}", text(&output));
        wait_until("an idle supervisor holds less than half of what it had", || {
            status_kib(supervisor, "VmRSS:") * 2 < status_kib(supervisor, "VmHWM:")
        });
    }
    // What it needs again is there again.
    restart(&fetchd);
    settled(&mut fetchd);
    assert!(get(address, "/").is_ok());
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// The agent's thread copies and digests an artifact; here it is stopped in the middle of that.
#[test]
fn the_loop_goes_on_while_an_artifact_is_digested() {
    let site = Site::new();
    let marker = site.path().join("digesting");
    let stopped =
        [("FETCHD_TEST_CHECKPOINT", "CustodyTaken"), ("FETCHD_TEST_CHECKPOINT_FILE", marker.to_str().unwrap())];
    let mut fetchd = site.run_with(&["--watch", "0s"], &stopped);
    let address = fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    wait_until("the agent has an artifact in its hands", || marker.exists());
    let (number, first) = settled(&mut fetchd);
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
    serves_from(&mut fetchd, number + 1);
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    assert!(marker.exists());
    fs::remove_file(&marker).unwrap();
    fetchd.wait_for_version("1.1.0");
    assert_eq!(fetchd.stop().code(), Some(0));
}
