//! Keys that are configured, and the files they are in.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_sdk_s3::config::Credentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::options::{ConfigError, Known};

/// A file with a key is smaller than this.
const FILE_LIMIT: u64 = 4096;

/// An access key from the options. A file is read anew for each client, so that the key in it can
/// be renewed in place.
#[derive(Clone)]
pub(crate) struct Keys {
    access_key_id: String,
    secret: Secret,
    session_token: Option<String>,
}

#[derive(Clone)]
enum Secret {
    Given(String),
    File(PathBuf),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Keys {
    /// Takes the keys of `options`, and tries their file once.
    pub(super) fn read(options: Known<'_>) -> Result<Option<Keys>, ConfigError> {
        let given = options.one("secret_access_key")?.map(|secret| Secret::Given(secret.to_owned()));
        let file = options.path("secret_access_key_file")?.map(Secret::File);
        let session_token = options.one("session_token")?.map(str::to_owned);
        let (secret, access_key_id) = match (given, file, options.one("access_key_id")?) {
            (Some(_), Some(_), _) => {
                return Err(ConfigError::new("both `secret_access_key` and `secret_access_key_file` are given"));
            }
            (None, None, None) if session_token.is_none() => return Ok(None),
            (Some(secret), None, Some(id)) | (None, Some(secret), Some(id)) => (secret, id.to_owned()),
            _ => {
                return Err(ConfigError::new("an access key is given in part")
                    .hint("give `access_key_id` with `secret_access_key_file` or `secret_access_key`"));
            }
        };
        let keys = Keys { access_key_id, secret, session_token };
        keys.credentials()?;
        if let Secret::File(file) = &keys.secret {
            warn_if_open("secret_access_key_file", file);
        }
        Ok(Some(keys))
    }

    /// The keys as the SDK takes them.
    pub(super) fn credentials(&self) -> Result<Credentials, ConfigError> {
        let secret = match &self.secret {
            Secret::Given(secret) => secret.clone(),
            Secret::File(file) => {
                let bytes = contents("secret_access_key_file", file)?;
                let text = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned());
                text.filter(|text| !text.is_empty() && !text.contains(char::is_whitespace))
                    .ok_or_else(|| ConfigError::new("the `secret_access_key_file` does not hold one line with a key"))?
            }
        };
        Ok(Credentials::new(&self.access_key_id, secret, self.session_token.clone(), None, "options"))
    }
}

/// A key of the customer's that the server decrypts the object with (SSE-C).
#[derive(Clone)]
pub(crate) struct CustomerKey {
    file: PathBuf,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The key in the three texts that a request carries.
#[derive(Clone)]
pub(crate) struct CustomerKeyHeaders {
    pub(crate) algorithm: &'static str,
    pub(crate) key: String,
    pub(crate) md5: String,
}

impl CustomerKey {
    pub(super) fn read(options: Known<'_>) -> Result<Option<CustomerKey>, ConfigError> {
        let Some(file) = options.path("sse_customer_key_file")? else { return Ok(None) };
        let key = CustomerKey { file };
        key.headers()?;
        warn_if_open("sse_customer_key_file", &key.file);
        Ok(Some(key))
    }

    /// Reads the key: 32 bytes, or their base64 on one line.
    pub(super) fn headers(&self) -> Result<CustomerKeyHeaders, ConfigError> {
        let bytes = contents("sse_customer_key_file", &self.file)?;
        let key = match bytes.len() {
            32 => Some(bytes),
            _ => STANDARD.decode(bytes.trim_ascii()).ok().filter(|key| key.len() == 32),
        };
        let key = key.ok_or_else(|| {
            ConfigError::new("the `sse_customer_key_file` holds neither 32 bytes nor the base64 of 32 bytes")
        })?;
        Ok(CustomerKeyHeaders {
            algorithm: "AES256",
            md5: STANDARD.encode(Md5::digest(&key)),
            key: STANDARD.encode(&key),
        })
    }
}

/// What is in `file`. Errors name the option and not the file: where a path is meant, people
/// paste the key itself.
fn contents(option: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    let refused = |why: &str| ConfigError::new(format!("the `{option}` {why}"));
    let seen = fs::metadata(file).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    if !seen.is_file() || seen.len() > FILE_LIMIT {
        return Err(refused("is not a file of at most 4,096 bytes"));
    }
    fs::read(file).map_err(|error| refused(&format!("cannot be read: {error}")))
}

fn warn_if_open(option: &str, file: &Path) {
    if let Ok(seen) = fs::metadata(file)
        && seen.permissions().mode() & 0o077 != 0
    {
        let mode = format!("{:04o}", seen.permissions().mode() & 0o7777);
        tracing::warn!(option, %mode, "a file of secrets is open to other users; make it 0600");
    }
}
