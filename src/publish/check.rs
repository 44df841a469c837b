//! What an operator's fetchd would say to a file, step by step.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use fetchd_fetchers::{Asset, AssetName, Release, Revision};
use serde::Serialize;

use super::PublishError;
use super::sign::beside;
use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::trust::bundle::Bundle;
use crate::trust::{
    self, Bound, Expect, KeySet, Manifest, Offer, Proof, PublicKey, Refused, Signature, Trust, blake2b512_reader,
};

/// How the file is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A bundle (`<channel>.fetchd`).
    Bundle,
    /// A file with a signature that binds it to a release.
    Bound,
    /// A file with any signature.
    Plain,
}

/// What to check.
#[derive(Debug, Clone)]
pub struct VerifyOptions<'a> {
    /// The bundle or the artifact.
    pub file: &'a Path,
    /// Its signature; `None` = `<file>.minisig`. A bundle has none of its own.
    pub signature: Option<&'a Path>,
    /// Who may have signed it.
    pub keys: &'a KeySet,
    /// How it must be signed; `None` = as it is.
    pub mode: Option<Mode>,
    /// Must be of this product; `None` = of the one it says.
    pub product: Option<&'a str>,
    /// Must be of this channel; `None` = of the one it says.
    pub channel: Option<&'a str>,
    /// Must be for this target; `None` = for the one it says.
    pub target: Option<&'a str>,
    /// Must be of this epoch, that of the key set; `None` = of any.
    pub epoch: Option<u64>,
    /// The time to check expiry against.
    pub now: Timestamp,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// How it was checked.
    pub mode: Mode,
    /// The checks in the order in which they were made; the last one failed if any did.
    pub steps: Vec<Step>,
    /// The numbers of the keys whose signatures hold.
    pub signed_by: Vec<String>,
    /// What the signatures bind the bytes to; `None` = nothing, or it could not be read.
    pub says: Option<Says>,
    /// Why it is refused; `None` = it holds.
    pub refused: Option<Reported>,
}

impl Checked {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.refused.is_none()
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was checked.
    pub check: &'static str,
    /// Whether it held.
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// What is signed, once the signature held.
#[derive(Debug, Clone, Serialize)]
pub struct Says {
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
    /// The epoch; 0 where none is signed.
    pub epoch: u64,
    /// The number of the manifest, where one is signed.
    pub seq: Option<u64>,
    /// When it was signed.
    pub issued: Option<Timestamp>,
    /// When it stops being good for new installs; `None` = never.
    pub expires: Option<Timestamp>,
    /// The version below which nothing is ever installed.
    pub min_version: Option<String>,
    /// The releases, in the order of the manifest.
    pub releases: Vec<Listed>,
}

/// One release of a manifest, or the one that an artifact is bound to.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its version.
    pub version: String,
    /// Withdrawn.
    pub yanked: bool,
    /// Why it must never run; `None` = it may.
    pub revoked: Option<String>,
    /// Its artifacts.
    pub artifacts: Vec<ListedArtifact>,
}

