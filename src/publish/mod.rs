//! The publisher's side: keys, signatures, and a channel that fetchd can be pointed at.
//!
//! [`publish()`] writes to any [`Place`]: a directory is one, a prefix of an S3 bucket another. A release of a GitHub
//! repository holds no channel: each of its artifacts is signed by itself.
//!
//! Everything here is a library function with its options in a struct; the command line asks for
//! passwords and prints. [`Publisher`] is the short way for a test or a demonstration.

#[cfg(feature = "s3")]
mod bucket;
mod channel;
mod check;
mod delta;
mod directory;
mod error;
mod files;
#[cfg(feature = "github")]
mod github;
mod inspect;
mod key;
mod keys;
mod keyset;
mod memory;
mod one;
mod options;
mod place;
mod pointer;
mod publisher;
mod sign;

#[cfg(feature = "s3")]
pub use bucket::{BucketPlace, PointerState};
pub use channel::publish;
pub use check::{Checked, Listed, ListedArtifact, Mode, Says, Step, VerifyOptions, verify};
pub use delta::DeltaMade;
pub use directory::{LockedPointer, publish_to_dir};
pub use error::PublishError;
#[cfg(feature = "github")]
pub use github::{HostedRelease, PublishedAsset, PublishedRelease, publish_to_github};
pub use inspect::inspect;
pub use key::{KeyFiles, PASSWORD_ENV, Protection, SigningKey, keygen, keygen_at};
pub use keys::{
    KeyChange, KeyDraft, PublishedKeys, Role, RoleChange, Signer, Standing, complete_keys, first_keys, next_keys,
    publish_keys,
};
pub use keyset::key_file;
pub use memory::{AtLeast, Channel, Memory, Remembered};
pub use one::OneRelease;
pub use options::{ArtifactFile, NewRelease, PublishOptions, Published, Sending, Unpack};
pub use place::{Artifact, Begun, Looked, Place};
pub use pointer::{DEFAULT_EXPIRY, DEFAULT_KEEP, bundle_files, sign_manifest};
pub use publisher::{Publisher, host_target};
pub use sign::{BoundTo, Comment, SignOptions, sign_file};
