//! `fetchd keys`: key sets, made on one machine, signed on others, published from a third.

mod shown;

use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use self::shown::Shown;
use super::publish::To;
use super::release::{self, Day, Replacement, path, signing_key};
use super::{Failed, Out, load, out};
use crate::clock::Timestamp;
use crate::config;
use crate::durable;
use crate::failure::{Exit, Reported};
use crate::publish::{
    KeyChange, KeyDraft, PublishError, RoleChange, complete_keys, first_keys, next_keys, publish_keys,
};
use crate::trust::{KeySet, PublicKey, Refused, TrustedKeys};

pub(super) fn init(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let product = config::product(&settings)?;
    let now = Timestamp::now();
    let role = |id: &str, threshold: &str| -> Result<KeySet, Reported> {
        Ok(KeySet::new(public_keys(matches, id)?, number(matches, threshold).unwrap_or(1))?)
    };
    let (root, release) = (role("root", "root-threshold")?, role("release", "release-threshold")?);
    let expires = matches.get_one::<Day>("expires").and_then(|day| day.from(now));
    let epoch = matches.get_one("epoch").copied().unwrap_or(0);
    let document = first_keys(&product, root, release, expires, epoch, now)?;
    write_new(matches, KeyDraft::new(&document)?, None, out)
}

pub(super) fn add(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let (keys, file) = keys_and_file(matches)?;
    let add = keys.iter().map(|text| public_key(text)).collect::<Result<_, _>>()?;
    edit(matches, RoleChange { add, ..RoleChange::default() }, file, out)
}

pub(super) fn remove(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let (keys, file) = keys_and_file(matches)?;
    let remove = keys.iter().map(|text| number_of(text)).collect::<Result<_, _>>()?;
    edit(matches, RoleChange { remove, ..RoleChange::default() }, file, out)
}

fn keys_and_file(matches: &ArgMatches) -> Result<(Vec<&String>, &Path), Failed> {
    let mut words: Vec<&String> = matches.get_many("words").unwrap_or_default().collect();
    match words.pop() {
        Some(file) if !words.is_empty() => Ok((words, Path::new(file))),
        _ => {
            let hint = "give the keys, and last the file of the key set before".to_owned();
            Err(Failed::Usage { message: "a key or the key set before is missing".to_owned(), hint })
        }
    }
}

fn edit(matches: &ArgMatches, mut role: RoleChange, file: &Path, out: &mut Out) -> Result<Exit, Reported> {
    role.threshold = number(matches, "threshold");
    let mut change = KeyChange::default();
    match matches.get_one::<String>("role").map(String::as_str) {
        Some("root") => change.root = role,
        _ => change.release = role,
    }
    next(matches, change, file, out)
}

pub(super) fn rotate(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let role = |add: &str, remove: &str, threshold: &str| -> Result<RoleChange, Reported> {
        Ok(RoleChange {
            add: public_keys(matches, add)?,
            remove: numbers(matches, remove)?,
            threshold: number(matches, threshold),
        })
    };
    let replace = matches.get_many::<Replacement>("replace").unwrap_or_default();
    let replace = replace.map(|one| Ok((number_of(&one.old)?, public_key(&one.new)?)));
    let change = KeyChange {
        root: role("add-root", "remove-root", "root-threshold")?,
        release: role("add-release", "remove-release", "release-threshold")?,
        replace: replace.collect::<Result<_, Reported>>()?,
        expires: None,
        bump_epoch: matches.get_flag("bump-epoch"),
    };
    next(matches, change, file(matches), out)
}

/// The next version after the one in `from`.
fn next(matches: &ArgMatches, mut change: KeyChange, from: &Path, out: &mut Out) -> Result<Exit, Reported> {
    let now = Timestamp::now();
    change.expires = matches.get_one::<Day>("expires").map(|day| day.from(now));
    let before = complete_keys(&read(from)?)?;
    let document = next_keys(&before, &change, now)?;
    if change.bump_epoch {
        let (product, epoch) = (&document.product, document.epoch);
        out::say(&format!(
            "warning: this key set begins epoch {epoch} of {product}: once hosts have it, they take manifests of epoch \
             {epoch} alone, whatever their numbers were before; publish every channel again with `--keys` right after it"
        ));
    }
    write_new(matches, KeyDraft::new(&document)?, Some((&before, from)), out)
}

/// Signs the draft with the keys that are here and writes it to a new file.
fn write_new(
    matches: &ArgMatches,
    mut draft: KeyDraft,
    before: Option<(&TrustedKeys, &Path)>,
    out: &mut Out,
) -> Result<Exit, Reported> {
    let Some(to) = output(matches)? else { return Ok(Exit::Usage) };
    let (before, previous) = before.unzip();
    for secret in matches.get_many::<PathBuf>("secret-key").unwrap_or_default() {
        draft.sign(&signing_key(secret)?, before)?;
    }
    durable::write(to, 0o644, &draft.to_file())?;
    Shown::new(&draft, before, previous).wrote(to).print(out);
    Ok(Exit::Done)
}

