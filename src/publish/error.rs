//! What can go wrong while a release is made.

use std::io;
use std::path::{Path, PathBuf};

use fetchd_fetchers::{FetchError, Kind};

use crate::failure::{Exit, Failure};
use crate::trust::Refused;

/// Making, signing or publishing a release failed. What was published before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file could not be read or written.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is there and is not what would be written.
    #[error("`{0}` exists and would have to be changed")]
    Exists(String),
    /// The file is no longer what was measured.
    #[error("`{}` changed while it was being published", .0.display())]
    Changed(PathBuf),
    /// Somebody else has replaced the pointer since it was read. Theirs is there, ours is not.
    #[error("another publish replaced `{0}` in the meantime, and this one did not")]
    Conflict(String),
    /// The place to publish to makes no sense as it is written.
    #[error("{message}")]
    Destination {
        /// What is wrong with it.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// The store refused, or did not answer. This publish has not replaced the pointer.
    #[error(transparent)]
    Store(#[from] FetchError),
    /// The store took a request and nobody can say what it did with it. The old channel is there, or the new one.
    #[error("it is not known whether the store has written what was sent")]
    Unconfirmed(#[source] FetchError),
    /// The release is public without all of its assets, and what is public is never changed.
    #[error("the release `{release}` is public already, without `{asset}`")]
    Public {
        /// Its tag.
        release: String,
        /// What it lacks.
        asset: String,
    },
    /// Somebody else is publishing to this directory.
    #[error("another publish is at work in `{}`", .0.display())]
    Locked(PathBuf),
    /// The secret key is encrypted and no password was given.
    #[error("the secret key `{}` needs its password", .0.display())]
    PasswordNeeded(PathBuf),
    /// The file is the public half of a pair.
    #[error("`{}` is a public key, and a secret one is needed to sign", .0.display())]
    PublicKey(PathBuf),
    /// The file is no secret key, or the password is not its own.
    #[error("cannot use the secret key `{}`: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A release or an artifact that others have already differs.
    #[error("version `{version}` is published for `{target}` with other bytes")]
    Republished {
        /// The version.
        version: String,
        /// The target.
        target: String,
    },
    /// The binary could not be found in its archive.
    #[error("cannot unpack `{}`: {why}", path.display())]
    Unpack {
        /// The archive.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What is remembered of channels cannot be read, or cannot be written.
    #[error("the memory `{}` {why}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Whether it could not be read: then nothing was published.
        damaged: bool,
    },
    /// What is there, or what was just made, is not what trust would accept.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl PublishError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
        let path = path.to_owned();
        move |source| PublishError::Io { what, path, source }
    }
}

impl Failure for PublishError {
    fn code(&self) -> &'static str {
        match self {
            PublishError::Io { .. } => "publish.io",
            PublishError::Exists(_) => "publish.exists",
            PublishError::Changed(_) => "publish.changed",
            PublishError::Destination { .. } => "publish.destination",
            PublishError::Store(error) => store_code(error.kind()),
            PublishError::Unconfirmed(_) => "publish.unconfirmed",
            PublishError::Conflict(_) => "publish.conflict",
            PublishError::Public { .. } => "publish.public",
            PublishError::Locked(_) => "publish.locked",
            PublishError::PasswordNeeded(_) => "key.password_needed",
            PublishError::PublicKey(_) | PublishError::Key { .. } => "key.unusable",
            PublishError::Usage(_) => "publish.usage",
            PublishError::Republished { .. } => "publish.republished",
            PublishError::Unpack { .. } => "publish.unpack",
            PublishError::Memory { .. } => "publish.memory",
            PublishError::Refused(refused) => refused.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            PublishError::Io { .. } => Exit::Install,
            PublishError::Locked(_) | PublishError::Conflict(_) => Exit::Locked,
            PublishError::Unpack { .. } | PublishError::Changed(_) => Exit::Content,
            PublishError::Store(error) => match error.kind() {
                Kind::Throttled => Exit::Throttled,
                Kind::Misconfigured => Exit::Usage,
                _ => Exit::Unreachable,
            },
            PublishError::Unconfirmed(_) => Exit::Unreachable,
            PublishError::Memory { damaged: true, .. } => Exit::State,
            PublishError::Memory { damaged: false, .. } => Exit::Install,
            PublishError::Refused(refused) => refused.exit(),
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PublishError::Exists(_) => Some("nothing that was published is ever changed; choose another name".into()),
            PublishError::PasswordNeeded(_) => Some("set `FETCHD_KEY_PASSWORD`, or run this on a terminal".into()),
            PublishError::Republished { .. } => Some("publish the new bytes as a new version".into()),
            PublishError::Public { .. } => Some("publish all of them as a new version".into()),
            PublishError::PublicKey(path) => {
                let secret = path.with_extension("key");
                Some(format!("its secret half is in another file, perhaps `{}`", secret.display()))
            }
            PublishError::Key { .. } => {
                Some("give a file that `fetchd keygen` or `minisign -G` made, and its own password".into())
            }
            PublishError::Unpack { .. } => Some("name the binary in the archive with `--entry PATH`".into()),
            PublishError::Destination { hint, .. } => hint.clone(),
            PublishError::Store(error) => match error.kind() {
                Kind::NotFound => Some("make the bucket first, and check its name and region".into()),
                Kind::Denied => Some("publishing needs credentials that may read, list and write there".into()),
                Kind::Throttled | Kind::Unreachable | Kind::Incomplete => {
                    Some("run it again: the channel is as it was, and artifacts that arrived stay".into())
                }
                _ => None,
            },
            PublishError::Unconfirmed(_) => Some("run it again: it looks at what is there, and goes on from it".into()),
            PublishError::Changed(_) => Some("publish a file that nothing writes to any more".into()),
            PublishError::Conflict(_) => Some("run it again: it starts from what is there now".into()),
            PublishError::Locked(_) => Some("try again when it is done".into()),
            PublishError::Memory { damaged: true, .. } => {
                Some("restore it, or remove it and say how far the channel is with `--at-least-seq N`".into())
            }
            PublishError::Memory { damaged: false, .. } => {
                Some("name a file that can be written with `--memory FILE`, or go without: `--no-memory`".into())
            }
            PublishError::Refused(refused) => refused.hint(),
            PublishError::Io { .. } | PublishError::Usage(_) => None,
        }
    }
}

fn store_code(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "publish.not_found",
        Kind::Denied => "publish.denied",
        Kind::Throttled => "publish.throttled",
        Kind::Unreachable | Kind::Incomplete => "publish.unreachable",
        Kind::Misconfigured => "publish.destination",
        _ => "publish.store",
    }
}
