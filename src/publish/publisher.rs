//! A publisher with its key in memory: for demonstrations and tests.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fetchd_fetchers::{Release as Offered, Revision};
use semver::Version;
use serde_json::Value;

use super::files::replace;
use super::sign::{beside, bind};
use super::{
    ArtifactFile, BoundTo, Comment, NewRelease, PublishError, PublishOptions, Published, SignOptions, SigningKey,
    publish_to_dir, sign_file, sign_manifest,
};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::state::Record;
use crate::trust::manifest::{Revoked, What};
use crate::trust::{self, Choice, Chosen, Expect, KeySet, Manifest, Offer, Policy, PublicKey, Refused, Trust};

/// Publishes to a directory with a key that is nowhere else.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let publisher = fetchd::publish::Publisher::new(dir.path())?;
/// publisher.publish("1.0.0", b"the bytes of the first binary")?;
/// publisher.publish("1.1.0", b"the bytes of the second one")?;
/// assert_eq!(publisher.newest()?.version().map(ToString::to_string).as_deref(), Some("1.1.0"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Publisher {
    pub(super) dir: PathBuf,
    product: String,
    channel: String,
    target: String,
    pub(super) key: SigningKey,
}

impl Publisher {
    /// A new key for `dir`: product `app`, channel `stable`, the target of this machine.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Publisher, PublishError> {
        Ok(Publisher {
            dir: dir.into(),
            product: "app".to_owned(),
            channel: "stable".to_owned(),
            target: host_target(),
            key: SigningKey::generate()?,
        })
    }

    /// The same publisher with another key.
    #[must_use]
    pub fn signing(mut self, key: SigningKey) -> Publisher {
        self.key = key;
        self
    }

    /// The same publisher for another product.
    #[must_use]
    pub fn product(mut self, product: &str) -> Publisher {
        self.product = product.to_owned();
        self
    }

    /// The same publisher for another channel.
    #[must_use]
    pub fn channel(mut self, channel: &str) -> Publisher {
        self.channel = channel.to_owned();
        self
    }

    /// The same publisher for another target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Publisher {
        self.target = target.to_owned();
        self
    }

    /// The same publisher in another directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Publisher {
        self.dir = dir.into();
        self
    }

    /// Publishes a release whose binary is `binary`.
    pub fn publish(&self, version: &str, binary: &[u8]) -> Result<Published, PublishError> {
        self.publish_with(version, binary, |_| {})
    }

    /// Publishes a release after `edit` has changed its terms: rollout, `min_from`, targets.
    pub fn publish_with(
        &self,
        version: &str,
        binary: &[u8],
        edit: impl FnOnce(&mut NewRelease),
    ) -> Result<Published, PublishError> {
        let mut file =
            tempfile::NamedTempFile::new().map_err(PublishError::io("create", Path::new("a temporary file")))?;
        file.write_all(binary).map_err(PublishError::io("write", file.path()))?;
        let path = file.path().to_owned();
        let artifact =
            ArtifactFile { target: self.target.clone(), path, format: Some(trust::Format::Raw), entry: None };
        let mut release = NewRelease::new(parse(version)?, vec![artifact]);
        edit(&mut release);
        self.change(|options| options.release = Some(release))
    }

    /// Publishes again after `edit` has changed the options: yank, revoke, expiry, archives.
    pub fn change<'a>(&'a self, edit: impl FnOnce(&mut PublishOptions<'a>)) -> Result<Published, PublishError> {
        let keys = std::slice::from_ref(&self.key);
        let mut options = PublishOptions::new(&self.dir, &self.product, &self.channel, keys);
        edit(&mut options);
        publish_to_dir(&options)
    }

    /// Withdraws a version.
    pub fn yank(&self, version: &str) -> Result<Published, PublishError> {
        let version = parse(version)?;
        self.change(|options| options.yank = vec![version])
    }

    /// Says that a version must never run.
    pub fn revoke(&self, version: &str, reason: &str) -> Result<Published, PublishError> {
        let revoked = Revoked { what: What::Version(parse(version)?), reason: reason.to_owned() };
        self.change(|options| options.revoke = vec![revoked])
    }

    /// Signs whatever `edit` makes of the current manifest and puts it at the pointer, unchecked:
    /// what an attacker with the key, or a careless publisher, could do.
    pub fn forge(&self, edit: impl FnOnce(&mut Value)) -> Result<(), PublishError> {
        let mut manifest = self.manifest()?;
        edit(&mut manifest);
        replace(&self.pointer(), 0o644, &sign_manifest(&manifest, std::slice::from_ref(&self.key))?)
    }

    /// Writes an artifact called `name` and beside it a signature that binds it to a version.
    pub fn publish_bound(&self, name: &str, version: &str, artifact: &[u8]) -> Result<PathBuf, PublishError> {
        let to = self.bound_to(version)?;
        let path = self.place(name, artifact)?;
        let comment = bind(&to, name, artifact.len() as u64)?;
        let text = self.key.sign(&mut &*artifact, &comment, "signed with fetchd, bound to a release")?;
        replace(&beside(&path), 0o644, text.as_bytes())?;
        Ok(path)
    }

    /// Writes an artifact called `name` and beside it a signature as `minisign` makes one.
    pub fn publish_plain(&self, name: &str, artifact: &[u8]) -> Result<PathBuf, PublishError> {
        let path = self.place(name, artifact)?;
        sign_file(&SignOptions {
            key: &self.key,
            file: &path,
            comment: Comment::Default,
            output: None,
            overwrite: true,
        })?;
        Ok(path)
    }

    fn place(&self, name: &str, artifact: &[u8]) -> Result<PathBuf, PublishError> {
        fs::create_dir_all(&self.dir).map_err(PublishError::io("create", &self.dir))?;
        let path = self.dir.join(name);
        replace(&path, 0o644, artifact)?;
        Ok(path)
    }

    /// What a version of this publisher's product is signed as.
    pub fn bound_to(&self, version: &str) -> Result<BoundTo, PublishError> {
        Ok(BoundTo {
            product: self.product.clone(),
            version: parse(version)?,
            channel: self.channel.clone(),
            target: self.target.clone(),
            issued: None,
            expires: None,
            seq: None,
            entry: None,
            binsha256: None,
        })
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Its public half, as an operator passes it to `--key`.
    pub fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    /// The set of this one key.
    pub fn keys(&self) -> Result<KeySet, Refused> {
        KeySet::new(vec![self.public_key().clone()], 1)
    }

    /// What an operator's host expects of this publisher, artifacts of up to 1 GiB.
    pub fn expect(&self) -> Expect {
        Expect {
            product: self.product.clone(),
            channel: self.channel.clone(),
            target: self.target.clone(),
            epoch: None,
            max_size: 1 << 30,
        }
    }

    /// The channel pointer's path.
    pub fn pointer(&self) -> PathBuf {
        self.dir.join(format!("{}.fetchd", self.channel))
    }

    /// The source URL of the channel, for a host on this machine.
    pub fn source(&self) -> String {
        format!("file:{}", self.pointer().display())
    }

    /// The bytes at the channel pointer.
    pub fn document(&self) -> Result<Vec<u8>, PublishError> {
        fs::read(self.pointer()).map_err(PublishError::io("read", &self.pointer()))
    }

    /// The manifest at the channel pointer.
    pub fn manifest(&self) -> Result<Value, PublishError> {
        let bundle = trust::bundle::Bundle::parse(&self.document()?)?;
        trust::strict_json(bundle.claimed_payload(), 8).map_err(PublishError::Usage)
    }

    /// The manifest at the channel pointer, as a host would read it now.
    pub fn read(&self) -> Result<Manifest, PublishError> {
        let document = self.document()?;
        let release = Offered { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
        let offer = Offer { release: &release, document: Some(&document), signature: None, asset: None };
        Ok(trust::read(&offer, &Trust::Bundle { keys: self.keys()? }, &self.expect(), Timestamp::now())?)
    }

    /// What a host with nothing running would take now.
    pub fn newest(&self) -> Result<Chosen, PublishError> {
        let manifest = self.read()?;
        match trust::choose(&manifest, &Record::default(), &Policy::default(), &self.expect(), Timestamp::now()) {
            Choice::Take(chosen) => Ok(*chosen),
            Choice::Held(refused) => Err(refused.into()),
            Choice::UpToDate { .. } => {
                Err(Refused::new("release.none", Exit::Stale, "nothing is there to be taken").into())
            }
        }
    }
}

/// The target triple of this machine, as artifacts for it are published.
pub fn host_target() -> String {
    let arch = std::env::consts::ARCH;
    let env = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    match std::env::consts::OS {
        "linux" => format!("{arch}-unknown-linux-{env}"),
        "macos" => format!("{arch}-apple-darwin"),
        os => format!("{arch}-unknown-{os}"),
    }
}

fn parse(version: &str) -> Result<Version, PublishError> {
    Version::parse(version).map_err(|_| PublishError::Usage(format!("`{version}` is not a version")))
}