/// One artifact of a release.
#[derive(Debug, Clone, Serialize)]
pub struct ListedArtifact {
    /// The target triple.
    pub target: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Says {
    fn of(manifest: &Manifest, expect: Expect) -> Says {
        let listed = |release: &trust::manifest::Release| Listed {
            version: release.version.as_ref().map(ToString::to_string).unwrap_or_default(),
            yanked: release.yanked,
            revoked: manifest.revocation(release.version.as_ref(), &[]).map(str::to_owned),
            artifacts: release
                .artifacts
                .iter()
                .map(|artifact| ListedArtifact {
                    target: artifact.target.clone().unwrap_or_default(),
                    size: artifact.size.unwrap_or_default(),
                })
                .collect(),
        };
        Says {
            product: expect.product,
            channel: expect.channel,
            epoch: manifest.epoch(),
            seq: manifest.seq(),
            issued: manifest.issued(),
            expires: manifest.expires(),
            min_version: manifest.min_version().map(ToString::to_string),
            releases: manifest.releases().iter().map(listed).collect(),
        }
    }
}

/// Checks a file as an operator's fetchd would, and says at which check it fails.
///
/// `Err` only if a file cannot be read; a file that is refused is an answer.
pub fn verify(options: &VerifyOptions<'_>) -> Result<Checked, PublishError> {
    let looks_like_bundle = || -> Result<bool, PublishError> {
        if options.file.extension().is_some_and(|extension| extension == "fetchd") {
            return Ok(true);
        }
        let size = fs::metadata(options.file).map_err(PublishError::io("read", options.file))?.len();
        Ok(size <= trust::bundle::MAX_FILE as u64
            && Bundle::parse(&bounded(options.file, trust::bundle::MAX_FILE)?).is_ok())
    };
    if options.mode == Some(Mode::Bundle) || (options.mode.is_none() && looks_like_bundle()?) {
        return Ok(bundle(options, &bounded(options.file, trust::bundle::MAX_FILE)?));
    }
    let beside = beside(options.file);
    let signature = match bounded(options.signature.unwrap_or(&beside), Signature::MAX_FILE) {
        Ok(signature) => signature,
        Err(PublishError::Io { source, path, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let message = format!("there is no signature `{}`", path.display());
            let refused = Refused::new("signature.missing", crate::failure::Exit::Trust, message)
                .hint("sign it with `fetchd sign`, or name its signature with `--minisig`");
            let mut steps = Steps::new(options.mode.unwrap_or(Mode::Bound));
            let outcome = steps.note("signature file", Err::<(), _>(refused), |()| String::new());
            return Ok(steps.done(outcome));
        }
        Err(error) => return Err(error),
    };
    let mut file = File::open(options.file).map_err(PublishError::io("open", options.file))?;
    let size = file.metadata().map_err(PublishError::io("read", options.file))?.len();
    let hash = blake2b512_reader(&mut file).map_err(PublishError::io("read", options.file))?;
    let name = options.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let asset = AssetName::new(name).map_err(|e| PublishError::Usage(e.to_string()))?;
    Ok(artifact(options, &signature, &asset, size, &hash))
}

/// The bytes of `path`, at most one more than the `limit` of what is ever accepted.
fn bounded(path: &Path, limit: usize) -> Result<Vec<u8>, PublishError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(PublishError::io("open", path))?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(PublishError::io("read", path))?;
    Ok(bytes)
}

fn bundle(options: &VerifyOptions<'_>, document: &[u8]) -> Checked {
    let mut steps = Steps::new(Mode::Bundle);
    let outcome = (|| {
        let bundle = steps.note("bundle", Bundle::parse(document), |b| match b.signatures().len() {
            1 => "1 signature".to_owned(),
            several => format!("{several} signatures"),
        })?;
        let claimed = trust::strict_json(bundle.claimed_payload(), 8).unwrap_or_default();
        let hash = trust::blake2b512(bundle.claimed_payload());
        let signed = |key: &&PublicKey| bundle.signatures().iter().any(|text| signature_of(text, key, &hash).is_ok());
        let signers: Vec<String> = options.keys.keys().iter().filter(signed).map(PublicKey::keynum).collect();
        let threshold = options.keys.threshold();
        steps.note("signatures", bundle.verified(options.keys), |_| {
            format!("by `{}`; {threshold} of {} trusted keys needed", signers.join("`, `"), options.keys.keys().len())
        })?;
        steps.signed_by = signers;
        let said = |key: &str| claimed[key].as_str().unwrap_or_default().to_owned();
        let expect = Expect {
            product: options.product.map_or_else(|| said("product"), str::to_owned),
            channel: options.channel.map_or_else(|| said("channel"), str::to_owned),
            target: options.target.unwrap_or_default().to_owned(),
            epoch: options.epoch,
            max_size: u64::MAX,
        };
        let release = nothing(None);
        let offer = Offer { release: &release, document: Some(document), signature: None, asset: None };
        let read = trust::read(&offer, &Trust::Bundle { keys: options.keys.clone() }, &expect, options.now);
        let manifest = steps.note("manifest", read, |manifest| {
            let count = match manifest.releases().len() {
                1 => "1 release".to_owned(),
                several => format!("{several} releases"),
            };
            format!("number {}, {count}", manifest.seq().unwrap_or(0))
        })?;
        steps.says = Some(Says::of(&manifest, expect));
        steps.note("expiry", fresh(manifest.expires(), options.now), Clone::clone)?;
        if let Some(target) = options.target {
            let has = |r: &trust::manifest::Release| r.artifacts.iter().any(|a| a.target.as_deref() == Some(target));
            let listed = if manifest.releases().iter().any(has) {
                Ok(format!("listed for `{target}`"))
            } else {
                let message = format!("no release has an artifact for `{target}`");
                Err(Refused::new("release.no_target", crate::failure::Exit::Content, message))
            };
            steps.note("target", listed, Clone::clone)?;
        }
        Ok(())
    })();
    steps.done(outcome)
}

fn artifact(options: &VerifyOptions<'_>, signature: &[u8], asset: &AssetName, size: u64, hash: &[u8; 64]) -> Checked {
    let parsed = Signature::parse(signature);
    let bound = parsed.as_ref().ok().and_then(|signature| Bound::parse(signature.claimed_comment()).ok());
    let mode = options.mode.unwrap_or(if bound.is_some() { Mode::Bound } else { Mode::Plain });
    let mut steps = Steps::new(mode);
    let outcome = (|| {
        let claimed = parsed.as_ref().ok().map(Signature::keynum);
        steps.note("signature file", parsed, |signature| format!("by the key `{}`", signature.keynum()))?;
        let said = |given: Option<&str>, field: fn(&Bound) -> &String| match (given, &bound) {
            (Some(given), _) => given.to_owned(),
            (None, Some(bound)) => field(bound).clone(),
            (None, None) => String::new(),
        };
        let expect = Expect {
            product: said(options.product, |bound| &bound.product),
            channel: said(options.channel, |bound| &bound.channel),
            target: said(options.target, |bound| &bound.target),
            epoch: options.epoch,
            max_size: u64::MAX,
        };
        let keys = options.keys.clone();
        let trust = if mode == Mode::Plain { Trust::Plain { keys } } else { Trust::Bound { keys } };
        let release = nothing(Some(asset.clone()));
        let offer = Offer { release: &release, document: None, signature: Some(signature), asset: Some(asset) };
        let read = trust::read(&offer, &trust, &expect, options.now);
        if let (Ok(_), Some(signature)) = (&read, &claimed) {
            steps.signed_by = vec![signature.clone()];
        }
        let manifest = steps.note("comment", read, |manifest| match manifest.releases() {
            [only] => only.version.as_ref().map_or_else(|| "binds no version".to_owned(), |v| format!("version `{v}`")),
            _ => String::new(),
        })?;
        let signed = manifest.releases().first().and_then(|release| release.artifacts.first()).and_then(|a| a.size);
        steps.note("size", same_size(signed, size), Clone::clone)?;
        if let Proof::Artifact(proof) = manifest.proof() {
            let signer = std::mem::take(&mut steps.signed_by);
            steps.note("bytes", proof.check(hash), |()| "the signature is of these bytes".to_owned())?;
            steps.signed_by = signer;
        }
        steps.says = (mode == Mode::Bound).then(|| Says::of(&manifest, expect));
        steps.note("expiry", fresh(manifest.expires(), options.now), Clone::clone)?;
        Ok(())
    })();
    steps.done(outcome)
}

/// Whether `key` made this signature of the message with this digest.
pub(super) fn signature_of(text: &str, key: &PublicKey, hash: &[u8; 64]) -> Result<(), Refused> {
    let keys = KeySet::new(vec![key.clone()], 1)?;
    keys.verify(hash, &[text.as_bytes()])
}

fn same_size(signed: Option<u64>, size: u64) -> Result<String, Refused> {
    match signed {
        Some(signed) if signed != size => {
            let message = format!("the file is {size} bytes long, and {signed} are signed");
            Err(Refused::new("artifact.size", crate::failure::Exit::Content, message))
        }
        Some(_) => Ok(format!("{size} bytes, as signed")),
        None => Ok(format!("{size} bytes; no size is signed")),
    }
}

fn fresh(expires: Option<Timestamp>, now: Timestamp) -> Result<String, Refused> {
    match expires {
        Some(expires) if expires <= now => {
            let message = format!("it expired at `{expires}`");
            Err(Refused::new("manifest.expired", crate::failure::Exit::Stale, message))
        }
        Some(expires) => Ok(format!("good until `{expires}`")),
        None => Ok("never expires".to_owned()),
    }
}

fn nothing(asset: Option<AssetName>) -> Release {
    let assets = asset.into_iter().map(|name| Asset { name, size: None, digest: None, handle: None }).collect();
    Release { revision: Revision(String::new()), label: None, assets, document: None }
}

struct Steps {
    mode: Mode,
    steps: Vec<Step>,
    signed_by: Vec<String>,
    says: Option<Says>,
}

impl Steps {
    fn new(mode: Mode) -> Steps {
        Steps { mode, steps: Vec::new(), signed_by: Vec::new(), says: None }
    }

    fn note<T>(
        &mut self,
        check: &'static str,
        outcome: Result<T, Refused>,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, Refused> {
        let step = match &outcome {
            Ok(value) => Step { check, held: true, found: found(value) },
            Err(refused) => Step { check, held: false, found: refused.to_string() },
        };
        self.steps.push(step);
        outcome
    }

    fn done(self, outcome: Result<(), Refused>) -> Checked {
        let Steps { mode, steps, signed_by, says } = self;
        Checked { mode, steps, signed_by, says, refused: outcome.err().map(Reported::from) }
    }
}
