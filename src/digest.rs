//! SHA-256 digests as values, and the one place that computes them over streams.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A SHA-256 digest. Written and read as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The digest and length of everything `reader` yields.
    pub fn of_reader(reader: &mut dyn Read) -> io::Result<(Sha256, u64)> {
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0_u8; 256 * 1024];
        let mut length = 0;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok((Sha256(hash.finalize().into()), length)),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            hash.update(&buffer[..read]);
            length += read as u64;
        }
    }

    /// By which instructions of this processor digests are computed: `sha_ni` or `sha2`; `none`: by ordinary ones, a third
    /// as fast.
    pub fn instructions() -> &'static str {
        // What the crate `sha2` looks at when it chooses.
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("sse4.1") {
            return "sha_ni";
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("sha2") {
            return "sha2";
        }
        "none"
    }

    /// The first eight hexadecimal digits, for names people read.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a sha256 digest of 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Sha256 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Sha256, NotADigest> {
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotADigest)?;
        }
        Ok(Sha256(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_processor_with_sha_instructions_uses_them() {
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let has = |flag: &str| flags.split_ascii_whitespace().any(|known| known == flag);
        let expected = if has("sha_ni") && has("sse4_1") { "sha_ni" } else { "none" };
        assert_eq!(Sha256::instructions(), expected);
        // `sha256rnds2`, several in a row: the code is in this build, whichever processor runs it.
        let rounds = r"(?s)(\x0f\x38\xcb.{1,24}){3}";
        let exe = std::env::current_exe().unwrap();
        let status = Command::new("grep").env("LC_ALL", "C").args(["-qaP", rounds]).arg(exe).status().unwrap();
        assert!(status.success(), "this build computes SHA-256 without the processor's instructions");
    }
}
