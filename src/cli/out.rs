//! What goes to stdout: data, as text or as JSON. Everything else goes to stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// The version of the JSON objects on stdout.
pub const SCHEMA: u32 = 1;

/// Standard output.
///
/// Writing never fails where it is called: a reader that has gone away (`| head`) ends the
/// output quietly, anything else is kept for [`Out::finish`].
#[derive(Debug)]
pub struct Out {
    json: bool,
    colour: bool,
    trouble: Option<io::Error>,
}

impl Out {
    /// `json`: whether the command was given `--json`.
    pub fn new(json: bool) -> Out {
        Out { json, colour: !json && colour(io::stdout().is_terminal()), trouble: None }
    }

    /// Whether objects are wanted instead of text.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether text may be coloured: on a terminal, and without `NO_COLOR`.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Whether nobody reads any more; a command that never ends by itself asks this.
    pub fn closed(&self) -> bool {
        self.trouble.is_some()
    }

    /// Writes one line of text.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.bytes(format!("{}\n", text.as_ref()).as_bytes());
    }

    /// Writes one object on one line, with `"schema": 1` as its first member. `body` is a struct or a map.
    pub fn object<T: Serialize>(&mut self, body: &T) {
        #[derive(Serialize)]
        struct Object<'a, T> {
            schema: u32,
            #[serde(flatten)]
            body: &'a T,
        }
        match serde_json::to_string(&Object { schema: SCHEMA, body }) {
            Ok(text) => self.line(text),
            Err(error) => self.trouble = Some(error.into()),
        }
    }

    /// Writes bytes as they are, and flushes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.trouble.is_none() {
            let mut stdout = io::stdout().lock();
            self.trouble = stdout.write_all(bytes).and_then(|()| stdout.flush()).err();
        }
    }

    /// What went wrong, if it was more than a reader that has gone away.
    pub fn finish(self) -> Result<(), io::Error> {
        match self.trouble {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether a stream may be coloured.
pub(super) fn colour(terminal: bool) -> bool {
    // no-color.org: any value but the empty one.
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes lines for people to stderr. That it cannot be written to is nothing that can be said anywhere.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
