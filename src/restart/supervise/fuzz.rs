//! What must hold of notifications whatever the bytes are.

use super::notify::{LARGEST, LONGEST_TEXT, Said, parse};

/// A datagram of a service: what it says is bounded, printable, and the same when it is said again.
pub fn notify(data: &[u8]) -> bool {
    let data = &data[..data.len().min(LARGEST)];
    let said = parse(data);
    assert!(said.len() <= data.len() / "READY=1".len() + 1, "more is heard than was said");
    for one in &said {
        let text = match one {
            Said::Ready => "READY=1".to_owned(),
            Said::Stopping => "STOPPING=1".to_owned(),
            Said::Watchdog => "WATCHDOG=1".to_owned(),
            Said::Restart => "X_FETCHD_RESTART=1".to_owned(),
            Said::Healthy => "X_FETCHD_HEALTHY=1".to_owned(),
            Said::Extend(by) => format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()),
            Said::Status(text) | Said::Reject(text) => {
                assert!(text.chars().count() <= LONGEST_TEXT && !text.chars().any(char::is_control), "{text:?}");
                format!("{}={text}", if matches!(one, Said::Status(_)) { "STATUS" } else { "X_FETCHD_REJECT" })
            }
        };
        assert_eq!(parse(text.as_bytes()), std::slice::from_ref(one), "{text:?}");
    }
    !said.is_empty()
}
