//! Secret keys, in files that the `minisign` program reads as well.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, SecretKey, SecretKeyBox};

use super::PublishError;
use super::files::{create_once, replace};
use crate::trust::{self, PublicKey};

/// The environment variable the command line takes a key's password from.
pub const PASSWORD_ENV: &str = "FETCHD_KEY_PASSWORD";

/// A secret key that can sign, and the public key that belongs to it.
#[derive(Clone)]
pub struct SigningKey {
    // The crate's own Debug prints the secret: never derive it here.
    secret: SecretKey,
    public: PublicKey,
}

impl SigningKey {
    /// A new key that is nowhere but in memory.
    pub fn generate() -> Result<SigningKey, PublishError> {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(unusable(Path::new("(in memory)")))?;
        SigningKey::of(pair, Path::new("(in memory)"))
    }

    /// Reads a secret key file of fetchd, minisign or rsign2.
    ///
    /// Fails with [`PublishError::PasswordNeeded`] if it is encrypted and `password` is `None`. An
    /// unencrypted key ignores the password.
    pub fn load(path: &Path, password: Option<String>) -> Result<SigningKey, PublishError> {
        let boxed = boxed(path)?;
        let secret = match (is_encrypted(&boxed), password) {
            (false, _) => unencrypted(boxed, path)?,
            (true, Some(password)) => boxed.into_secret_key(Some(password)).map_err(unusable(path))?,
            (true, None) => return Err(PublishError::PasswordNeeded(path.to_owned())),
        };
        let public = minisign::PublicKey::from_secret_key(&secret).map_err(unusable(path))?;
        SigningKey::of(KeyPair { pk: public, sk: secret }, path)
    }

    /// Whether the file holds an encrypted key, so that its password has to be asked for.
    pub fn needs_password(path: &Path) -> Result<bool, PublishError> {
        Ok(is_encrypted(&boxed(path)?))
    }

    fn of(pair: KeyPair, path: &Path) -> Result<SigningKey, PublishError> {
        let public = PublicKey::parse(&pair.pk.to_base64())?;
        if pair.sk.is_encrypted() {
            return Err(PublishError::PasswordNeeded(path.to_owned()));
        }
        Ok(SigningKey { secret: pair.sk, public })
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs everything `message` yields: the four lines of a `.minisig` file.
    ///
    /// Fails if a comment holds a control character other than a tab, or if the message cannot be read.
    pub fn sign(&self, message: &mut dyn Read, trusted: &str, untrusted: &str) -> Result<String, PublishError> {
        let path = Path::new("(in memory)");
        let signed =
            minisign::sign(None, &self.secret, message, Some(trusted), Some(untrusted)).map_err(unusable(path))?;
        let text = signed.into_string();
        // What our own reader would not accept is not handed out.
        crate::trust::Signature::parse(text.as_bytes())?;
        Ok(text)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("secret", &"***").field("public", &self.public).finish()
    }
}

/// How a secret key file is protected.
#[derive(Clone)]
pub enum Protection {
    /// With a password, as `minisign -G` does it (1 GiB of memory and a second or two each time).
    Password(String),
    /// By its file mode alone, as `minisign -G -W` does it.
    None,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::Password(_) => "Password(***)",
            Protection::None => "None",
        })
    }
}

/// A key pair on disk.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// `NAME.key`, readable by its owner alone.
    pub secret: PathBuf,
    /// `NAME.pub`.
    pub public: PathBuf,
    /// What is in `NAME.pub`.
    pub key: PublicKey,
}

/// Makes a key pair and writes `NAME.key` (mode 0600) and `NAME.pub`, `NAME` being the path `name`.
///
/// Fails with [`PublishError::Exists`] if either is there: a key is never overwritten.
pub fn keygen(name: &Path, protection: Protection) -> Result<KeyFiles, PublishError> {
    let with = |suffix: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    keygen_at(&with(".key"), &with(".pub"), protection, false)
}

