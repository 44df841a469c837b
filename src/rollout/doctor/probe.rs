//! The experiments, one after the other.

use fetchd_fetchers::s3::{ETag, Read};

use super::{Check, Found, failed, race};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::fleet::Clock;
use crate::fleet::store::s3::{Carrier, trouble};
use crate::fleet::store::{Reply, Request, Tag, What};
use crate::trust::Refused;

pub(super) const DELETE: &str = "delete if unchanged";
pub(super) const QUOTES: &str = "quoted tags";
pub(super) const NOT_MODIFIED: &str = "read if changed";
pub(super) const LIST: &str = "list";
pub(super) const CHECKSUM: &str = "checksum";
const CREATE: &str = "create once";
const CREATE_RACE: &str = "create once, raced";
const REPLACE: &str = "replace if unchanged";
const REPLACE_RACE: &str = "replace, raced";
const MISSING: &str = "replace what is missing";

/// What all of has to be in order for leases, and for more than one operator.
pub(super) const CONDITIONS: [&str; 5] = [CREATE, CREATE_RACE, REPLACE, REPLACE_RACE, MISSING];

/// The most bytes of an object that an experiment reads.
const LIMIT: u64 = 64 * 1024;

/// A series of experiments with keys of its own.
pub(super) struct Probe<'a> {
    pub(super) carrier: &'a Carrier,
    below: String,
    bodies: std::cell::Cell<u64>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(carrier: &'a Carrier, nonce: &str) -> Probe<'a> {
        let below = format!("{}{nonce}/", carrier.names().probes());
        Probe { carrier, below, bodies: std::cell::Cell::new(0) }
    }

    pub(super) async fn all(&self, now: Timestamp) -> Result<Vec<Check>, Refused> {
        Ok(vec![
            self.write_and_read().await?,
            self.create().await?,
            race::create(self).await?,
            self.replace().await?,
            race::replace(self).await?,
            self.replace_missing().await?,
            self.quotes(),
            self.delete().await?,
            self.not_modified().await?,
            self.list().await?,
            self.checksum().await?,
            self.clock(now).await?,
        ])
    }

    async fn write_and_read(&self) -> Result<Check, Refused> {
        let (key, body) = (self.key("plain"), self.body());
        self.ask(Request::Put { key: key.clone(), body: body.clone() }).await?;
        match self.read(&key).await? {
            Some((there, _)) if there == body => {
                Ok(ok("write and read", "what is written is read", "hosts can report, and operators publish"))
            }
            _ => {
                Err(Refused::new("fleet.doctor", Exit::Content, "the store does not give back what was written to it"))
            }
        }
    }

    async fn create(&self) -> Result<Check, Refused> {
        let (key, first) = (self.key("once"), self.body());
        let made = self.try_condition(Request::Create { key: key.clone(), body: first.clone() }).await?;
        let again = self.try_condition(Request::Create { key: key.clone(), body: self.body() }).await?;
        let kept = self.read(&key).await?.is_some_and(|(there, _)| there == first);
        Ok(match (made, again) {
            (Ok(What::Written(_)), Ok(What::Conflict)) if kept => {
                ok(CREATE, "the second was refused", "evidence stays as it was written, a halt is one halt")
            }
            (Err(why), _) | (_, Err(why)) => lacks(CREATE, format!("refused outright: {why}"), "no leases"),
            _ => lacks(CREATE, "the second overwrote the first", "evidence can be overwritten; no leases"),
        })
    }

    async fn replace(&self) -> Result<Check, Refused> {
        let (key, second) = (self.key("swap"), self.body());
        let stale = self.fresh(&key).await?;
        let right = self.try_condition(Request::Replace { key: key.clone(), body: second.clone(), tag: stale.clone() });
        let right = right.await?;
        let wrong = self.try_condition(Request::Replace { key: key.clone(), body: self.body(), tag: stale }).await?;
        let kept = self.read(&key).await?.is_some_and(|(there, _)| there == second);
        Ok(match (right, wrong) {
            (Ok(What::Written(_)), Ok(What::Conflict)) if kept => {
                ok(REPLACE, "with an old tag it was refused", "two operators cannot overwrite each other")
            }
            (Err(why), _) | (_, Err(why)) => {
                lacks(REPLACE, format!("refused outright: {why}"), "one operator; no leases")
            }
            (Ok(What::Written(_)), _) => {
                lacks(REPLACE, "an old tag did as well", "operators overwrite each other: one only; no leases")
            }
            _ => lacks(REPLACE, "with the right tag it was refused", "no head can be replaced; no leases"),
        })
    }

    async fn replace_missing(&self) -> Result<Check, Refused> {
        let tag = self.fresh(&self.key("tag")).await?;
        let key = self.key("missing");
        let replaced = self.try_condition(Request::Replace { key: key.clone(), body: self.body(), tag }).await?;
        let nothing = self.read(&key).await?.is_none();
        Ok(match replaced {
            Ok(What::Absent | What::Conflict) if nothing => {
                ok(MISSING, "nothing was written", "what was removed stays removed")
            }
            Err(why) if nothing => lacks(MISSING, format!("refused outright: {why}"), "no leases"),
            _ => lacks(MISSING, "it was written", "a lease that was given up can come back; no leases"),
        })
    }

    /// Learned by then.
    fn quotes(&self) -> Check {
        if self.carrier.bucket().compares_unquoted() {
            note(QUOTES, "compared only without their quotes", "fetchd leaves them out there")
        } else {
            ok(QUOTES, "compared as they are shown", "nothing to do")
        }
    }

    async fn delete(&self) -> Result<Check, Refused> {
        let key = self.key("delete");
        let stale = self.fresh(&key).await?;
        let tag = self.fresh(&key).await?;
        let wrong = self.try_condition(Request::Delete { key: key.clone(), tag: stale }).await?;
        let kept = self.read(&key).await?.is_some();
        let right = self.try_condition(Request::Delete { key: key.clone(), tag }).await?;
        let gone = self.read(&key).await?.is_none();
        let otherwise = "leases are given up by replacing them";
        Ok(match (wrong, right) {
            (Ok(What::Conflict), Ok(What::Gone)) if kept && gone => {
                ok(DELETE, "with an old tag it was refused", "a lease is given up by removing it")
            }
            (Ok(_), Ok(_)) if !kept => note(DELETE, "an old tag did as well", otherwise),
            (Err(why), _) | (_, Err(why)) => note(DELETE, format!("refused outright: {why}"), otherwise),
            _ => note(DELETE, "with the right tag it was not removed", otherwise),
        })
    }

    async fn not_modified(&self) -> Result<Check, Refused> {
        let key = self.key("unchanged");
        let tag = self.fresh(&key).await?;
        let read = self.carrier.bucket().get_unless(&key, LIMIT, Some(&ETag::new(tag.0))).await;
        Ok(match read {
            Ok(Read::Unchanged { sent: false }) => {
                ok(NOT_MODIFIED, "what has not changed is not sent", "a poll costs some 500 bytes")
            }
            Ok(_) => note(NOT_MODIFIED, "sent whole each time", "a poll costs as many bytes as a head has"),
            Err(error) => return Err(failed(NOT_MODIFIED, &trouble(&error))),
        })
    }

    async fn list(&self) -> Result<Check, Refused> {
        let prefix = self.key("list/");
        let mut made = Vec::new();
        for name in ["a", "b", "c"] {
            let key = format!("{prefix}{name}");
            self.ask(Request::Put { key: key.clone(), body: self.body() }).await?;
            made.push(key);
        }
        let (mut listed, mut after) = (Vec::new(), None);
        for _ in 0..made.len() {
            match self.try_condition(Request::List { prefix: prefix.clone(), after, limit: 2 }).await? {
                Ok(What::Keys { keys, next }) => {
                    listed.extend(keys.into_iter().map(|(key, _)| key));
                    after = next;
                }
                Ok(_) => break,
                Err(why) => return Ok(lacks(LIST, format!("refused: {why}"), "nobody can read evidence")),
            }
            if after.is_none() {
                break;
            }
        }
        Ok(if listed == made {
            ok(LIST, "complete at once, and in pages", "evidence counts as soon as it is written")
        } else {
            let said = format!("{} of {} keys that were just written", listed.len(), made.len());
            note(LIST, said, "evidence counts later, and a rollout takes longer")
        })
    }

    async fn checksum(&self) -> Result<Check, Refused> {
        let stat = self.carrier.bucket().head(&self.key("plain")).await;
        let stat = stat.map_err(|error| failed(CHECKSUM, &trouble(&error)))?;
        let kept = stat.is_some_and(|stat| stat.sha256.is_some());
        Ok(if kept {
            ok(CHECKSUM, "SHA-256 is kept and told", "publishing again needs no download to compare")
        } else {
            info(CHECKSUM, "no SHA-256 is kept", "hosts check digests themselves; publishing again compares by reading")
        })
    }

    async fn clock(&self, now: Timestamp) -> Result<Check, Refused> {
        const CLOCK: &str = "clock";
        let Reply { date, .. } = self.carrier.carry(Request::Head { key: self.key("plain") }).await;
        // The experiments took a while.
        let here = Timestamp::now().max(now);
        let clock = Clock::local(here).told(date);
        Ok(match clock.ahead {
            None => note(CLOCK, "answers have no `Date`", "hosts go by their own clocks alone"),
            Some(ahead) if clock.is_off() => {
                info(CLOCK, format!("{ahead} s ahead of this machine's"), "one of the two is wrong: steps open later")
            }
            Some(ahead) => ok(CLOCK, format!("{ahead} s ahead of this machine's"), "hosts know the store's time"),
        })
    }

    /// Removes whatever the experiments have made; the prefix of what is left, if something is.
    pub(super) async fn clean_up(&self) -> Option<String> {
        let bucket = self.carrier.bucket();
        // A few dozen keys: more pages than these mean that they do not go away.
        for _ in 0..3 {
            let Ok(page) = bucket.list(&self.below, None, 1000).await else { break };
            if page.keys.is_empty() {
                return None;
            }
            for listed in page.keys {
                if bucket.discard(&listed.key).await.is_err() {
                    return Some(self.below.clone());
                }
            }
        }
        Some(self.below.clone())
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.below)
    }

    /// Bytes that no other experiment writes.
    pub(super) fn body(&self) -> Vec<u8> {
        let number = self.bodies.get();
        self.bodies.set(number + 1);
        format!("{}{number}\n", self.below).into_bytes()
    }

    /// Writes an object, and tells its tag.
    async fn fresh(&self, key: &str) -> Result<Tag, Refused> {
        self.ask(Request::Put { key: key.to_owned(), body: self.body() }).await?;
        let there = self.read(key).await?;
        let lost =
            || Refused::new("fleet.doctor", Exit::Content, "the store does not give back what was written to it");
        there.map(|(_, tag)| tag).ok_or_else(lost)
    }

    pub(super) async fn read(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, Refused> {
        let read = self.carrier.bucket().patiently(async |bucket| bucket.get(key, LIMIT).await).await;
        let there = read.map_err(|error| failed("the store does not give back what is in it", &trouble(&error)))?;
        Ok(there.map(|object| (object.bytes.into(), Tag(object.etag.as_str().to_owned()))))
    }

    pub(super) async fn ask(&self, request: Request) -> Result<What, Refused> {
        match self.carrier.carry(request).await.what {
            What::Failed(trouble) => Err(failed("the store does not do what every store must", &trouble)),
            what => Ok(what),
        }
    }

    /// As [`Probe::ask`]; that the store will never do it is an answer.
    async fn try_condition(&self, request: Request) -> Result<Result<What, String>, Refused> {
        match self.carrier.carry(request).await.what {
            What::Failed(trouble) if trouble.passes || trouble.code == "source.denied" => {
                Err(failed("the store could not be asked", &trouble))
            }
            What::Failed(trouble) => Ok(Err(trouble.message)),
            what => Ok(Ok(what)),
        }
    }
}

pub(super) fn ok(check: &'static str, result: impl Into<String>, means: &'static str) -> Check {
    Check { check, found: Found::Ok, result: result.into(), means }
}

pub(super) fn lacks(check: &'static str, result: impl Into<String>, means: &'static str) -> Check {
    Check { check, found: Found::Lacks, result: result.into(), means }
}

fn note(check: &'static str, result: impl Into<String>, means: &'static str) -> Check {
    Check { check, found: Found::Note, result: result.into(), means }
}

fn info(check: &'static str, result: impl Into<String>, means: &'static str) -> Check {
    Check { check, found: Found::Info, result: result.into(), means }
}

pub(super) const RACES: (&str, &str) = (CREATE_RACE, REPLACE_RACE);
