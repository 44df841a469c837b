//! Processes that a benchmark leaves behind come to this one, and end here.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

use super::support::process::children;

/// Becomes the parent of every process whose own parent has gone.
pub(crate) fn adopt() {
    set_child_subreaper(Some(getpid())).expect("the kernel knows subreapers");
}

/// Ends everything below this process, and says how many that were. No `Child` must be waited for any more.
pub(crate) fn end() -> usize {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut ended = 0;
    loop {
        // Children of those that end now arrive in the next round.
        for child in children(std::process::id()) {
            if let Some(pid) = Pid::from_raw(child.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {
            ended += 1;
        }
        if children(std::process::id()).is_empty() || Instant::now() >= deadline {
            return ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
