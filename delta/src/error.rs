//! What can be wrong.

/// Why a delta could not be applied. The output holds nothing of use then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// It begins as no known format does.
    #[error("this is no delta: it begins neither as dcz nor as fxd-1")]
    NotADelta,
    /// It ends too early, or says what cannot be.
    #[error("the delta is damaged: {0}")]
    Damaged(&'static str),
    /// It was made from another file.
    #[error("the delta was made from another file than this one")]
    OtherOld,
    /// It makes a file of another length.
    #[error("the delta makes {says} bytes, {expected} bytes were expected")]
    OtherLength {
        /// What it says.
        says: u64,
        /// What was asked for.
        expected: u64,
    },
    /// It needs more memory than it may have.
    #[error("the delta needs {needed} bytes of memory, {allowed} bytes are allowed")]
    Memory {
        /// What it needs.
        needed: u64,
        /// What it may have.
        allowed: u64,
    },
    /// It was not done in time.
    #[error("the delta was not applied in the time allowed")]
    TooSlow,
}

/// Why a delta could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A file is larger than the format can say.
    #[error("{length} bytes are more than {format} can hold ({most} bytes)")]
    TooLarge {
        /// The format.
        format: crate::Format,
        /// The file's length in bytes.
        length: u64,
        /// The longest there can be.
        most: u64,
    },
    /// The compressor failed.
    #[error("the compressor failed: {0}")]
    Compressor(String),
    /// Whoever was told of the progress said to stop.
    #[error("stopped")]
    Stopped,
    /// The delta, once applied, did not make the new file: a defect of this crate.
    #[error("the delta does not make the new file again; this is a defect of fetchd-delta")]
    Proof,
}
