//! Signatures beside files.

use std::fs::File;
use std::path::{Path, PathBuf};

use semver::Version;

use super::files::{create_once, replace};
use super::{PublishError, SigningKey};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::trust::{Bound, blake2b512_reader, is_channel, is_product, is_target};

/// What the trusted comment says.
#[derive(Debug, Clone)]
pub enum Comment {
    /// What `minisign` writes: the time and the file's name.
    Default,
    /// Any text.
    Free(String),
    /// Which product, version and target the file is: fetchd's artifact mode.
    Bound(Box<BoundTo>),
}

/// What a file is signed as. Its name and size are taken from the file.
#[derive(Debug, Clone)]
pub struct BoundTo {
    /// The product.
    pub product: String,
    /// The version.
    pub version: Version,
    /// The channel.
    pub channel: String,
    /// The target triple.
    pub target: String,
    /// When it is signed; `None` leaves it out.
    pub issued: Option<Timestamp>,
    /// When it stops being good for new installs: the only protection from a frozen source.
    pub expires: Option<Timestamp>,
    /// Its place in the order of releases: protects from replays.
    pub seq: Option<u64>,
    /// The entry of the archive that is the binary.
    pub entry: Option<String>,
    /// The digest of the binary.
    pub binsha256: Option<Sha256>,
}

/// How to sign a file.
#[derive(Debug, Clone)]
pub struct SignOptions<'a> {
    /// The key.
    pub key: &'a SigningKey,
    /// The file.
    pub file: &'a Path,
    /// The trusted comment.
    pub comment: Comment,
    /// Where the signature goes; `None` = `<file>.minisig`.
    pub output: Option<&'a Path>,
    /// Replace a signature that is there.
    pub overwrite: bool,
}

/// Signs a file and says where the signature is.
///
/// Fails with [`PublishError::Exists`] if there is one already, unless told to overwrite it, and
/// with [`PublishError::Usage`] for a name that cannot be read back.
pub fn sign_file(options: &SignOptions<'_>) -> Result<PathBuf, PublishError> {
    let name = options
        .file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| PublishError::Usage(format!("`{}` names no file", options.file.display())))?;
    let mut file = File::open(options.file).map_err(PublishError::io("open", options.file))?;
    let metadata = file.metadata().map_err(PublishError::io("read", options.file))?;
    let (comment, untrusted) = match &options.comment {
        Comment::Default => (format!("timestamp:{}\tfile:{name}\thashed", Timestamp::now().0), "signed with fetchd"),
        Comment::Free(text) => (text.clone(), "signed with fetchd"),
        Comment::Bound(to) => (bind(to, name, metadata.len())?, "signed with fetchd, bound to a release"),
    };
    let text = options.key.sign(&mut file, &comment, untrusted)?;
    // The file may have changed under the reader; what was signed is what counts.
    let mut file = File::open(options.file).map_err(PublishError::io("open", options.file))?;
    let hash = blake2b512_reader(&mut file).map_err(PublishError::io("read", options.file))?;
    super::check::signature_of(&text, options.key.public(), &hash)?;
    let beside = beside(options.file);
    let output = options.output.unwrap_or(&beside);
    if options.overwrite {
        replace(output, 0o644, text.as_bytes())?;
    } else {
        if output.symlink_metadata().is_ok() {
            return Err(PublishError::Exists(output.display().to_string()));
        }
        create_once(output, 0o644, text.as_bytes())?;
    }
    Ok(output.to_owned())
}

/// The comment that binds a file called `name` of `size` bytes, read back before it is used.
pub(super) fn bind(to: &BoundTo, name: &str, size: u64) -> Result<String, PublishError> {
    let usage = |what: &str, value: &str| PublishError::Usage(format!("`{value}` cannot be a {what}"));
    if !is_product(&to.product) {
        return Err(usage("product", &to.product));
    }
    if !is_channel(&to.channel) {
        return Err(usage("channel", &to.channel));
    }
    if !is_target(&to.target) {
        return Err(usage("target", &to.target));
    }
    let bound = Bound {
        product: to.product.clone(),
        version: to.version.clone(),
        channel: to.channel.clone(),
        target: to.target.clone(),
        file: name.to_owned(),
        size,
        issued: to.issued,
        expires: to.expires,
        seq: to.seq,
        entry: to.entry.clone(),
        binsha256: to.binsha256,
    };
    let comment = bound.to_comment();
    if Bound::parse(&comment).ok().as_ref() != Some(&bound) {
        return Err(usage("file name or entry of a bound signature", name));
    }
    Ok(comment)
}

/// Where the signature of `file` belongs.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".minisig");
    PathBuf::from(path)
}
