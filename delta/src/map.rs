//! Files as memory: the one place of this crate with `unsafe`.
//!
//! A program of 100 MB is then no anonymous memory: the kernel drops and reads again what it needs.
//!
//! What `mmap` cannot promise is that nobody else changes the file meanwhile. If somebody writes into it, other bytes are
//! read, and the digest of the result is not the one that was signed. If somebody cuts it short, the process is killed
//! by SIGBUS at the next look at what is gone. So whoever maps files that others may write does it in a process that may
//! die: fetchd's worker, whose death makes the supervisor take the next choice.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Mmap, MmapMut, MmapOptions};

/// A file to read from.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// All of `file` as it is long now.
    pub fn open(file: &File) -> io::Result<Mapped> {
        // SAFETY: the mapping is private to this value and unmapped with it, so no reference outlives it. `memmap2` takes the
        // length from `fstat` and refuses one that does not fit an address. That the bytes stay as they are nobody can
        // promise: readers here treat them as bytes that may be anything (no index and no length is taken from them without
        // a check at each use), and a file that is cut short ends the process by SIGBUS, see above.
        unsafe { Mmap::map(file) }.map(Mapped)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A file to write, as long as it will be.
#[derive(Debug)]
pub struct Output(MmapMut);

impl Output {
    /// `file`, which must be open to read and to write, as `length` bytes.
    ///
    /// Its blocks are taken from the disk now: a full disk is this call's error, and not a SIGBUS later. Where the file system
    /// cannot do that (`EOPNOTSUPP`) a full disk does end the process.
    pub fn new(file: &File, length: u64) -> io::Result<Output> {
        file.set_len(length)?;
        if length > 0 {
            match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let length = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: as above for who else may hold the file; this value is the only one in this process that has it mapped to be
        // written, and hands the bytes out under Rust's rules for `&mut`. They are set before they are used: `set_len` made
        // them zeroes. Cut short, it ends the process by SIGBUS.
        unsafe { MmapOptions::new().len(length).map_mut(file) }.map(Output)
    }
}

impl Deref for Output {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Output {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_an_output_is_in_the_file() {
        for length in [0, 1, 4096, 100_000] {
            let file = tempfile::tempfile().unwrap();
            let mut out = Output::new(&file, length).unwrap();
            assert_eq!(out.len() as u64, length);
            out.fill(7);
            drop(out);
            let read = Mapped::open(&file).unwrap();
            assert_eq!(*read, *vec![7; length as usize]);
        }
    }

    #[test]
    fn a_file_that_does_not_fit_on_the_disk_is_an_error_and_no_signal() {
        let file = tempfile::tempfile().unwrap();
        Output::new(&file, 1 << 50).unwrap_err();
    }
}
