//! HTML, written so that nothing a host says can become part of it.

use crate::rollout::plain;

/// The longest text that is shown of anything, in characters.
const LONGEST: usize = 2000;

/// HTML under way. Only text of the program itself goes in as it is; everything else is escaped.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of the program's own: the type keeps everything else out.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// Text on one line, or the value of an attribute in double quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Html {
        self.escaped(&plain::line(text, LONGEST))
    }

    /// Text that `plain` has been through already, line by line.
    pub(super) fn lines(&mut self, lines: &[String]) -> &mut Html {
        self.escaped(&lines.join("\n"))
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl ToString) -> &mut Html {
        self.escaped(&number.to_string())
    }

    fn escaped(&mut self, text: &str) -> &mut Html {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// HTML that was made the same way.
    pub(super) fn html(&mut self, other: &Html) -> &mut Html {
        self.0.push_str(&other.0);
        self
    }

    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}
