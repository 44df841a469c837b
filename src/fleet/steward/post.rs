//! The posts of the stewards: few of many volunteers count, and when one of them falls silent another one takes over.

use super::{CLOSED, POSTS, Post, Stage, Steward, TERM};
use crate::clock::Timestamp;
use crate::fleet::lease::{self, Slot, nonce};
use crate::fleet::store::{Request, What};

impl Steward {
    /// What is to be done for a post; `None` = it has one for long enough, or needs none.
    pub(super) fn campaign(&mut self) -> Option<Stage> {
        if self.once {
            return None;
        }
        if let Some(post) = &self.post {
            let needed = self.clock().later().0.saturating_add(TERM / 2);
            return (needed >= post.slot.until.0).then_some(Stage::Look(post.number));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of posts")]
        let first = (self.chance() * f64::from(POSTS)) as u32;
        Some(Stage::Look(first.min(POSTS - 1)))
    }

    pub(super) fn look(&self, number: u32) -> Request {
        Request::Get { key: self.names.steward(number), unless: None, limit: lease::MAX_FILE as u64 }
    }

    pub(super) fn take_look(&mut self, number: u32, what: What) {
        let (slot, tag) = match what {
            What::Object { body, tag } => (Slot::read(&body), Some(tag)),
            What::Absent => (Slot::read(&[]), None),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        };
        let mine = self.post.as_ref().is_some_and(|post| post.slot.nonce == slot.nonce);
        let stranger = crate::fleet::HostId([0; 16]);
        let kept = !slot.is_free_for(stranger, self.clock().earlier()) && !slot.is_nonsense(self.clock().later());
        if !mine && kept {
            return self.next_post(number);
        }
        let until = Timestamp(self.clock().store().0.saturating_add(TERM));
        let slot = slot.taken(self.id, until, self.nonce("post"));
        self.looked = Some(Post { number, slot, tag });
        self.stage = Stage::Take(number);
    }

    /// Somebody else has it: the next, and after the last of them a pause of some length.
    fn next_post(&mut self, number: u32) {
        self.post = None;
        self.tries += 1;
        if self.tries < POSTS {
            self.stage = Stage::Look((number + 1) % POSTS);
            return;
        }
        let pause =
            if self.is_open() { self.in_up_to(2 * TERM) } else { Timestamp(self.seen.0.saturating_add(CLOSED)) };
        self.rest(Timestamp(pause.0.saturating_add(TERM / 2)));
    }

    pub(super) fn taking(&self, number: u32) -> Option<Request> {
        let (key, looked) = (self.names.steward(number), self.looked.as_ref()?);
        let body = looked.slot.to_body();
        Some(match &looked.tag {
            None => Request::Create { key, body },
            Some(tag) => Request::Replace { key, body, tag: tag.clone() },
        })
    }

    pub(super) fn take_post(&mut self, number: u32, what: What) {
        match what {
            What::Written(_) => {
                self.post = self.looked.take();
                self.stage = Stage::Rollup;
            }
            What::Conflict | What::Absent => self.next_post(number),
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    pub(super) fn nonce(&mut self, what: &str) -> String {
        self.count = self.count.wrapping_add(1);
        let (id, time, count) = (self.id.to_string(), self.seen.0.to_string(), self.count.to_string());
        nonce(&[what, &id, &self.boot, &time, &count])
    }
}
