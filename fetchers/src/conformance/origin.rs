//! What a fetcher's test must provide.

use std::time::Duration;

use url::Url;

use crate::{Options, Registry};

/// A place under the test's control that one kind of fetcher can read.
pub trait Origin {
    /// Puts a release in place of the one before, all of it at once: the files' names and bytes.
    /// The first is the object that [`Origin::source`] shows.
    fn publish(&mut self, files: &[(&str, &[u8])]);

    /// The URL of the source. It is the same whatever is published, as long as the first file has
    /// the same name; the rules call it `app`.
    fn source(&self) -> Url;

    /// Options that the source needs here.
    fn options(&self) -> Options {
        Options::new()
    }

    /// Where the fetcher is registered.
    fn registry(&self) -> Registry {
        Registry::builtin()
    }

    /// Makes the source misbehave until [`Origin::clear`].
    fn inject(&mut self, fault: Fault) -> Result<(), Declined>;

    /// Ends every fault.
    fn clear(&mut self);

    /// How many bodies are being read just now.
    fn open_bodies(&self) -> Result<usize, Declined>;

    /// Options with a secret in them, and the secret.
    fn secret(&self) -> Result<Secret, Declined>;

    /// Options that the source answers and options that it refuses.
    fn contrast(&mut self) -> Result<Contrast, Declined>;
}

/// How a source misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The next `open` fails.
    OpenFails,
    /// Bodies end in order after half of their bytes.
    Short,
    /// Bodies break off with an error of the transport after half of their bytes.
    ReadError,
    /// Bodies stop after half of their bytes, for longer than any test runs.
    Stall,
    /// Nothing is there.
    Missing,
    /// The source refuses us.
    Forbidden,
    /// The source asks for fewer requests, and to stay away that long.
    Throttled(Duration),
    /// The source shows nothing by which two states of an object could be told apart.
    NoValidators,
}

/// Why a rule does not apply to a fetcher. It is printed where the test would have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declined(
    /// The reason, as the end of a sentence.
    pub &'static str,
);

/// Options that hold a secret.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Given besides [`Origin::options`].
    pub options: Options,
    /// The text that must appear nowhere.
    pub texts: Vec<String>,
}

/// Two sets of options, complete, one of which the source does not answer.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// With these a poll succeeds.
    pub works: Options,
    /// With these a poll of the same source fails.
    pub fails: Options,
}