/// Makes a key pair and writes it to these two files, the secret one with mode 0600.
///
/// Fails with [`PublishError::Exists`] if either is there, unless told to `overwrite`; then the old
/// key is gone for good.
pub fn keygen_at(
    secret: &Path,
    public: &Path,
    protection: Protection,
    overwrite: bool,
) -> Result<KeyFiles, PublishError> {
    if secret == public {
        return Err(PublishError::Usage("the secret and the public key need a file each".into()));
    }
    for path in [secret, public] {
        if !overwrite && path.symlink_metadata().is_ok() {
            return Err(PublishError::Exists(path.display().to_string()));
        }
    }
    let pair = match protection {
        Protection::Password(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        Protection::None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(unusable(secret))?;
    let key = PublicKey::parse(&pair.pk.to_base64())?;
    let boxed = pair.sk.to_box(Some("fetchd secret key, keep it to yourself")).map_err(unusable(secret))?.into_string();
    if overwrite {
        replace(secret, 0o600, boxed.as_bytes())?;
        replace(public, 0o644, key.to_file().as_bytes())?;
    } else {
        create_once(secret, 0o600, boxed.as_bytes())?;
        // Half a pair would be in the way of the next try.
        create_once(public, 0o644, key.to_file().as_bytes()).inspect_err(|_| drop(fs::remove_file(secret)))?;
    }
    Ok(KeyFiles { secret: secret.to_owned(), public: public.to_owned(), key })
}

/// The crate insists on a checksum, and `minisign -GW` leaves it zero. Then the two halves of the
/// key, which belong together, are the checksum.
fn unencrypted(boxed: SecretKeyBox, path: &Path) -> Result<SecretKey, PublishError> {
    let bytes = boxed.to_string().lines().nth(1).and_then(|line| trust::decode_base64(line.as_bytes()));
    match bytes {
        Some(bytes) if bytes.len() == KEY_BYTES && bytes[CHECKSUM_AT..].iter().all(|&byte| byte == 0) => {
            let (seed, public) = bytes[SECRET_AT..CHECKSUM_AT].split_at(32);
            let derived = seed.try_into().map(|seed| ed25519_dalek::SigningKey::from_bytes(seed).verifying_key());
            if !derived.is_ok_and(|derived| derived.as_bytes() == public) {
                return Err(PublishError::Key { path: path.to_owned(), why: "corrupted key".into() });
            }
            SecretKey::from_bytes(&bytes).map_err(unusable(path))
        }
        _ => boxed.into_unencrypted_secret_key().map_err(unusable(path)),
    }
}

/// Where the 32 bytes of the seed and the 32 of the public key stand in a secret key.
const SECRET_AT: usize = 62;
const CHECKSUM_AT: usize = SECRET_AT + 64;
const KEY_BYTES: usize = CHECKSUM_AT + 32;

/// What is in the file. The public half of a pair lies beside the secret one, and is easily taken for it.
fn boxed(path: &Path) -> Result<SecretKeyBox, PublishError> {
    let text = fs::read_to_string(path).map_err(PublishError::io("read", path))?;
    if PublicKey::parse(&text).is_ok() {
        return Err(PublishError::PublicKey(path.to_owned()));
    }
    Ok(SecretKeyBox::from(text))
}

/// Whether the bytes after the algorithm name a way to derive a key from a password.
fn is_encrypted(boxed: &SecretKeyBox) -> bool {
    let text = boxed.to_string();
    // `RWRTYw` is base64 of `EdSc`: the algorithm, then scrypt.
    text.lines().nth(1).is_some_and(|line| line.starts_with("RWRTY"))
}

fn unusable(path: &Path) -> impl FnOnce(minisign::PError) -> PublishError {
    let path = path.to_owned();
    move |e| PublishError::Key { path, why: e.to_string().to_lowercase() }
}