pub(super) fn sign(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let from = file(matches);
    let to = output(matches)?.unwrap_or(from);
    let mut draft = KeyDraft::parse(&read(from)?)?;
    let (before, previous) = previous(matches)?;
    let before = before.as_ref();
    for signature in matches.get_many::<PathBuf>("signature").unwrap_or_default() {
        let bytes = read(signature)?;
        if bytes.starts_with(b"{") {
            if draft.merge(&KeyDraft::parse(&bytes)?, before)?.is_empty() {
                let message = format!("nobody who can has signed `{}`", signature.display());
                let hint = "name the key set before with `--previous FILE` if its root keys have".to_owned();
                return Err(Refused::new("signature.missing", Exit::Trust, message).hint(hint).into());
            }
        } else {
            draft.attach(&String::from_utf8_lossy(&bytes), before)?;
        }
    }
    for secret in matches.get_many::<PathBuf>("secret-key").unwrap_or_default() {
        draft.sign(&signing_key(secret)?, before)?;
    }
    durable::write(to, 0o644, &draft.to_file())?;
    Shown::new(&draft, before, previous).wrote(to).print(out);
    Ok(Exit::Done)
}

pub(super) fn show(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let draft = KeyDraft::parse(&read(file(matches))?)?;
    if matches.get_flag("payload") {
        out.bytes(draft.payload());
        return Ok(Exit::Done);
    }
    let (before, previous) = previous(matches)?;
    if let Some(before) = &before {
        draft.follows(before)?;
    }
    Shown::new(&draft, before.as_ref(), previous).print(out);
    Ok(Exit::Done)
}

pub(super) fn publish(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let from = file(matches);
    let bytes = read(from)?;
    let to = matches.get_one::<String>("to").map(String::as_str).unwrap_or_default();
    if to.starts_with("github:") {
        let message = "a repository on GitHub holds no key sets".to_owned();
        let hint = "publish them to a directory or a bucket, and give hosts that as `keys`".to_owned();
        return Err(Failed::Usage { message, hint }.into());
    }
    let before = matches.get_one::<PathBuf>("previous").map(|path| read(path)).transpose()?;
    let now = Timestamp::now();
    let (shown, keys, there) = match To::open(to)? {
        To::Directory(dir) => {
            let done = publish_keys(dir.as_path(), &bytes, before.as_deref(), now).map_err(advised)?;
            (done.location.display().to_string(), done.keys, done.there)
        }
        #[cfg(feature = "s3")]
        To::Bucket(place) => {
            let done = publish_keys(&*place, &bytes, before.as_deref(), now).map_err(advised)?;
            (done.location.to_string(), done.keys, done.there)
        }
    };
    shown::published(&shown, &keys, there, out);
    Ok(Exit::Done)
}

/// The failure with what can be done about it here.
fn advised(error: PublishError) -> Reported {
    let exists = matches!(error, PublishError::Exists(_));
    let mut failure = Reported::from(error);
    if failure.code.starts_with("signature.") && failure.hint.is_none() {
        failure.hint = Some("`fetchd keys show FILE --previous OLD` says who has not signed".to_owned());
    }
    if exists {
        failure.hint = Some("a key set that was published stays as it is: make the next version after it".to_owned());
    }
    failure
}

fn file(matches: &ArgMatches) -> &Path {
    matches.get_one::<PathBuf>("file").map(PathBuf::as_path).unwrap_or(Path::new(""))
}

/// Where the key set goes, if that is said; asked before any password is.
fn output(matches: &ArgMatches) -> Result<Option<&Path>, Failed> {
    let Some(to) = matches.get_one::<PathBuf>("output") else { return Ok(None) };
    if !matches.get_flag("force") && to.symlink_metadata().is_ok() {
        return Err(Failed::Exists { path: to.clone() });
    }
    Ok(Some(to))
}

/// The key set before, if it is given.
fn previous(matches: &ArgMatches) -> Result<(Option<TrustedKeys>, Option<&Path>), Reported> {
    match matches.get_one::<PathBuf>("previous") {
        Some(path) => Ok((Some(complete_keys(&read(path)?)?), Some(path))),
        None => Ok((None, None)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    release::readable(path)?;
    fs::read(path).map_err(|source| Failed::Unreadable { path: path.to_owned(), source })
}

fn number(matches: &ArgMatches, id: &str) -> Option<usize> {
    matches.get_one::<u64>(id).map(|number| usize::try_from(*number).unwrap_or(usize::MAX))
}

pub(super) fn public_keys(matches: &ArgMatches, id: &str) -> Result<Vec<PublicKey>, Reported> {
    matches.get_many::<String>(id).unwrap_or_default().map(|text| public_key(text)).collect()
}

fn numbers(matches: &ArgMatches, id: &str) -> Result<Vec<String>, Reported> {
    matches.get_many::<String>(id).unwrap_or_default().map(|text| number_of(text)).collect()
}

/// A public key, as it is or in a file.
pub(super) fn public_key(text: &str) -> Result<PublicKey, Reported> {
    match PublicKey::parse(text) {
        Ok(key) => Ok(key),
        // A weak key is not the name of a file.
        Err(refused) if text.len() == 56 && !Path::new(text).exists() => Err(refused.into()),
        Err(_) => {
            let bytes = read(Path::new(text))?;
            let shown = path(Path::new(text));
            PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|refused| {
                let mut failure = Reported::from(refused);
                failure.message = format!("{shown}: {}", failure.message);
                failure
            })
        }
    }
}

/// The number of a key that is named by it, or given as it is or in a file.
fn number_of(text: &str) -> Result<String, Reported> {
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_uppercase());
    }
    Ok(public_key(text)?.keynum())
}
