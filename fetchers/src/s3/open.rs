//! An object's bytes: the first part, what it shows, and the parts after it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::config::{Config, ResponseChecksumValidation};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};
use url::Url;

use super::S3Fetcher;
use super::error::{refusal, status};
use super::mark::Mark;
use super::requests::Requests;
use super::settings::Settings;
use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{AssetName, Body, Release, Start};
use crate::headers::ContentRange;
use crate::options::grouped;
use crate::parts::{Chunks, Parts, Ranges};

/// One object that is being read, and all that a request for a part of it needs.
struct Object {
    settings: Settings,
    requests: Requests,
    key: String,
    url: Url,
    /// The version that is configured.
    fixed: Option<String>,
    /// To ask for a version by name takes a permission of its own. Once it is missing, the ETag has to do.
    versions_denied: AtomicBool,
}

/// What an answer carries.
enum Answer {
    /// Everything.
    Whole(GetObjectOutput),
    /// A part, and which one it says it is.
    Part(GetObjectOutput, ContentRange),
}

impl S3Fetcher {
    pub(super) async fn open_now(
        &self,
        release: &Release,
        asset: &AssetName,
        start: &Start,
        mut ahead: Ahead,
    ) -> Result<Body, FetchError> {
        let own = *asset == self.name;
        let key = if own { self.settings.key().to_owned() } else { self.sibling(asset) };
        let offered = own.then(|| release.assets.iter().find(|known| known.name == self.name)).flatten();
        let expected = Expected {
            mark: if own { Mark::parse(&release.revision) } else { Mark::default() },
            size: offered.and_then(|asset| asset.size),
        };
        let object = Arc::new(Object {
            requests: Requests::prepare(&self.settings).await?,
            settings: self.settings.clone(),
            url: self.settings.url_of(&key),
            key,
            fixed: self.settings.version_id.clone().filter(|_| own),
            versions_denied: AtomicBool::new(false),
        });
        if let Some(pin) = resumable(start, &expected)
            && let Some(body) = object.resume(start, &pin, &expected, &ahead).await?
        {
            return Ok(body);
        }
        // Nothing says that what the caller has is of this very object.
        ahead.kept.clear();
        object.begin(&expected, &ahead).await
    }

    /// The key of another file in the same directory.
    fn sibling(&self, asset: &AssetName) -> String {
        let directory = self.settings.key().rfind('/').map_or("", |slash| &self.settings.key()[..=slash]);
        format!("{directory}{asset}")
    }
}

/// What the poll showed of the object; nothing of a sibling.
struct Expected {
    mark: Mark,
    size: Option<u64>,
}

impl Expected {
    /// Refuses what is no longer the object that was polled.
    fn check(&self, url: &Url, seen: &Mark, total: Option<u64>) -> Result<(), FetchError> {
        let resized = matches!((self.size, total), (Some(then), Some(now)) if then != now);
        if resized || seen.moved_from(&self.mark) { Err(changed(url, "since the poll")) } else { Ok(()) }
    }
}

/// What the bytes that the caller has are pinned by, if the body can begin at `start` at all.
fn resumable(start: &Start, expected: &Expected) -> Option<Mark> {
    let kept = Mark::parse(start.validator.as_ref()?);
    (start.byte > 0 && kept.strong().is_some() && !kept.moved_from(&expected.mark)).then(|| Mark {
        // The newest version is wanted, unless the poll has chosen one.
        version: expected.mark.version.clone(),
        ..kept
    })
}

impl Object {
    /// The rest of what the caller has; `None` if what came is not that.
    async fn resume(
        self: &Arc<Object>,
        start: &Start,
        pin: &Mark,
        expected: &Expected,
        ahead: &Ahead,
    ) -> Result<Option<Body>, FetchError> {
        let first = self.first(start.byte, ahead);
        let answer = match self.ask(Some((start.byte, first)), pin).await {
            Ok(answer) => answer,
            // Replaced, shorter now, or a version that is gone.
            Err(error) if matches!(status(&error), Some(404 | 412 | 416)) => return Ok(None),
            Err(error) => return Err(refusal(&self.url, &error)),
        };
        match self.read(answer)? {
            Answer::Whole(answer) => self.whole(answer, expected).map(Some),
            Answer::Part(answer, range) if range.first != start.byte || mark_of(&answer).moved_from(pin) => Ok(None),
            Answer::Part(answer, range) => self.parts(answer, range, start.byte, expected, ahead).map(Some),
        }
    }

