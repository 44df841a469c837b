//! Which host comes when: a number between 0 and 1 for each host and release, the same wherever it is computed.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Sha256;

/// Names a host in a bucket: 16 bytes, 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub [u8; 16]);

impl HostId {
    /// The id of a host that is called `name` by its operator.
    pub fn named(name: &str) -> HostId {
        HostId::first_of(Sha256::of(format!("fetchd-host-name-1\n{name}").as_bytes()).0)
    }

    /// The id of a machine. `machine_id` is a secret of it (`machine-id(5)` asks for that) and cannot be read
    /// back from the result. `instance` tells clones of one image apart.
    pub fn of_machine(machine_id: &str, instance: Option<&str>) -> HostId {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(machine_id.trim().as_bytes())
            .unwrap_or_else(|_| unreachable!("a key of HMAC may have any length"));
        mac.update(b"fetchd-host-1\n");
        mac.update(instance.unwrap_or_default().as_bytes());
        HostId::first_of(mac.finalize().into_bytes().into())
    }

    fn first_of(digest: [u8; 32]) -> HostId {
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        HostId(id)
    }

    /// Where it stands between 0 and 1 for releases with this `salt`: below 1.
    pub fn position(self, salt: &str) -> f64 {
        let text = format!("fetchd-cohort-1\0{salt}\0{self}");
        let digest = Sha256::of(text.as_bytes()).0;
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        // 53 bits are what a double holds, so the result is never rounded up to 1.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let position = (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64;
        position
    }

    /// The shard it reports to, of so many: `0`, a hexadecimal digit, or two.
    pub fn shard(self, shards: Shards) -> String {
        let first = Sha256::of(self.to_string().as_bytes()).0[0];
        match shards.0 {
            1 => shards.name(0),
            16 => shards.name(u16::from(first >> 4)),
            _ => shards.name(u16::from(first)),
        }
    }

    /// Whether it says `ok` in a try of a rollout where only a share of the hosts, from 0 to 1, does.
    pub fn says_ok(self, rollout: &str, attempt: u16, share: f64) -> bool {
        share >= 1.0 || self.chance(&format!("ok\0{rollout}\0{attempt}")) < share
    }

    /// A number that depends on the host and on `what` alone, from 0 to below 1: jitter that a test can repeat.
    pub fn chance(self, what: &str) -> f64 {
        self.position(&format!("chance\0{what}"))
    }
}

/// Into how many parts a rollout's evidence is divided: 1, 16 or 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Shards(u16);

impl Shards {
    /// One.
    pub const ONE: Shards = Shards(1);

    /// What suits a fleet of so many hosts: a shard has at most a few thousand.
    pub fn for_hosts(hosts: u64) -> Shards {
        match hosts {
            0..=4_000 => Shards(1),
            4_001..=64_000 => Shards(16),
            _ => Shards(256),
        }
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.0
    }

    /// Their names, in order.
    pub fn all(self) -> impl Iterator<Item = String> {
        (0..self.0).map(move |number| self.name(number))
    }

    /// Whether one of them is called so.
    pub fn has(self, name: &str) -> bool {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match self.0 {
            1 => name == "0",
            16 => name.len() == 1 && name.bytes().all(hex),
            _ => name.len() == 2 && name.bytes().all(hex),
        }
    }

    /// The name of one: the first hexadecimal digits of the SHA-256 of its hosts' ids; the only one is `0`.
    pub fn name(self, number: u16) -> String {
        if self.0 == 256 { format!("{number:02x}") } else { format!("{number:x}") }
    }
}

impl TryFrom<u16> for Shards {
    type Error = &'static str;

    fn try_from(count: u16) -> Result<Shards, &'static str> {
        if matches!(count, 1 | 16 | 256) { Ok(Shards(count)) } else { Err("there are 1, 16 or 256 shards") }
    }
}

impl From<Shards> for u16 {
    fn from(shards: Shards) -> u16 {
        shards.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostId({self})")
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host id of 32 lower-case hexadecimal digits")]
pub struct NotAHostId;

impl FromStr for HostId {
    type Err = NotAHostId;

    fn from_str(text: &str) -> Result<HostId, NotAHostId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAHostId),
        };
        let bytes: &[u8; 32] = text.as_bytes().try_into().map_err(|_| NotAHostId)?;
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(bytes.chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(HostId(id))
    }
}

impl Serialize for HostId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_is_written() {
        let id = HostId::named("web-1");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "web-1", "ABCDEF00ABCDEF00ABCDEF00ABCDEF00", "0123456789abcdef0123456789abcdef0"] {
            assert_eq!(wrong.parse::<HostId>(), Err(NotAHostId), "{wrong}");
        }
        assert_ne!(HostId::of_machine("m", None), HostId::of_machine("m", Some("2")));
        assert_eq!(HostId::of_machine("m\n", None), HostId::of_machine("m", None));
    }

    #[test]
    fn positions_are_spread_evenly_and_drawn_anew_for_each_release() {
        let hosts: Vec<HostId> = (0..10_000).map(|n| HostId::named(&format!("host-{n}"))).collect();
        for salt in ["1.0.0", "1.1.0"] {
            let mut positions: Vec<f64> = hosts.iter().map(|host| host.position(salt)).collect();
            positions.sort_by(f64::total_cmp);
            assert!(positions[0] >= 0.0 && positions[9_999] < 1.0);
            // Kolmogorov and Smirnov: 1.95/sqrt(n) is passed once in a thousand draws, and these are always the same.
            #[allow(clippy::cast_precision_loss, reason = "small")]
            let apart = (0..10_000).map(|n| (positions[n] - n as f64 / 10_000.0).abs()).fold(0.0, f64::max);
            assert!(apart < 0.0195, "{salt}: {apart}");
        }
        let first = |salt: &str| hosts.iter().filter(|host| host.position(salt) < 0.05).count();
        let both = hosts.iter().filter(|host| host.position("1.0.0") < 0.05 && host.position("1.1.0") < 0.05).count();
        assert!((400..600).contains(&first("1.0.0")) && both < 60, "{} {both}", first("1.0.0"));
    }

    #[test]
    fn a_shard_has_a_name_of_its_own() {
        let host = HostId::named("web-1");
        assert_eq!(host.shard(Shards::for_hosts(10)), "0");
        assert_eq!(host.shard(Shards::for_hosts(10_000)).len(), 1);
        assert_eq!(host.shard(Shards::for_hosts(1_000_000)).len(), 2);
        assert_eq!(Shards::for_hosts(1_000_000).all().last().as_deref(), Some("ff"));
        for shards in [Shards::ONE, Shards(16), Shards(256)] {
            assert!(shards.all().all(|name| shards.has(&name)));
            assert!(!["", "00f", "g", "F", "0F", "-1"].into_iter().any(|name| shards.has(name)));
        }
        assert!(!Shards::ONE.has("1") && !Shards(16).has("00") && !Shards(256).has("0"));
        assert!(Shards::for_hosts(1_000_000).all().any(|shard| shard == host.shard(Shards::for_hosts(1_000_000))));
    }
}
