//! One thread that digests and writes, behind a channel of a fixed number of fixed-size batches.

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;

use rustix::fs::Advice;
use sha2::Digest as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::partial::Open;
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::fetch::failure::FetchFailure;

/// The most bytes of one batch. Memory in flight: (channel + one filling + one writing) batches.
pub(super) const BATCH: usize = 256 * 1024;
const IN_FLIGHT: usize = 2;
/// After how many bytes the kernel is asked to begin writing back, so that dirty pages stay few.
const FLUSH: u64 = 8 << 20;

/// Bytes go in, in order; the digest comes out at the end.
#[derive(Debug)]
pub(super) struct Sink {
    batches: mpsc::Sender<Vec<u8>>,
    thread: JoinHandle<Result<Written, FetchFailure>>,
}

/// What a sink has written in all, earlier attempts included.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
}

impl Sink {
    /// Appends to `open`, whose path is for messages. `total` is what the file will have, if known.
    pub(super) fn start(open: Open, path: PathBuf, total: Option<u64>) -> Sink {
        let (batches, mut inbox) = mpsc::channel::<Vec<u8>>(IN_FLIGHT);
        let thread = tokio::task::spawn_blocking(move || {
            let Open { mut file, mut length, mut hash } = open;
            let (mut flushed, mut first) = (length, true);
            while let Some(batch) = inbox.blocking_recv() {
                hash.update(&batch);
                file.write_all(&batch).map_err(|error| FetchFailure::staging("write", &path, &error))?;
                length += batch.len() as u64;
                if std::mem::take(&mut first) && total.is_none_or(|total| length < total) {
                    Checkpoint::DownloadPartial.reached();
                }
                if length - flushed >= FLUSH {
                    begin_write_back(&file, flushed, length - flushed);
                    flushed = length;
                }
            }
            Ok(Written { sha256: Sha256(hash.finalize().into()), size: length })
        });
        Sink { batches, thread }
    }

    /// Hands over one batch; `false` once writing has failed: [`Sink::finish`] tells why.
    pub(super) async fn write(&self, batch: Vec<u8>) -> bool {
        self.batches.send(batch).await.is_ok()
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> Result<Written, FetchFailure> {
        drop(self.batches);
        match self.thread.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(FetchFailure::Stopped),
        }
    }
}

/// On Linux "these pages are not needed" begins their write-back at once, as `sync_file_range`
/// would; a file system that knows no advice loses nothing but smoothness.
fn begin_write_back(file: &File, from: u64, length: u64) {
    let _ = rustix::fs::fadvise(file, from, NonZeroU64::new(length), Advice::DontNeed);
}
