//! A scripted HTTP server as an origin, for the suite.

use std::time::Duration;

use url::Url;

use super::scripted::{ScriptedOrigin, Serve, Step};
use super::{Contrast, Declined, Fault, Origin, Secret};
use crate::Options;

/// A [`ScriptedOrigin`] that `http:` reads.
#[derive(Debug)]
pub struct HttpOrigin {
    server: ScriptedOrigin,
    serve: Serve,
    published: Vec<String>,
    /// Half of the object's size.
    half: usize,
}

impl HttpOrigin {
    /// Starts one.
    pub fn start() -> HttpOrigin {
        HttpOrigin { server: ScriptedOrigin::start(), serve: Serve::default(), published: Vec::new(), half: 0 }
    }

    fn with_key(&self, key: &str) -> Options {
        let mut options = self.options();
        options.insert("header".to_owned(), vec![format!("X-Key: {key}")]);
        options
    }
}

impl Origin for HttpOrigin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        for path in self.published.drain(..) {
            self.server.remove(&path);
        }
        for (name, bytes) in files {
            let path = format!("/{name}");
            self.server.put_with(&path, bytes, self.serve);
            self.published.push(path);
        }
        self.half = files.first().map_or(0, |(_, bytes)| bytes.len() / 2);
    }

    fn source(&self) -> Url {
        self.server.url("/app")
    }

    fn options(&self) -> Options {
        Options::from([("proxy".to_owned(), vec!["none".to_owned()])])
    }

    fn inject(&mut self, fault: Fault) -> Result<(), Declined> {
        let script = match fault {
            Fault::OpenFails => vec![Step::Status(500)],
            Fault::Short => vec![Step::Send(self.half), Step::Close],
            Fault::ReadError => vec![Step::Send(self.half), Step::Stall(Duration::from_millis(50)), Step::Reset],
            Fault::Stall => vec![Step::Send(self.half), Step::Stall(Duration::from_secs(3600))],
            Fault::Missing => vec![Step::Status(404)],
            Fault::Forbidden => vec![Step::Status(403)],
            Fault::Throttled(wait) => {
                vec![Step::Status(429), Step::header("Retry-After", &wait.as_secs().to_string())]
            }
            Fault::NoValidators => {
                self.serve = Serve { etag: false, last_modified: false, ..Serve::default() };
                ["ETag", "Last-Modified"].map(|name| Step::WithoutHeader(name.to_owned())).to_vec()
            }
        };
        self.server.script_every("/app", script);
        Ok(())
    }

    fn clear(&mut self) {
        self.serve = Serve::default();
        self.server.clear_scripts();
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        Ok(self.server.connections())
    }

    fn secret(&self) -> Result<Secret, Declined> {
        let texts = vec!["hunter2-in-a-header".to_owned()];
        Ok(Secret { options: self.with_key(&texts[0]), texts })
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        self.server.require_header("/app", "X-Key", "right");
        Ok(Contrast { works: self.with_key("right"), fails: self.with_key("wrong") })
    }
}
