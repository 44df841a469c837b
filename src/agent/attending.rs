//! What the agent does while the worker works: it shows how far that is, and listens.

use std::os::fd::BorrowedFd;

use super::{Inbox, Shown};
use crate::fetch::{Attend, Progress};

/// The agent while it waits for the worker.
pub(super) struct Attending<'a> {
    pub(super) inbox: &'a mut Inbox,
    pub(super) shown: &'a Shown,
    /// The tenths of the download that the log knows of.
    pub(super) logged: u64,
}

impl Attend for Attending<'_> {
    fn progress(&mut self, progress: Progress) {
        let Progress::Download { bytes, total } = progress;
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let doing = match total {
            Some(total) => format!("downloading {} of {} MiB", mib(bytes), mib(total)),
            None => format!("downloading {} MiB", mib(bytes)),
        };
        // A line for every tenth, as a terminal would show a bar.
        if let Some(tenth) = total.and_then(|total| bytes.saturating_mul(10).checked_div(total))
            && tenth > self.logged
        {
            self.logged = tenth;
            tracing::info!(event = "download.progress", percent = tenth * 10, bytes, total, "{doing}");
        }
        self.shown.write(|shown| shown.doing = doing);
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inbox.bell())
    }

    fn stop(&mut self) -> bool {
        self.inbox.is_urgent()
    }
}
