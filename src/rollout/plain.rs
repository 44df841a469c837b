//! Text of hosts, made fit to be shown: what steers a terminal or turns the direction of writing does nothing.

/// `text` on one line, at most `longest` characters of it.
pub(super) fn line(text: &str, longest: usize) -> String {
    let shown: String = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).take(longest).collect();
    shown.trim().to_owned()
}

/// The last `most` lines of a text, each at most `longest` characters long.
pub(super) fn last_lines(text: &str, most: usize, longest: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(most)..].iter().map(|text| line(&text.replace('\t', "    "), longest)).collect()
}

/// Neither a control character nor one that changes the order of others.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_steer_a_terminal() {
        assert_eq!(line("\u{1b}[2Jhi\r\n\u{202e}x", 80), "\u{fffd}[2Jhi\u{fffd}\u{fffd}\u{fffd}x");
        assert_eq!(line("abcdef", 3), "abc");
        assert_eq!(last_lines("a\n\nb\tc\n\u{7}d\n", 2, 80), ["b    c", "\u{fffd}d"]);
    }
}
