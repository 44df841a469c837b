//! An S3 source as configured.

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::config::Region;
use url::Url;

use super::secrets::{CustomerKey, Keys};
use crate::options::{ConfigError, Known, Options};
use crate::parts::Plan;
use crate::redact::redact;

/// The options an S3 source takes.
const OPTIONS: [&str; 20] = [
    "access_key_id",
    "checksums",
    "connect_timeout",
    "connections",
    "endpoint",
    "expected_bucket_owner",
    "part_size",
    "path_style",
    "profile",
    "proxy",
    "read_timeout",
    "region",
    "request_payer",
    "secret_access_key",
    "secret_access_key_file",
    "session_token",
    "sse_customer_key_file",
    "timeout",
    "unsigned",
    "version_id",
];

/// Options whose value would be seen in the arguments of a process if it stood in a URL.
const NOT_IN_A_URL: [&str; 3] = ["secret_access_key", "session_token", "proxy"];

/// Where an S3 source is and how it is reached: `s3://bucket/key` with its options.
///
/// Debug shows no secret; the test `secrets_are_not_shown` proves it.
#[derive(Clone)]
pub struct Settings {
    /// `s3://bucket/key` without options: what errors name.
    pub(crate) url: Url,
    pub(crate) bucket: String,
    /// May be empty or end in `/`: a place to publish to.
    pub(crate) key: String,
    pub(crate) region: Option<Region>,
    pub(crate) endpoint: Option<Url>,
    pub(crate) path_style: Option<bool>,
    pub(crate) version_id: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) expected_bucket_owner: Option<String>,
    pub(crate) request_payer: bool,
    pub(crate) unsigned: bool,
    pub(crate) keys: Option<Keys>,
    pub(crate) customer_key: Option<CustomerKey>,
    /// Whether the SDK compares checksums wherever a server sends them.
    pub(crate) validates: bool,
    /// How an object is read in parts.
    pub(crate) plan: Plan,
    /// For name, connection and TLS.
    pub(crate) connect_timeout: Duration,
    /// The longest silence while an answer or its body is awaited.
    pub(crate) read_timeout: Duration,
    /// For one poll, with its credentials and its document.
    pub(crate) timeout: Duration,
    pub(crate) proxy: Option<Proxy>,
}

/// A proxy that is configured, against what the environment says.
#[derive(Clone)]
pub(crate) enum Proxy {
    /// Connect directly.
    Direct,
    /// Through this one. The URL may hold a password.
    Through(Url),
}

impl Settings {
    /// Takes apart `s3://bucket/key?option=value`; options come from the URL's query and from
    /// `options` alike. Nothing is read from the network.
    pub fn read(url: &Url, options: &Options) -> Result<Settings, ConfigError> {
        let (place, bucket, key) = place(url)?;
        let mut options = options.clone();
        for (name, value) in url.query_pairs() {
            if NOT_IN_A_URL.contains(&name.as_ref()) {
                return Err(ConfigError::new(format!(
                    "the option `{name}` stands in the URL, where others can see it"
                ))
                .hint("put it into `[source.options]`"));
            }
            options.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        let options = Known::check(&options, &OPTIONS)?;
        let text = |name| options.one(name).map(|value| value.map(str::to_owned));
        let unsigned = flag(options, "unsigned")?.unwrap_or(false);
        let keys = Keys::read(options)?;
        if unsigned && (keys.is_some() || options.one("profile")?.is_some()) {
            return Err(ConfigError::new("`unsigned` is set beside credentials")
                .hint("leave out `unsigned`, or the keys and the profile"));
        }
        let plan = Plan::read(options, PART_SIZE)?;
        let endpoint = endpoint(options)?;
        let customer_key = CustomerKey::read(options)?;
        if customer_key.is_some() && endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http") {
            tracing::warn!(source = %place, "the customer's key travels unencrypted; use https");
        }
        Ok(Settings {
            url: place,
            bucket,
            key,
            region: region(options)?,
            path_style: flag(options, "path_style")?,
            endpoint,
            version_id: text("version_id")?,
            profile: text("profile")?,
            expected_bucket_owner: text("expected_bucket_owner")?,
            request_payer: flag(options, "request_payer")?.unwrap_or(false),
            unsigned,
            keys,
            customer_key,
            validates: validates(options)?,
            plan,
            connect_timeout: positive(options, "connect_timeout", 10)?,
            read_timeout: positive(options, "read_timeout", 30)?,
            timeout: positive(options, "timeout", 30)?,
            proxy: proxy(options)?,
        })
    }

