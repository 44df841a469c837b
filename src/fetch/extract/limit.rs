//! How much may come out of an archive, and the one loop that copies.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fetch::failure::{ArchiveFault, FetchFailure};

/// What an archive may hold beside the binary's own bytes: headers and padding.
#[cfg(feature = "archives")]
const OVERHEAD: u64 = 16 << 20;

/// What may still come out.
#[derive(Debug)]
pub(super) struct Quota<'a> {
    /// The most bytes of the binary.
    pub(super) binary: u64,
    /// The most bytes of everything that is unpacked.
    #[cfg_attr(not(feature = "archives"), expect(dead_code, reason = "only archives hold more than the binary"))]
    pub(super) whole: u64,
    stop: &'a AtomicBool,
}

impl<'a> Quota<'a> {
    pub(super) fn new(binary: u64, whole: u64, stop: &'a AtomicBool) -> Quota<'a> {
        Quota { binary, whole: whole.max(binary), stop }
    }

    pub(super) fn go_on(&self) -> Result<(), FetchFailure> {
        if self.stop.load(Ordering::Relaxed) { Err(FetchFailure::Stopped) } else { Ok(()) }
    }

    /// The most bytes an archive may unpack to, headers included.
    #[cfg(feature = "archives")]
    pub(super) fn archive(&self) -> u64 {
        self.whole.saturating_add(OVERHEAD)
    }
}

/// Copies all of `from`, and fails before it writes a byte more than the binary may have.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write, quota: &Quota<'_>) -> Result<u64, FetchFailure> {
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0_u64;
    loop {
        quota.go_on()?;
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(&error)),
        };
        size += read as u64;
        if size > quota.binary {
            return Err(ArchiveFault::TooLarge { limit: quota.binary }.into());
        }
        to.write_all(&buffer[..read])
            .map_err(|error| FetchFailure::staging("write", Path::new("the unpacked binary"), &error))?;
    }
}

/// What a decoder's error means. Our own faults travel inside it.
pub(super) fn damaged(error: &io::Error) -> FetchFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ArchiveFault>()) {
        Some(fault) => fault.clone().into(),
        None => ArchiveFault::Damaged { message: error.to_string() }.into(),
    }
}
