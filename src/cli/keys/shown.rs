//! What `fetchd keys` says about a key set.

use std::path::Path;

use serde::Serialize;

use crate::cli::release::path;
use crate::cli::{ErrorBody, Out};
use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::publish::{KeyDraft, Role, Standing};
use crate::trust::{KeySet, TrustedKeys};

/// A key set, and where it stands.
pub(super) struct Shown<'a> {
    draft: &'a KeyDraft,
    standing: Standing,
    previous: Option<&'a Path>,
    wrote: Option<&'a Path>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(draft: &'a KeyDraft, before: Option<&TrustedKeys>, previous: Option<&'a Path>) -> Shown<'a> {
        Shown { draft, standing: draft.standing(before, Timestamp::now()), previous, wrote: None }
    }

    pub(super) fn wrote(self, path: &'a Path) -> Shown<'a> {
        Shown { wrote: Some(path), ..self }
    }

    pub(super) fn print(&self, out: &mut Out) {
        if out.json() { self.json(out) } else { self.text(out) }
    }

    fn roles(&self) -> impl Iterator<Item = (String, &Role)> {
        let version = self.draft.document().version;
        let before = self.standing.before.as_ref().map(|role| (format!("root of key set {}", version - 1), role));
        before.into_iter().chain([("own root".to_owned(), &self.standing.own)])
    }

    fn text(&self, out: &mut Out) {
        let document = self.draft.document();
        let until = document.expires.map_or("for ever".to_owned(), |expires| format!("until {expires}"));
        out.line(format!(
            "key set {} of {}: epoch {}, good {until}",
            document.version, document.product, document.epoch
        ));
        for (name, set, what) in [("root", &document.root, "key sets"), ("release", &document.release, "releases")] {
            out.line(format!("  {name}: {} of {} must sign {what}", set.threshold(), set.keys().len()));
            for key in set.keys() {
                out.line(format!("    {}  {key}", key.keynum()));
            }
        }
        for (name, role) in self.roles() {
            out.line(format!("  signed by its {name}: {role}").replace("by its root of", "by the root of"));
            for signer in &role.signers {
                out.line(format!("    {}  {}", signer.key.keynum(), if signer.signed { "signed" } else { "missing" }));
            }
        }
        match &self.standing.verdict {
            Some(Ok(())) => out.line("hosts accept it"),
            Some(Err(refused)) => out.line(format!("hosts refuse it: {refused}")),
            None => out.line(format!(
                "whether hosts accept it depends on key set {}: name it with `--previous FILE`",
                document.version - 1
            )),
        }
        let Some(wrote) = self.wrote else { return };
        out.line(format!("wrote {}", wrote.display()));
        let lacking = self.roles().any(|(_, role)| role.lacks() > 0);
        let previous = self.previous.map(|previous| format!(" --previous {}", path(previous))).unwrap_or_default();
        out.line(if lacking { "have it signed with:" } else { "publish it with:" });
        out.line(match lacking {
            true => format!("  fetchd keys sign {}{previous} --secret-key FILE", path(wrote)),
            false => format!("  fetchd keys publish {} --to PLACE", path(wrote)),
        });
    }

    fn json(&self, out: &mut Out) {
        #[derive(Serialize)]
        struct Answer<'a> {
            product: &'a str,
            version: u64,
            epoch: u64,
            expires: Option<Timestamp>,
            roles: Roles,
            signed: SignedBy,
            accepted: Option<bool>,
            refused: Option<ErrorBody<'a>>,
            wrote: Option<&'a Path>,
        }
        #[derive(Serialize)]
        struct Roles {
            root: Keys,
            release: Keys,
        }
        #[derive(Serialize)]
        struct SignedBy {
            previous: Option<Signers>,
            own: Signers,
        }
        let document = self.draft.document();
        let refused = self.standing.verdict.as_ref().and_then(|verdict| verdict.clone().err()).map(Reported::from);
        out.object(&Answer {
            product: &document.product,
            version: document.version,
            epoch: document.epoch,
            expires: document.expires,
            roles: Roles { root: Keys::of(&document.root), release: Keys::of(&document.release) },
            signed: SignedBy {
                previous: self.standing.before.as_ref().map(Signers::of),
                own: Signers::of(&self.standing.own),
            },
            accepted: self.standing.verdict.as_ref().map(Result::is_ok),
            refused: refused.as_ref().map(ErrorBody::of),
            wrote: self.wrote,
        });
    }
}

#[derive(Serialize)]
struct Keys {
    threshold: usize,
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    keynum: String,
    key: String,
}

impl Keys {
    fn of(set: &KeySet) -> Keys {
        let key = |key: &crate::trust::PublicKey| Key { keynum: key.keynum(), key: key.to_string() };
        Keys { threshold: set.threshold(), keys: set.keys().iter().map(key).collect() }
    }
}

#[derive(Serialize)]
struct Signers {
    threshold: usize,
    signed: Vec<String>,
    missing: Vec<String>,
}

impl Signers {
    fn of(role: &Role) -> Signers {
        let of = |signed: bool| {
            role.signers.iter().filter(|signer| signer.signed == signed).map(|signer| signer.key.keynum()).collect()
        };
        Signers { threshold: role.threshold, signed: of(true), missing: of(false) }
    }
}

/// What was published.
pub(super) fn published(at: &str, keys: &TrustedKeys, there: bool, out: &mut Out) {
    let document = keys.document();
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            product: &'a str,
            version: u64,
            epoch: u64,
            published: &'a str,
            there: bool,
        }
        let (version, epoch) = (keys.version(), keys.epoch());
        return out.object(&Answer { product: &document.product, version, epoch, published: at, there });
    }
    let how = if there { "is there already" } else { "published" };
    out.line(format!("key set {} of {}: {how}", keys.version(), document.product));
    out.line(format!("  {at}"));
}
