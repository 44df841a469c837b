//! What was read once is not read again: a million hosts share one head.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::fleet::head::{self, Head, OpenHead};
use crate::fleet::host::Documents;
use crate::fleet::rollup::Rollup;
use crate::trust::Refused;

/// Opens heads without a look at who signed them, and remembers heads and roll-ups.
#[derive(Debug, Default)]
pub struct Remembered {
    heads: RefCell<Memory<Head>>,
    rollups: RefCell<Memory<Rollup>>,
}

/// The last few documents, with their files.
#[derive(Debug)]
struct Memory<T>(VecDeque<(Arc<[u8]>, Arc<T>)>);

impl<T> Default for Memory<T> {
    fn default() -> Memory<T> {
        Memory(VecDeque::new())
    }
}

/// How many documents of a kind are remembered: hosts read the newest, stewards the one before.
const KEPT: usize = 4;

impl<T> Memory<T> {
    fn get(
        &mut self,
        file: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Refused>,
    ) -> Result<(Arc<[u8]>, Arc<T>), Refused> {
        if let Some((file, known)) = self.0.iter().find(|(known, _)| **known == *file) {
            return Ok((Arc::clone(file), Arc::clone(known)));
        }
        let (file, document) = (Arc::from(file), Arc::new(read(file)?));
        self.0.truncate(KEPT - 1);
        self.0.push_front((Arc::clone(&file), Arc::clone(&document)));
        Ok((file, document))
    }
}

fn read_head(file: &[u8]) -> Result<Head, Refused> {
    let (payload, _) = head::split(file)?;
    Head::read(&payload)
}

impl OpenHead for Remembered {
    fn open(&self, file: &[u8]) -> Result<Arc<Head>, Refused> {
        self.heads.borrow_mut().get(file, read_head).map(|(_, head)| head)
    }
}

impl Documents for Remembered {
    fn rollup(&self, file: &[u8]) -> Result<Arc<Rollup>, Refused> {
        self.rollups.borrow_mut().get(file, Rollup::read).map(|(_, rollup)| rollup)
    }

    fn keep(&self, file: Vec<u8>) -> Arc<[u8]> {
        let known = self.heads.borrow_mut().get(&file, read_head).map(|(file, _)| file);
        known.unwrap_or_else(|_| file.into())
    }
}
