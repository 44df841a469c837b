//! One thread that digests and, behind it, one that writes, with a fixed number of fixed-size batches between them.

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Advice;
use sha2::Digest as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::partial::Open;
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::fetch::failure::FetchFailure;

/// The most bytes of one batch. Memory in flight: (two channels + one filling, one being digested and one being written)
/// batches, which go round.
pub(super) const BATCH: usize = 256 * 1024;
const IN_FLIGHT: usize = 8;
/// After how many bytes the kernel is asked to begin writing back, so that dirty pages stay few.
const FLUSH: u64 = 8 << 20;

/// Bytes go in, in order; the digest comes out at the end.
#[derive(Debug)]
pub(super) struct Sink {
    batches: mpsc::Sender<Vec<u8>>,
    /// Batches that are written, to be filled again: fresh memory costs as much as a copy.
    empty: Arc<Mutex<Vec<Vec<u8>>>>,
    digests: JoinHandle<sha2::Sha256>,
    writes: JoinHandle<Result<u64, FetchFailure>>,
}

/// What a sink has written in all, earlier attempts included.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
}

impl Sink {
    /// Appends to `open`, whose path is for messages. `total` is what the file will have, if known; `passed` is set to what
    /// it has by now.
    pub(super) fn start(open: Open, path: PathBuf, total: Option<u64>, passed: Arc<AtomicU64>) -> Sink {
        let Open { mut file, mut length, mut hash } = open;
        let (batches, mut inbox) = mpsc::channel::<Vec<u8>>(IN_FLIGHT);
        let (digested, mut to_write) = mpsc::channel::<Vec<u8>>(IN_FLIGHT);
        let empty = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let written = Arc::clone(&empty);
        let digests = tokio::task::spawn_blocking(move || {
            while let Some(batch) = inbox.blocking_recv() {
                hash.update(&batch);
                // Once writing has failed, whoever sends finds out by this end of the channel.
                if digested.blocking_send(batch).is_err() {
                    break;
                }
            }
            hash
        });
        let writes = tokio::task::spawn_blocking(move || {
            let (mut flushed, mut first) = (length, true);
            while let Some(mut batch) = to_write.blocking_recv() {
                file.write_all(&batch).map_err(|error| FetchFailure::staging("write", &path, &error))?;
                length += batch.len() as u64;
                passed.store(length, Ordering::Relaxed);
                if std::mem::take(&mut first) && total.is_none_or(|total| length < total) {
                    Checkpoint::DownloadPartial.reached();
                }
                if length - flushed >= FLUSH {
                    begin_write_back(&file, flushed, length - flushed);
                    flushed = length;
                }
                batch.clear();
                written.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
            }
            Ok(length)
        });
        Sink { batches, empty, digests, writes }
    }

    /// An empty batch.
    pub(super) fn batch(&self) -> Vec<u8> {
        self.empty.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Hands over one batch; `false` once writing has failed: [`Sink::finish`] tells why.
    pub(super) async fn write(&self, batch: Vec<u8>) -> bool {
        self.batches.send(batch).await.is_ok()
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> Result<Written, FetchFailure> {
        drop(self.batches);
        let size = ended(self.writes).await??;
        let hash = ended(self.digests).await?;
        Ok(Written { sha256: Sha256(hash.finalize().into()), size })
    }
}

/// What a thread ended with.
async fn ended<T>(thread: JoinHandle<T>) -> Result<T, FetchFailure> {
    match thread.await {
        Ok(result) => Ok(result),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(FetchFailure::Stopped),
    }
}

/// On Linux "these pages are not needed" begins their write-back at once, as `sync_file_range`
/// would; a file system that knows no advice loses nothing but smoothness.
fn begin_write_back(file: &File, from: u64, length: u64) {
    let _ = rustix::fs::fadvise(file, from, NonZeroU64::new(length), Advice::DontNeed);
}