    /// `s3://bucket/key`, without options.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key, decoded and without a leading `/`; empty where the URL names the bucket alone.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The URL of another key of the same bucket, for an error.
    pub(crate) fn url_of(&self, key: &str) -> Url {
        let mut url = self.url.clone();
        let path: Vec<_> = key.split('/').map(|part| percent_encoding::utf8_percent_encode(part, PATH)).collect();
        url.set_path(&path.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"));
        url
    }
}

/// What is encoded in the path of a URL that is only shown.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'/');

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.url.as_str())
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_ref().map(redact))
            .field("profile", &self.profile)
            .field("keys", &self.keys)
            .field("customer_key", &self.customer_key)
            .field("plan", &self.plan)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The URL without options, the bucket and the key.
fn place(url: &Url) -> Result<(Url, String, String), ConfigError> {
    let refused = |what: &str| ConfigError::new(format!("the source {what}")).hint("it looks like `s3://bucket/key`");
    if url.scheme() != "s3" {
        return Err(refused("is not one of S3"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err(refused("names a user or a port; a server is named by the option `endpoint`"));
    }
    if url.fragment().is_some() {
        return Err(ConfigError::new("the source has a `#`").hint("write `%23` for a `#` in a key"));
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from);
    let bucket = url.host_str().and_then(decoded).filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or_else(|| refused("names no bucket"))?;
    if bucket.contains(['/', '?', '#']) || bucket.chars().any(char::is_control) {
        return Err(refused("names a bucket that cannot exist"));
    }
    let key = decoded(url.path().strip_prefix('/').unwrap_or_default());
    let key = key.ok_or_else(|| refused("names a key that is not UTF-8"))?;
    let mut place = url.clone();
    place.set_query(None);
    Ok((place, bucket, key))
}

fn region(options: Known<'_>) -> Result<Option<Region>, ConfigError> {
    let sound = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match options.one("region")? {
        None => Ok(None),
        Some(name) => match Some(name).filter(sound) {
            Some(name) => Ok(Some(Region::new(name.to_owned()))),
            None => Err(ConfigError::new("the option `region` is not the name of a region")
                .hint("write it as `eu-central-1`; some servers want `auto` or a name of their own")),
        },
    }
}

fn endpoint(options: Known<'_>) -> Result<Option<Url>, ConfigError> {
    let Some(text) = options.one("endpoint")? else { return Ok(None) };
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(plain);
    url.map(Some).ok_or_else(|| {
        ConfigError::new("the option `endpoint` is not the URL of a server")
            .hint("write `https://s3.example.com`, without the bucket, a user or a query")
    })
}

fn proxy(options: Known<'_>) -> Result<Option<Proxy>, ConfigError> {
    match options.one("proxy")? {
        None => Ok(None),
        Some("none") => Ok(Some(Proxy::Direct)),
        Some(text) => {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.map(|url| Some(Proxy::Through(url))).ok_or_else(|| {
                ConfigError::new("the option `proxy` is not the URL of a proxy")
                    .hint("write `http://proxy.example.com:3128`, or `none` to ignore the environment")
            })
        }
    }
}

fn validates(options: Known<'_>) -> Result<bool, ConfigError> {
    match options.one("checksums")? {
        None | Some("when_supported") => Ok(true),
        Some("when_required") => Ok(false),
        Some(_) => Err(ConfigError::new("the option `checksums` is neither `when_supported` nor `when_required`")),
    }
}

/// What a part is where nothing is configured. Four of them and a client come to less than 48 MiB,
/// whatever the reader's pace.
const PART_SIZE: u64 = 4 * 1024 * 1024;

fn flag(options: Known<'_>, name: &str) -> Result<Option<bool>, ConfigError> {
    match options.one(name)? {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(ConfigError::new(format!("the option `{name}` is neither `true` nor `false`"))),
    }
}

fn positive(options: Known<'_>, name: &str, default: u64) -> Result<Duration, ConfigError> {
    let time = options.duration(name, Duration::from_secs(default))?;
    if time.is_zero() { Err(ConfigError::new(format!("the option `{name}` is zero"))) } else { Ok(time) }
}
