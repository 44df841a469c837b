//! What the tests of this suite share.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use fetchd::publish::Publisher;

use crate::site::{FETCHD, Site, Supervised, get};

/// An example, as cargo built it beside the tests, or fetchd itself.
pub(crate) fn example(name: &str) -> PathBuf {
    if name == "fetchd" {
        return PathBuf::from(FETCHD);
    }
    let path = Path::new(FETCHD).parent().unwrap().join("examples").join(name);
    assert!(path.is_file(), "`{}` is missing: run `cargo build --examples`", path.display());
    path
}

/// A site whose program is version 1.0.0 of an example.
pub(crate) struct Embed {
    pub(crate) site: Site,
    example: PathBuf,
}

impl Embed {
    pub(crate) fn of(name: &str) -> Embed {
        let mut embed = Embed { site: Site::empty(), example: example(name) };
        if name != "embedded" {
            // The others are products of their own names.
            embed.site.publisher = Publisher::new(embed.site.path().join("pub")).unwrap().product(name);
        }
        let made = embed.site.path().join("made");
        fetchd::demo::trailer::append(&embed.example, &made, &Trailer::version("1.0.0")).unwrap();
        // By a process of its own: a file that this one has written may still be open for writing in a child that another
        // test is just starting, and cannot be executed then.
        let copied = Command::new("cp").arg(&made).arg(embed.site.program()).status().unwrap();
        assert!(copied.success());
        embed
    }

    /// Publishes the example with this trailer as the version that it names; its digest.
    pub(crate) fn publish(&self, trailer: &Trailer) -> Sha256 {
        self.publish_as(&trailer.version, trailer)
    }

    /// The same under another version than it will print.
    pub(crate) fn publish_as(&self, version: &str, trailer: &Trailer) -> Sha256 {
        let bytes = binary(&self.example, trailer);
        self.site.publisher.publish(version, &bytes).unwrap();
        Sha256::of(&bytes)
    }

    /// Publishes another example with this trailer in its place.
    pub(crate) fn publish_example(&self, name: &str, trailer: &Trailer) -> Sha256 {
        let bytes = binary(&example(name), trailer);
        self.site.publisher.publish(&trailer.version, &bytes).unwrap();
        Sha256::of(&bytes)
    }

    /// The program with these arguments, and its settings in the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.site.program());
        command
            .args(arguments)
            .current_dir(self.site.path())
            .env("FETCHD_STATE_DIR", self.site.state_dir())
            .env("FETCHD_SOURCE", self.site.source())
            .env("FETCHD_KEY", self.site.publisher.public_key().to_string())
            .envs([("FETCHD_INTERVAL", "200ms"), ("FETCHD_JITTER", "0"), ("FETCHD_WATCH", "300ms")])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Starts it as a supervisor.
    pub(crate) fn run(&self, arguments: &[&str]) -> Supervised<'_> {
        self.site.supervise(self.command(arguments))
    }

    /// The digest of what lies at the program path.
    pub(crate) fn at_path(&self) -> Sha256 {
        Sha256::of(&fs::read(self.site.program()).unwrap())
    }
}

fn binary(example: &Path, trailer: &Trailer) -> Vec<u8> {
    let mut bytes = fs::read(example).unwrap();
    bytes.extend_from_slice(trailer.text().as_bytes());
    bytes
}

/// Clients that each send one request after the other, on a new connection each time.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Clients {
    pub(crate) fn start(address: SocketAddr) -> Clients {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = || {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match get(address, "/") {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(other) => lost.push(format!("{other:?}")),
                        Err(e) => lost.push(e.to_string()),
                    }
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                lost
            })
        };
        let threads = (0..4).map(|_| client()).collect();
        Clients { stop, answered, threads }
    }

    /// Ends them. Every request must have been answered.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let lost: Vec<String> = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(lost.is_empty(), "{} of {answered} requests were lost: {lost:?}", lost.len());
        assert!(answered > 0, "no request was sent");
    }
}

/// The line of an answer that begins with this word.
#[track_caller]
pub(crate) fn said(address: SocketAddr, word: &str) -> String {
    let answer = get(address, "/").unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{word} ")));
    line.unwrap_or_else(|| panic!("no `{word}` in {answer}")).to_owned()
}