    /// The length of the first part: up to what is there.
    fn first(&self, start: u64, ahead: &Ahead) -> u64 {
        let there = ahead.kept.first().map_or(u64::MAX, |(at, _)| at.saturating_sub(start));
        self.settings.plan.part_size.min(there).max(1)
    }

    /// The object from its first byte.
    async fn begin(self: &Arc<Object>, expected: &Expected, ahead: &Ahead) -> Result<Body, FetchError> {
        if expected.size != Some(0) {
            match self.ask(Some((0, self.settings.plan.part_size)), &expected.mark).await {
                Ok(answer) => {
                    return match self.read(answer)? {
                        Answer::Whole(answer) => self.whole(answer, expected),
                        Answer::Part(answer, range) => self.parts(answer, range, 0, expected, ahead),
                    };
                }
                // Of an object without bytes there is no first part.
                Err(error) if status(&error) == Some(416) => {}
                Err(error) => return Err(refusal(&self.url, &error)),
            }
        }
        match self.ask(None, &expected.mark).await {
            Ok(answer) => match self.read(answer)? {
                Answer::Whole(answer) => self.whole(answer, expected),
                Answer::Part(..) => Err(self.incomplete("sends a part, though the whole was asked for")),
            },
            Err(error) => Err(refusal(&self.url, &error)),
        }
    }

    /// A request for `length` bytes from `first` on, or for all; `pin` says of which state.
    async fn ask(&self, range: Option<(u64, u64)>, pin: &Mark) -> Result<GetObjectOutput, SdkError<GetObjectError>> {
        let version = pin.version.as_ref().filter(|_| !self.versions_denied.load(Ordering::Relaxed));
        match self.send(range, pin, version.cloned()).await {
            Err(error) if version.is_some() && self.fixed.is_none() && status(&error) == Some(403) => {
                self.versions_denied.store(true, Ordering::Relaxed);
                self.send(range, pin, None).await
            }
            other => other,
        }
    }

    async fn send(
        &self,
        range: Option<(u64, u64)>,
        pin: &Mark,
        version: Option<String>,
    ) -> Result<GetObjectOutput, SdkError<GetObjectError>> {
        let mut request = self.requests.get(&self.settings, &self.key);
        request = request.set_if_match(pin.strong().map(str::to_owned));
        request = request.set_version_id(self.fixed.clone().or(version));
        let Some((first, length)) = range else { return request.send().await };
        let last = first.saturating_add(length) - 1;
        // Some servers send the checksum of the whole object with each of its parts.
        let unchecked = Config::builder().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        request.range(format!("bytes={first}-{last}")).customize().config_override(unchecked).send().await
    }

    /// Tells a part from the whole. A `Content-Range` decides: nothing else has one.
    fn read(&self, answer: GetObjectOutput) -> Result<Answer, FetchError> {
        let Some(range) = answer.content_range() else { return Ok(Answer::Whole(answer)) };
        let range = ContentRange::parse(range);
        let range = range.ok_or_else(|| self.incomplete("sends a part and does not say which"))?;
        Ok(Answer::Part(answer, range))
    }

    fn whole(&self, answer: GetObjectOutput, expected: &Expected) -> Result<Body, FetchError> {
        let seen = mark_of(&answer);
        let total = answer.content_length().and_then(|length| u64::try_from(length).ok());
        expected.check(&self.url, &seen, total)?;
        let stream = counted(self.settings.clone(), self.url.clone(), answer.body, total);
        Ok(Body { start: 0, total, validator: seen.pins().then(|| seen.revision()), stream })
    }

    /// The part that came and all after it, if it is what was asked for.
    fn parts(
        self: &Arc<Object>,
        answer: GetObjectOutput,
        range: ContentRange,
        start: u64,
        expected: &Expected,
        ahead: &Ahead,
    ) -> Result<Body, FetchError> {
        let seen = mark_of(&answer);
        let total = range.total.ok_or_else(|| self.incomplete("sends a part and does not say of how much"))?;
        expected.check(&self.url, &seen, Some(total))?;
        let end = start.saturating_add(self.first(start, ahead)).min(total);
        let length = self.exactly(&answer, range, start..end)?;
        let next = start + length;
        if next < total && !seen.pins() {
            return Err(self.incomplete("comes in parts and shows no ETag that holds them together"));
        }
        let validator = seen.pins().then(|| seen.revision());
        let first = counted(self.settings.clone(), self.url.clone(), answer.body, Some(length));
        let pin = Mark { version: seen.version.clone().or_else(|| expected.mark.version.clone()), ..seen };
        let plan = self.settings.plan;
        let pinned = Arc::new(Pinned { object: Arc::clone(self), pin, total });
        let stream = Parts::new(pinned, &plan, first, start..next, total, ahead.clone()).boxed();
        Ok(Body { start, total: Some(total), validator, stream })
    }

