//! [Prism](https://github.com/stoplightio/prism) with GitHub's own description of its API: it
//! answers with GitHub's examples, or tells how far the answers of another server are from what
//! GitHub describes. `tests/all` installs both.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

/// Where `tests/all` puts what it installs.
const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/ci/node");
/// For Node to start and to read the description.
const START: Duration = Duration::from_secs(60);

/// A Prism that listens on a port of 127.0.0.1, killed when it is dropped.
#[derive(Debug)]
pub struct Prism {
    child: Child,
    url: Url,
    _home: TempDir,
}

impl Prism {
    /// Answers with GitHub's examples.
    ///
    /// # Panics
    /// If it is not installed or does not start within a minute.
    pub fn mock() -> Prism {
        Prism::start("mock", None)
    }

    /// Passes every request on to `upstream`. What is not as GitHub describes it, of the request or
    /// of the answer, is in the header `sl-violations` of what comes back.
    ///
    /// # Panics
    /// If it is not installed or does not start within a minute.
    pub fn proxy(upstream: &Url) -> Prism {
        Prism::start("proxy", Some(upstream))
    }

    /// Where it answers, as the root of an API.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    fn start(mode: &str, upstream: Option<&Url>) -> Prism {
        let description = installed("github.json");
        let program = installed("node_modules/@stoplight/prism-cli/dist/index.js");
        let home = TempDir::new().expect("a directory can be made");
        let log = home.path().join("log");
        let written = File::create(&log).expect("a file can be made");
        let mut command = Command::new("node");
        command.arg(program).args([mode, "--host", "127.0.0.1", "--port", "0"]).arg(description);
        command.args(upstream.map(Url::as_str)).env("NO_COLOR", "1").stdin(Stdio::null());
        command.stderr(written.try_clone().expect("a file can be opened twice")).stdout(written);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("`node` does not start ({error}): run tests/all"));
        match listening(&log, &mut child) {
            Ok(url) => Prism { child, url, _home: home },
            Err(error) => {
                end(&mut child);
                panic!("Prism does not start: {error}\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn installed(path: &str) -> PathBuf {
    let path = Path::new(HOME).join(path);
    assert!(path.exists(), "`{}` is missing: run tests/all, which installs it", path.display());
    path
}

/// Where it says that it listens.
fn listening(log: &Path, child: &mut Child) -> io::Result<Url> {
    let until = Instant::now() + START;
    loop {
        let text = fs::read_to_string(log)?;
        let found =
            text.split_once("Prism is listening on ").and_then(|(_, rest)| rest.split_once(char::is_whitespace));
        if let Some((url, _)) = found {
            return Url::parse(url).map_err(io::Error::other);
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
