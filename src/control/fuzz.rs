//! What must hold of the control socket's lines whatever the bytes are.

use super::{LONGEST_LINE, Line, Request};

/// A line in either direction, as far as its reader would read.
pub fn control(data: &[u8]) -> bool {
    let data = &data[..data.len().min(LONGEST_LINE as usize)];
    let line = data.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let asked = serde_json::from_str::<Request>(text);
    if let Ok(request) = &asked {
        let again = serde_json::to_string(request).expect("what was read can be written");
        assert!(!again.contains('\n'), "a request of two lines");
        assert_eq!(serde_json::from_str::<Request>(&again).ok().as_ref(), Some(request), "{again}");
    }
    let told = serde_json::from_str::<Line>(text);
    if let Ok(line) = &told {
        let again = serde_json::to_string(line).expect("what was read can be written");
        assert!(!again.contains('\n'), "a reply of two lines");
        assert_eq!(serde_json::from_str::<Line>(&again).ok().as_ref(), Some(line), "{again}");
    }
    asked.is_ok() || told.is_ok()
}
