//! What can go wrong between a host and its bucket.

use super::{Request, Trouble};
use crate::clock::Timestamp;

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out, and its answer is lost: whoever asked knows nothing.
    LostReply,
    /// It does not reach the bucket.
    Refused,
    /// The bucket asks for fewer requests (`503`), and has done nothing.
    Busy {
        /// Not to be asked again for so many seconds.
        retry_after_s: Option<u64>,
    },
}

impl Fault {
    /// Whether the bucket does what it was asked.
    pub(super) fn is_carried_out(self) -> bool {
        self == Fault::LostReply
    }

    pub(super) fn trouble(self) -> Trouble {
        let (code, message, retry_after_s) = match self {
            Fault::LostReply => ("source.unreachable", "the request was not answered", None),
            Fault::Refused => ("source.unreachable", "no connection could be made", None),
            Fault::Busy { retry_after_s } => ("source.throttled", "the source asks for fewer requests", retry_after_s),
        };
        Trouble { code: code.to_owned(), message: message.to_owned(), retry_after_s, passes: true }
    }
}

/// Says which fault a request meets.
type Rule = dyn FnMut(&Request, Timestamp) -> Option<Fault> + Send;

pub(super) struct Faults(pub(super) Box<Rule>);
