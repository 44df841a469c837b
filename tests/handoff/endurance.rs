//! Two hundred handoffs leave nothing behind.

use std::fs;

use fetchd::demo::Trailer;

use crate::bench::{children, descriptors, restart, settled};
use crate::site::{Site, get, text, wait_until};

fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
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
    // The last status connection may still be closing.
    wait_until("the supervisor has as many descriptors as before", || {
        after = descriptors(supervisor);
        after.len() == before.len()
    });
    assert_eq!(of_service, of_first, "descriptors of the service");
    assert!(children(supervisor).iter().all(|(_, state)| *state != 'Z'), "{:?}", children(supervisor));
    let grown = anonymous_kib(supervisor).saturating_sub(after_twenty);
    assert!(grown < 512, "the supervisor grew by {grown} KiB from {after_twenty} KiB");
    assert_eq!(fetchd.pid(), fetchd.try_status().unwrap().pid);
    assert_eq!(fetchd.stop().code(), Some(0));
}
