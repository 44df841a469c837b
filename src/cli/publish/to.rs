//! Where `fetchd publish` publishes to: what `--to` names.

use std::path::PathBuf;

use crate::cli::Failed;
use crate::failure::Reported;
#[cfg(feature = "s3")]
use crate::publish::{BucketPlace, Place as _};

/// A place, by its kind. Each scheme that can be published to has a line in [`To::open`].
#[derive(Debug)]
pub(in crate::cli) enum To {
    /// A path or a `file:` URL.
    Directory(PathBuf),
    /// An `s3:` URL.
    #[cfg(feature = "s3")]
    Bucket(Box<BucketPlace>),
}

impl To {
    /// Finds the place, with its credentials where it needs some; nothing is asked of it yet.
    pub(in crate::cli) fn open(to: &str) -> Result<To, Reported> {
        if to.is_empty() {
            return Err(usage("the place to publish to is empty".to_owned()).into());
        }
        match scheme(to) {
            None => Ok(To::Directory(PathBuf::from(to))),
            Some("file") => {
                let url = fetchd_fetchers::parse_source(to).map_err(|error| usage(error.message))?;
                let path = url.to_file_path();
                let path =
                    path.map_err(|()| usage("this `file:` URL names no directory of this machine".to_owned()))?;
                Ok(To::Directory(path))
            }
            #[cfg(feature = "s3")]
            Some("s3") => {
                let url = url::Url::parse(to).map_err(|error| usage(format!("`--to` is not a valid URL: {error}")))?;
                Ok(To::Bucket(Box::new(BucketPlace::open(&url, &fetchd_fetchers::Options::new())?)))
            }
            #[cfg(not(feature = "s3"))]
            Some("s3") => {
                let message = "this fetchd was built without the feature `s3`, and cannot publish to `s3:`".to_owned();
                Err(Failed::Usage {
                    message,
                    hint: "build it with `--features s3`, or publish to a directory".to_owned(),
                }
                .into())
            }
            #[cfg(not(feature = "github"))]
            Some("github") => {
                let message = "this fetchd was built without the feature `github`, and cannot publish to `github:`";
                Err(Failed::Usage {
                    message: message.to_owned(),
                    hint: "build it with `--features github`, or publish to a directory".to_owned(),
                }
                .into())
            }
            Some(scheme) => Err(usage(format!("this fetchd cannot publish to `{scheme}:`")).into()),
        }
    }

    /// Whether there is such a channel.
    pub(super) fn holds(&self, channel: &str) -> Result<bool, Reported> {
        let pointer = format!("{channel}.fetchd");
        match self {
            To::Directory(dir) => Ok(dir.join(pointer).exists()),
            #[cfg(feature = "s3")]
            To::Bucket(place) => Ok(place.peek(&pointer)?.is_some()),
        }
    }

    /// The place in a message.
    pub(super) fn shown(&self) -> String {
        match self {
            To::Directory(dir) => dir.display().to_string(),
            #[cfg(feature = "s3")]
            To::Bucket(place) => place.show(""),
        }
    }
}

fn usage(message: String) -> Failed {
    let hint = "give a path, `s3://BUCKET/PREFIX` or `github://OWNER/REPOSITORY`".to_owned();
    Failed::Usage { message, hint }
}

/// The scheme, if `to` is a URL rather than a path.
fn scheme(to: &str) -> Option<&str> {
    to.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}
