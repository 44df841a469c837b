//! How the server misbehaves.

use std::time::Duration;

use bytes::Bytes;

use super::refusal::Refusal;

/// How the server misbehaves towards a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is reset before anything is done.
    LostRequest,
    /// What was asked is done; then the connection is reset instead of an answer.
    LostReply,
    /// Nothing is done, and the answer is this.
    Refuse(Refusal),
    /// What was asked is done, and the answer is this nevertheless.
    RefuseAfter(Refusal),
    /// So long nothing is done; then what was asked.
    Delay(Duration),
    /// After what was asked is done, the key has these bytes.
    ReplaceAfter(Bytes),

    /// The connection is closed in order after so many bytes of the body.
    Truncate(u64),
    /// The connection is reset after so many bytes of the body.
    Reset(u64),
    /// After so many bytes of the body nothing more comes.
    Stall(u64),
    /// This bit of the body is flipped, counted from its first byte as sent.
    FlipBit(u64),
    /// The body comes with at most so many bytes a second.
    Rate(u64),

    /// `Date` is so many seconds from the truth.
    Date(i64),
    /// The `Content-Range` of a partial answer begins a byte later than its body.
    WrongRangeStart,
    /// The `Content-Range` of a partial answer tells a size that is a byte too large.
    WrongRangeTotal,
    /// `Range` is ignored: the whole object, with 200.
    RangeIgnored,
    /// A partial answer shows the checksum of the whole object, as rclone's server does.
    ChecksumOnRange,
    /// No answer shows a checksum.
    NoChecksums,
    /// A 304 shows no `ETag`, as those of Ceph's gateway.
    NotModifiedWithoutEtag,
    /// No answer shows an `ETag`, a `Last-Modified` or a version.
    NoValidators,

    /// The conditions of reads are ignored, as by s3s-fs.
    ReadConditionsIgnored,
    /// The conditions of writes are ignored, as by Garage and by rclone's server.
    ConditionsIgnored,
    /// The conditions of writes are checked some time before the write, as by s3s-fs.
    ConditionsNotAtomic,
    /// The `If-Match` of a write matches only without quotes, and a race is an internal error that
    /// wrote nothing, as with Ceph's gateway.
    EtagsUnquoted,
}
