//! What the commands that only look at a rollout need: the bucket, the names, and whose word counts.

use std::path::Path;

use clap::ArgMatches;

use super::super::{Failed, load};
use crate::clock::Timestamp;
use crate::config;
use crate::failure::Reported;
use crate::fleet::Names;
use crate::fleet::head::Rollouts;
use crate::fleet::store::BucketStore;
use crate::rollout::View;
use crate::rollout::view::Looker;
use crate::trust::{KeySet, PublicKey};

/// A rollout that is looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) store: BucketStore,
    pub(super) rollouts: Rollouts,
    looker: Looker,
}

impl Looked {
    /// The one that the command line names. Nothing is asked of the store yet.
    pub(super) fn of(matches: &ArgMatches) -> Result<Looked, Reported> {
        let settings = load(matches)?;
        let product = config::product(&settings)?;
        let channel = settings.text("channel").unwrap_or_default();
        let store = super::store(matches)?;
        let names = Names::new(&store.carrier().prefix(), &product, channel).ok_or_else(|| Failed::Usage {
            message: format!("`{product}` and `{channel}` cannot be a product and a channel"),
            hint: "they have letters, digits, `.`, `_` and `-`".to_owned(),
        })?;
        let keys = matches.get_many::<String>("fleet-key").unwrap_or_default();
        let keys = KeySet::new(keys.map(|key| public_key(key)).collect::<Result<_, _>>()?, 1)?;
        Ok(Looked { store, looker: Looker::new(names.clone()), rollouts: Rollouts { keys, names } })
    }

    /// What is to be seen now.
    pub(super) fn look(&mut self) -> Result<View, Reported> {
        self.looker.look(&mut self.store, &self.rollouts, Timestamp::now())
    }
}

/// A key, or the file it is in.
fn public_key(text: &str) -> Result<PublicKey, Reported> {
    PublicKey::parse(text).or_else(|refused| {
        let path = Path::new(text);
        let bytes = match std::fs::read_to_string(path) {
            Ok(bytes) => bytes,
            // A file's name has a dot or a slash, a key none.
            Err(source) if text.contains(['.', '/']) || path.exists() => {
                return Err(Failed::Unreadable { path: path.to_owned(), source }.into());
            }
            Err(_) => return Err(refused.into()),
        };
        PublicKey::parse(&bytes).map_err(Reported::from)
    })
}
