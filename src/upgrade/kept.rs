//! The listeners and descriptors that are handed on from process to process.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::service::{ListenError, Listener};

/// What a successor gets.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) listeners: Vec<Listener>,
    descriptors: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    name: String,
    descriptor: OwnedFd,
    /// The program knows it. What it does not know ends here.
    known: bool,
}

impl Kept {
    pub(super) fn listeners(&self, name: &str, elsewhere: &Arc<AtomicBool>) -> Result<Vec<Listener>, ListenError> {
        let named: Vec<_> = self.listeners.iter().filter(|listener| listener.name() == name).collect();
        if named.is_empty() {
            let passed = self.listeners.iter().map(|listener| listener.name().to_owned()).collect();
            return Err(ListenError::NotPassed { name: name.to_owned(), passed });
        }
        named.into_iter().map(|listener| listener.copy(Arc::clone(elsewhere))).collect()
    }

    pub(super) fn descriptor(&mut self, name: &str) -> io::Result<OwnedFd> {
        let named = self.descriptors.iter_mut().find(|named| named.name == name);
        let named = named.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no descriptor `{name}`")))?;
        named.known = true;
        named.descriptor.try_clone()
    }

    pub(super) fn hand_on(&mut self, name: &str, descriptor: OwnedFd) {
        self.put(name, descriptor, true);
    }

    /// From the parent; whether the program knows it is not yet known.
    pub(super) fn inherit(&mut self, name: &str, descriptor: OwnedFd) {
        self.put(name, descriptor, false);
    }

    /// True if there is one called `name`; from now on it is kept.
    pub(super) fn claim(&mut self, name: &str) -> bool {
        let named = self.descriptors.iter_mut().find(|named| named.name == name);
        named.map(|named| named.known = true).is_some()
    }

    pub(super) fn forget_unknown(&mut self) {
        self.descriptors.retain(|named| named.known);
    }

    /// Copies of all descriptors, with their names.
    pub(super) fn copies(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        self.descriptors.iter().map(|named| Ok((named.name.clone(), named.descriptor.try_clone()?))).collect()
    }

    /// Copies of all listeners, with their names.
    pub(super) fn listener_copies(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let copy = |l: &Listener| Ok((l.name().to_owned(), l.as_fd().try_clone_to_owned()?));
        self.listeners.iter().map(copy).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Kept::default();
    }

    fn put(&mut self, name: &str, descriptor: OwnedFd, known: bool) {
        self.descriptors.retain(|named| named.name != name);
        self.descriptors.push(Named { name: name.to_owned(), descriptor, known });
    }
}