    /// The length of the part `wanted`, if the head says just that.
    fn exactly(&self, answer: &GetObjectOutput, range: ContentRange, wanted: Range<u64>) -> Result<u64, FetchError> {
        if range.first != wanted.start || range.last != wanted.end - 1 {
            return Err(self.incomplete("sends another part than the one asked for"));
        }
        let length = wanted.end - wanted.start;
        if answer.content_length().is_some_and(|announced| u64::try_from(announced) != Ok(length)) {
            return Err(self.incomplete("sends a part of another length than it says"));
        }
        Ok(length)
    }

    /// The part `wanted` of the object: of the very state that `pin` and `total` show.
    async fn part(&self, wanted: Range<u64>, total: u64, pin: &Mark) -> Result<Chunks, FetchError> {
        // Shorter only where what lies behind it is there already.
        let length = if wanted.end < total { wanted.end - wanted.start } else { self.settings.plan.part_size };
        let answer = match self.ask(Some((wanted.start, length)), pin).await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(match status(&error) {
                    Some(412 | 416) => changed(&self.url, "while it was read"),
                    _ => refusal(&self.url, &error),
                });
            }
        };
        if mark_of(&answer).moved_from(pin) {
            return Err(changed(&self.url, "while it was read"));
        }
        match self.read(answer)? {
            Answer::Whole(_) => Err(self.incomplete("sends the whole, though a part was asked for")),
            Answer::Part(_, range) if range.total.is_some_and(|now| now != total) => {
                Err(changed(&self.url, "while it was read"))
            }
            Answer::Part(answer, range) => {
                let length = self.exactly(&answer, range, wanted)?;
                Ok(counted(self.settings.clone(), self.url.clone(), answer.body, Some(length)))
            }
        }
    }

    fn incomplete(&self, detail: &str) -> FetchError {
        FetchError::new(Kind::Incomplete, &self.url, detail)
    }
}

/// An object in the state that its first part has shown.
struct Pinned {
    object: Arc<Object>,
    pin: Mark,
    total: u64,
}

impl Ranges for Pinned {
    fn part(self: Arc<Self>, range: Range<u64>) -> BoxFuture<'static, Result<Chunks, FetchError>> {
        async move { self.object.part(range, self.total, &self.pin).await }.boxed()
    }
}

fn mark_of(answer: &GetObjectOutput) -> Mark {
    Mark::of(answer.e_tag(), answer.version_id())
}

fn changed(url: &Url, when: &str) -> FetchError {
    FetchError::new(Kind::Changed, url, format!("was replaced {when}"))
}

/// The chunks of a body, which are `length` bytes in all or an error.
fn counted(
    settings: Settings,
    url: Url,
    body: ByteStream,
    length: Option<u64>,
) -> BoxStream<'static, Result<Bytes, FetchError>> {
    let failed = |url: &Url, detail: String| Some((Err(FetchError::new(Kind::Incomplete, url, detail)), None));
    let stream = stream::unfold(Some((body, 0u64)), move |state| {
        let (settings, url) = (settings.clone(), url.clone());
        async move {
            let (mut body, received) = state?;
            let early = |received: u64| {
                let length = length.map_or("an unknown number of".to_owned(), grouped);
                format!("ended early: got {} of {length} bytes", grouped(received))
            };
            match settings.chunk(&url, &mut body).await {
                Ok(Some(chunk)) => {
                    let received = received + chunk.len() as u64;
                    if length.is_some_and(|length| received > length) {
                        return failed(&url, "sends more bytes than it announced".to_owned());
                    }
                    Some((Ok(chunk), Some((body, received))))
                }
                Ok(None) if length.is_some_and(|length| received < length) => failed(&url, early(received)),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    stream.boxed()
}
