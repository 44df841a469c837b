//! What the commands of an operator work with: the store, the names, the keys.

use std::path::PathBuf;

use clap::ArgMatches;

use crate::cli::keys::{public_key, public_keys};
use crate::cli::release::signing_key;
use crate::cli::{Failed, load};
use crate::clock::Timestamp;
use crate::config::{self, Effective};
use crate::failure::Reported;
use crate::fleet::Names;
use crate::fleet::store::BucketStore;
use crate::publish::SigningKey;
use crate::rollout::Desk;
use crate::trust::KeySet;

/// Everything that was given.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: BucketStore,
    pub(super) names: Names,
    /// Who may sign rollouts.
    pub(super) online: KeySet,
    /// Who may sign releases, if anybody was named.
    pub(super) offline: Option<KeySet>,
    /// Who signs.
    pub(super) keys: Vec<SigningKey>,
}

/// The names of the product and channel below the store's prefix.
pub(super) fn names(store: &BucketStore, settings: &Effective) -> Result<Names, Reported> {
    let product = config::product(settings)?;
    let channel = settings.text("channel").unwrap_or_default();
    let names = Names::new(&store.carrier().prefix(), &product, channel);
    names.ok_or_else(|| {
        let hint = "letters, digits, `.`, `_` and `-`, beginning with a letter or a digit".to_owned();
        Failed::Usage { message: format!("`{product}` or `{channel}` cannot be part of a key"), hint }.into()
    })
}

impl Opened {
    /// Reads the keys, and finds the store. `signs`: secret keys are needed.
    pub(super) fn new(matches: &ArgMatches, signs: bool) -> Result<Opened, Reported> {
        let settings = load(matches)?;
        let store = super::store(matches)?;
        let names = names(&store, &settings)?;
        let mut keys = Vec::new();
        let given = matches.get_many::<PathBuf>("rollout-key").unwrap_or_default();
        if signs && given.len() == 0 {
            return Err(missing(
                "it is not known who signs the rollout",
                "give `--rollout-key FILE`, or only look with `--dry-run`",
            ));
        }
        for path in given {
            keys.push(signing_key(path)?);
        }
        let offline = if settings.list("key").is_empty() { None } else { Some(config::key_set(&settings)?) };
        if let Some(key) = keys.iter().find(|key| offline.as_ref().is_some_and(|set| set.keys().contains(key.public())))
        {
            let message =
                format!("{} signs releases, and hosts take no rollout that it has signed", key.public().keynum());
            return Err(missing(
                &message,
                "give the online key with `--rollout-key`; `fetchd fleet init --make-key` makes one",
            ));
        }
        let mut online = public_keys(matches, "fleet-key")?;
        if online.is_empty() && keys.is_empty() {
            online = settings.list("fleet.key").iter().map(|text| public_key(text)).collect::<Result<_, _>>()?;
        }
        if online.is_empty() {
            online.extend(keys.iter().map(|key| key.public().clone()));
        }
        if online.is_empty() {
            return Err(missing(
                "it is not known who may sign rollouts",
                "give `--fleet-key KEY`, the public half of the online key, or set FETCHD_FLEET_KEY",
            ));
        }
        Ok(Opened { store, names, online: KeySet::new(online, 1)?, offline, keys })
    }

    /// The desk to work at.
    pub(super) fn desk(&mut self) -> Desk<'_> {
        let desk = Desk::new(&mut self.store, self.names.clone(), self.online.clone(), Timestamp::now());
        Desk { offline: self.offline.clone(), ..desk }
    }
}

fn missing(message: &str, hint: &str) -> Reported {
    Failed::Usage { message: message.to_owned(), hint: hint.to_owned() }.into()
}
