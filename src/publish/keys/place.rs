//! A key set in its place: `keys/<version>` beside the pointer, once.

use super::{KeyDraft, complete_keys};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::publish::{Looked, Place, PublishError};
use crate::trust::{Refused, TrustedKeys};

/// A key set that hosts can find.
#[derive(Debug, Clone)]
pub struct PublishedKeys<L> {
    /// Where it lies.
    pub location: L,
    /// The key set.
    pub keys: TrustedKeys,
    /// Whether the very same file was there before.
    pub there: bool,
}

/// Puts a key set where hosts look for it, never in the place of another.
///
/// It must be what hosts accept at `now` after the version before it, which is `before` or the one that lies in the
/// place; if both are given they must say the same. Nothing is written unless all of this holds. Fails with the codes
/// of [`TrustedKeys::advance`], with `keys.draft`, `keys.previous` (the version before is not known), `keys.forked`
/// (another one lies there), `keys.expired`, and with [`PublishError::Exists`] if another file lies in its place.
pub fn publish_keys<P: Place + ?Sized>(
    to: &P,
    file: &[u8],
    before: Option<&[u8]>,
    now: Timestamp,
) -> Result<PublishedKeys<P::Location>, PublishError> {
    let draft = KeyDraft::parse(file)?;
    let version = draft.document().version;
    let keys = if version == 1 {
        complete_keys(file)?
    } else {
        let name = format!("keys/{}", version - 1);
        let there = to.peek(&name)?;
        let before = match (before, &there) {
            (Some(before), Some(there)) => {
                if KeyDraft::parse(before)?.payload() != KeyDraft::parse(there)?.payload() {
                    let message =
                        format!("`{}` is another key set {} than the one that was given", to.show(&name), version - 1);
                    return Err(Refused::new("keys.forked", Exit::Rollback, message)
                        .hint("hosts follow the one that lies there: find out who put it there before anything else")
                        .into());
                }
                before
            }
            (Some(before), None) => before,
            (None, Some(there)) => there,
            (None, None) => {
                let message = format!("there is no `{}` that key set {version} could follow", to.show(&name));
                return Err(Refused::new("keys.previous", Exit::Usage, message)
                    .hint("publish the versions in their order, or name the one before with `--previous FILE`")
                    .into());
            }
        };
        let before = complete_keys(before)?;
        draft.follows(&before)?;
        before.advance(file)?
    };
    if let Some(expired) = keys.expired(now) {
        return Err(expired.into());
    }
    let name = format!("keys/{version}");
    let there = to.create(&name, file)? == Looked::Same;
    Ok(PublishedKeys { location: to.locate(&name), keys, there })
}
