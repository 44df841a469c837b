//! The variables a supervisor sets, read into values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::inherit::InheritError;

/// What the supervisor told this process about itself. Everything is absent without fetchd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// `FETCHD_ROLE`: `service`, or `successor` in a direct handoff.
    pub role: Option<String>,
    /// `FETCHD_GENERATION`: counts the processes started for this service, from 1.
    pub generation: Option<u64>,
    /// `FETCHD_VERSION`: the version of the release this process was started from.
    pub version: Option<String>,
    /// `FETCHD_DIGEST`: the sha256 of the binary, in hexadecimal.
    pub digest: Option<String>,
    /// `FETCHD_PROGRAM`: the program's path as configured, which outlives a replaced file.
    pub program: Option<PathBuf>,
    /// `FETCHD_READY_MS`: how long the supervisor waits for `READY=1`.
    pub ready_within: Option<Duration>,
    /// `FETCHD_DRAIN_MS`: how long a drain may take before the process is killed.
    pub drain_within: Option<Duration>,
    /// `WATCHDOG_USEC`: a watchdog message is expected at least this often.
    pub watchdog: Option<Duration>,
}

/// The variables as read, before any descriptor is touched.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) environment: Environment,
    /// One name for each descriptor from 3 upwards.
    pub(super) names: Vec<String>,
    pub(super) notify: Option<OsString>,
    pub(super) control: Option<i32>,
}

/// Every variable that is unset after reading, so that a grandchild does not take it for its own.
pub(super) const VARIABLES: [&str; 15] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FETCHD_PROTO",
    "FETCHD_ROLE",
    "FETCHD_GENERATION",
    "FETCHD_VERSION",
    "FETCHD_DIGEST",
    "FETCHD_PROGRAM",
    "FETCHD_CONTROL_FD",
    "FETCHD_READY_MS",
    "FETCHD_DRAIN_MS",
];

/// The first descriptor of socket activation.
pub(super) const FIRST: i32 = 3;

/// More descriptors than any service has; a larger number is a mistake, not a wish.
const MOST: u32 = 1024;

/// The only protocol version this library speaks.
const PROTO: u32 = 1;

/// Reads the variables through `get` for the process `pid`.
pub(super) fn read(get: impl Fn(&'static str) -> Option<OsString>, pid: u32) -> Result<Variables, InheritError> {
    let text = |name: &'static str| match get(name) {
        None => Ok(None),
        Some(value) => value.into_string().map(Some).map_err(|_| InheritError::Malformed { variable: name }),
    };
    let number = |name: &'static str| match text(name)? {
        None => Ok(None),
        Some(value) => value.parse::<u64>().map(Some).map_err(|_| InheritError::Malformed { variable: name }),
    };

    if let Some(proto) = number("FETCHD_PROTO")?
        && proto != u64::from(PROTO)
    {
        return Err(InheritError::Protocol { got: proto, known: PROTO });
    }

    // Descriptors are for the process they name. A variable that leaked through a parent says
    // nothing about what is open here.
    let meant = number("LISTEN_PID")?.map(|named| named == u64::from(pid));
    let names = match (meant, number("LISTEN_FDS")?) {
        (Some(true), Some(count)) => names(count, text("LISTEN_FDNAMES")?)?,
        _ => Vec::new(),
    };
    let control = match (meant, number("FETCHD_CONTROL_FD")?) {
        (Some(false), _) | (_, None) => None,
        (_, Some(number)) => {
            let descriptor = i32::try_from(number).ok().filter(|number| *number >= FIRST);
            Some(descriptor.ok_or(InheritError::Malformed { variable: "FETCHD_CONTROL_FD" })?)
        }
    };
    let watched = number("WATCHDOG_PID")?.is_none_or(|named| named == u64::from(pid));

    Ok(Variables {
        environment: Environment {
            role: text("FETCHD_ROLE")?,
            generation: number("FETCHD_GENERATION")?,
            version: text("FETCHD_VERSION")?,
            digest: text("FETCHD_DIGEST")?,
            program: get("FETCHD_PROGRAM").map(PathBuf::from),
            ready_within: number("FETCHD_READY_MS")?.map(Duration::from_millis),
            drain_within: number("FETCHD_DRAIN_MS")?.map(Duration::from_millis),
            watchdog: number("WATCHDOG_USEC")?.filter(|_| watched).map(Duration::from_micros),
        },
        names,
        notify: get("NOTIFY_SOCKET"),
        control,
    })
}

/// One name for each of `count` descriptors; those without one are called `unknown`, as systemd does.
fn names(count: u64, given: Option<String>) -> Result<Vec<String>, InheritError> {
    if count > u64::from(MOST) {
        return Err(InheritError::Malformed { variable: "LISTEN_FDS" });
    }
    let given = given.unwrap_or_default();
    let mut given = given.split(':').filter(|name| !name.is_empty());
    Ok((0..count).map(|_| given.next().unwrap_or("unknown").to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> Result<Variables, InheritError> {
        read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(*value)), 42)
    }

    #[test]
    fn nothing_set_is_a_process_without_a_supervisor() {
        let read = with(&[]).unwrap();
        assert_eq!(read.environment, Environment::default());
        assert!(read.names.is_empty() && read.notify.is_none() && read.control.is_none());
    }

    #[test]
    fn descriptors_for_another_process_are_ignored() {
        let read = with(&[("LISTEN_PID", "41"), ("LISTEN_FDS", "2"), ("FETCHD_CONTROL_FD", "5")]).unwrap();
        assert!(read.names.is_empty() && read.control.is_none());
    }

    #[test]
    fn names_are_filled_up() {
        let read = with(&[("LISTEN_PID", "42"), ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "web:admin")]).unwrap();
        assert_eq!(read.names, ["web", "admin", "unknown"]);
    }

    #[test]
    fn deadlines_are_milliseconds() {
        let read = with(&[("FETCHD_PROTO", "1"), ("FETCHD_DRAIN_MS", "1500"), ("FETCHD_GENERATION", "7")]).unwrap();
        assert_eq!(read.environment.drain_within, Some(Duration::from_millis(1500)));
        assert_eq!(read.environment.generation, Some(7));
    }

    #[test]
    fn a_later_protocol_and_garbage_are_refused_by_name() {
        assert!(matches!(with(&[("FETCHD_PROTO", "2")]), Err(InheritError::Protocol { got: 2, .. })));
        for pairs in [
            &[("FETCHD_READY_MS", "soon")] as &'static [_],
            &[("LISTEN_PID", "42"), ("LISTEN_FDS", "-1")],
            &[("LISTEN_PID", "42"), ("LISTEN_FDS", "99999")],
            &[("FETCHD_CONTROL_FD", "2")],
        ] {
            assert!(matches!(with(pairs), Err(InheritError::Malformed { .. })), "{pairs:?}");
        }
    }
}
