//! Checksums of uploads: computed, compared, kept.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumType};
use s3s::header::{
    X_AMZ_CHECKSUM_CRC32, X_AMZ_CHECKSUM_CRC32C, X_AMZ_CHECKSUM_CRC64NVME, X_AMZ_CHECKSUM_SHA1, X_AMZ_CHECKSUM_SHA256,
};
use s3s::{S3Result, TrailingHeaders, s3_error};

/// The checksums an object shows.
pub(super) struct Sums {
    pub(super) sums: Checksum,
    /// Whether they are of the whole object, not of the checksums of its parts.
    pub(super) whole: bool,
}

impl Sums {
    pub(super) fn whole(sums: Checksum) -> Sums {
        Sums { sums, whole: true }
    }

    pub(super) fn kind(&self) -> ChecksumType {
        ChecksumType::from_static(if self.whole { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE })
    }
}

/// One checksum for each algorithm that `like` has one of.
pub(super) fn compute(like: &Checksum, bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher {
        crc32: like.checksum_crc32.as_ref().map(|_| Default::default()),
        crc32c: like.checksum_crc32c.as_ref().map(|_| Default::default()),
        sha1: like.checksum_sha1.as_ref().map(|_| Default::default()),
        sha256: like.checksum_sha256.as_ref().map(|_| Default::default()),
        crc64nvme: like.checksum_crc64nvme.as_ref().map(|_| Default::default()),
    };
    hasher.update(bytes);
    hasher.finalize()
}

pub(super) fn crc64nvme(bytes: &[u8]) -> Checksum {
    compute(&of_algorithm("CRC64NVME"), bytes)
}

pub(super) fn sha256(bytes: &[u8]) -> Checksum {
    compute(&of_algorithm("SHA256"), bytes)
}

/// An empty checksum of one algorithm, as a pattern for [`compute`].
pub(super) fn of_algorithm(name: &str) -> Checksum {
    let mut like = Checksum::default();
    match name {
        "CRC32" => like.checksum_crc32 = Some(String::new()),
        "CRC32C" => like.checksum_crc32c = Some(String::new()),
        "SHA1" => like.checksum_sha1 = Some(String::new()),
        "SHA256" => like.checksum_sha256 = Some(String::new()),
        _ => like.checksum_crc64nvme = Some(String::new()),
    }
    like
}

/// Adds what came after the body.
pub(super) fn add_trailers(announced: &mut Checksum, trailers: Option<&TrailingHeaders>) {
    let Some(headers) = trailers.and_then(TrailingHeaders::take) else { return };
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } =
        announced;
    for (announced, name) in [
        (checksum_crc32, X_AMZ_CHECKSUM_CRC32),
        (checksum_crc32c, X_AMZ_CHECKSUM_CRC32C),
        (checksum_crc64nvme, X_AMZ_CHECKSUM_CRC64NVME),
        (checksum_sha1, X_AMZ_CHECKSUM_SHA1),
        (checksum_sha256, X_AMZ_CHECKSUM_SHA256),
    ] {
        if announced.is_none() {
            *announced = value(name);
        }
    }
}

/// Refuses bytes whose checksums are not the announced ones.
pub(super) fn check(announced: &Checksum, bytes: &[u8]) -> S3Result<()> {
    if !is_empty(announced) && texts(&compute(announced, bytes)) != texts(announced) {
        return Err(s3_error!(BadDigest, "The checksum you specified did not match the calculated checksum."));
    }
    Ok(())
}

pub(super) fn is_empty(sums: &Checksum) -> bool {
    texts(sums).iter().all(Option::is_none)
}

/// The checksum of the parts' checksums, as S3 shows it: with the number of parts.
pub(super) fn composite(algorithm: &str, parts: &[&Checksum]) -> Checksum {
    let like = of_algorithm(algorithm);
    let mut joined = Vec::new();
    for part in parts {
        for text in texts(part).into_iter().flatten() {
            joined.extend(BASE64_STANDARD.decode(text).unwrap_or_default());
        }
    }
    let mut sums = compute(&like, &joined);
    for text in [
        &mut sums.checksum_crc32,
        &mut sums.checksum_crc32c,
        &mut sums.checksum_crc64nvme,
        &mut sums.checksum_sha1,
        &mut sums.checksum_sha256,
    ]
    .into_iter()
    .flatten()
    {
        text.push_str(&format!("-{}", parts.len()));
    }
    sums
}

pub(super) fn texts(sums: &Checksum) -> [Option<&str>; 5] {
    [
        sums.checksum_crc32.as_deref(),
        sums.checksum_crc32c.as_deref(),
        sums.checksum_crc64nvme.as_deref(),
        sums.checksum_sha1.as_deref(),
        sums.checksum_sha256.as_deref(),
    ]
}
