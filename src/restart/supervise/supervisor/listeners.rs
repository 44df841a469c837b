//! Listening sockets that come and go while the service runs.
//!
//! A changed set is bound at once and handed to the next generation. The set before it stays until that generation has
//! passed its watch, and comes back if it fails.

use std::ffi::OsString;
use std::sync::Arc;

use super::super::sockets::{Listen, ListenError, Listener};
use super::Supervisor;

/// What the serving generation has.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) listeners: Vec<Arc<Listener>>,
    arguments: Vec<OsString>,
}

impl Supervisor {
    /// From the next generation on, the service is to have these sockets, and the arguments of the options; it has
    /// `arguments` now. What others have bound and passed to fetchd stays. `true`: that is a change.
    ///
    /// Fails if one of them cannot be bound; then nothing has changed. Two addresses of which one contains the other, such
    /// as `127.0.0.1:80` and `:80`, cannot follow each other: both are held for a while.
    pub fn change(&mut self, listens: Vec<Listen>, arguments: Vec<OsString>) -> Result<bool, ListenError> {
        let mut listeners: Vec<Arc<Listener>> = Vec::new();
        for listen in &listens {
            match self.listeners.iter().find(|listener| listener.answers(listen)) {
                Some(listener) => listeners.push(Arc::clone(listener)),
                None => match Listener::bind(listen) {
                    Ok(listener) => listeners.push(Arc::new(listener)),
                    Err(failure) => {
                        without(&listeners, &self.listeners).for_each(|bound| bound.release());
                        return Err(failure);
                    }
                },
            }
        }
        let passed = self.listeners.iter().filter(|listener| listener.is_adopted());
        let passed: Vec<_> = passed.filter(|one| !has(&listeners, one)).map(Arc::clone).collect();
        listeners.extend(passed);
        let same = listeners.len() == self.listeners.len()
            && listeners.iter().zip(&self.listeners).all(|(one, other)| Arc::ptr_eq(one, other));
        if same && arguments == self.options.arguments {
            return Ok(false);
        }
        for added in without(&listeners, &self.listeners) {
            tracing::info!(event = "listen", name = added.name(), address = added.address(), "listening");
        }
        self.before = Some(Before { listeners: std::mem::replace(&mut self.listeners, listeners), arguments });
        Ok(true)
    }

    /// The sockets that stay whatever comes of the change that goes on.
    pub(super) fn settled_listeners(&self) -> &[Arc<Listener>] {
        self.before.as_ref().map_or(&self.listeners, |before| &before.listeners)
    }

    /// Hands copies of the new ones to systemd.
    pub(super) fn store_new_listeners(&self) {
        if let Some(before) = &self.before {
            without(&self.listeners, &before.listeners).for_each(|new| self.systemd.store(new.name(), new.as_fd()));
        }
    }

    /// What serves has the new set, and holds.
    pub(super) fn settle_listeners(&mut self) {
        if let Some(before) = self.before.take() {
            self.drop_listeners(&before.listeners, "no longer listening");
        }
    }

    /// What was to have the new set failed: the one before it is the one that counts.
    pub(super) fn return_listeners(&mut self) {
        if let Some(before) = self.before.take() {
            tracing::error!(
                event = "listeners.returned",
                "the service did not take the change; what it had before stays"
            );
            let new = std::mem::replace(&mut self.listeners, before.listeners);
            self.options.arguments = before.arguments;
            self.drop_listeners(&new, "not listening after all");
        }
    }

    /// Lets go of those of `old` that are not held any more. Processes that serve on them still have their copies.
    fn drop_listeners(&self, old: &[Arc<Listener>], why: &str) {
        for listener in without(old, &self.listeners) {
            tracing::info!(event = "listen.end", name = listener.name(), address = listener.address(), "{why}");
            listener.release();
            // It knows names only: one that has another address now is given to it again.
            self.systemd.forget(listener.name());
            for held in self.listeners.iter().filter(|held| held.name() == listener.name()) {
                self.systemd.store(held.name(), held.as_fd());
            }
        }
    }
}

fn has(all: &[Arc<Listener>], one: &Arc<Listener>) -> bool {
    all.iter().any(|other| Arc::ptr_eq(one, other))
}

/// Those of `all` that are not in `others`.
fn without<'a>(all: &'a [Arc<Listener>], others: &'a [Arc<Listener>]) -> impl Iterator<Item = &'a Arc<Listener>> {
    all.iter().filter(|one| !has(others, one))
}
