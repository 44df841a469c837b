//! Releases, good and bad, that come out the same each time: fixed keys, fixed dates, fixed numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::Signer as _;
use fetchd::digest::Sha256;
use serde_json::{Value, json};

use crate::table::Files;

/// The product, the channel and the target of the whole suite.
pub const PRODUCT: &str = "app";
pub const CHANNEL: &str = "stable";
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
pub const POINTER: &str = "stable.fetchd";

/// The number of the manifest that lists what runs; a case has [`SEQ`], the good release after it [`LATER`].
pub const FIRST: u64 = 10;
pub const SEQ: u64 = 11;
pub const LATER: u64 = 20;

/// A key pair made from a number. It signs as minisign does, and as no honest program would.
#[derive(Clone)]
pub struct Signer {
    secret: ed25519_dalek::SigningKey,
    pub keynum: [u8; 8],
}

impl Signer {
    pub fn new(seed: u8) -> Signer {
        Signer { secret: ed25519_dalek::SigningKey::from_bytes(&[seed; 32]), keynum: [seed; 8] }
    }

    /// The same key under another number.
    pub fn numbered(mut self, keynum: [u8; 8]) -> Signer {
        self.keynum = keynum;
        self
    }

    /// What `--key` takes.
    pub fn public(&self) -> String {
        encode(&[&b"Ed"[..], &self.keynum, self.secret.verifying_key().as_bytes()].concat())
    }

    /// The four lines of a signature.
    pub fn sign(&self, message: &[u8], comment: &str) -> String {
        let s = self.secret.sign(&blake2b512(message)).to_bytes();
        self.text(b"ED", &s, comment, &self.global(&s, comment))
    }

    /// The four lines of a signature of the raw message: `minisign -l`.
    pub fn sign_legacy(&self, message: &[u8], comment: &str) -> String {
        let s = self.secret.sign(message).to_bytes();
        self.text(b"Ed", &s, comment, &self.global(&s, comment))
    }

    /// The signature of a signature and its comment.
    pub fn global(&self, s: &[u8; 64], comment: &str) -> [u8; 64] {
        self.secret.sign(&[&s[..], comment.as_bytes()].concat()).to_bytes()
    }

    /// Four lines of these parts.
    pub fn text(&self, algorithm: &[u8; 2], s: &[u8; 64], comment: &str, g: &[u8; 64]) -> String {
        let blob = encode(&[&algorithm[..], &self.keynum, s].concat());
        format!("untrusted comment: signature\n{blob}\ntrusted comment: {comment}\n{}\n", encode(g))
    }
}

/// Who signs: the publisher that is trusted, and others.
pub struct Maker {
    /// Trusted.
    pub publisher: Signer,
    /// A second person of the publisher's, trusted where a case says so.
    pub second: Signer,
    /// Nobody.
    pub stranger: Signer,
}

impl Maker {
    pub fn new() -> Maker {
        Maker { publisher: Signer::new(1), second: Signer::new(2), stranger: Signer::new(3) }
    }

    /// A release of `version` in a manifest with the number `seq`, as a good publisher would make it.
    pub fn good(&self, seq: u64, version: &str) -> Files {
        self.with(seq, version, |_| {})
    }

    /// The same after `edit` has changed the manifest, signed all the same.
    pub fn with(&self, seq: u64, version: &str, edit: impl FnOnce(&mut Value)) -> Files {
        let mut manifest = manifest(seq, version);
        edit(&mut manifest);
        let pointer = bundle(manifest.to_string().as_bytes(), &[&self.publisher]);
        Files::from([(POINTER.to_owned(), pointer), (artifact_name(version), program(version))])
    }

    /// A release of `version` whose binary is `binary`.
    pub fn with_binary(&self, seq: u64, version: &str, binary: &[u8]) -> Files {
        let digest = Sha256::of(binary).to_string();
        let mut files = self.with(seq, version, |manifest| {
            let artifact = &mut manifest["releases"][0]["artifacts"][0];
            for name in ["size", "binary_size"] {
                artifact[name] = binary.len().into();
            }
            for name in ["sha256", "binary_sha256"] {
                artifact[name] = digest.clone().into();
            }
        });
        files.insert(artifact_name(version), binary.to_owned());
        files
    }

    /// The good release of a case, with the bundle's JSON changed by `edit` after it was signed.
    pub fn tampered(&self, edit: impl FnOnce(&mut Value)) -> Files {
        let mut files = self.good(SEQ, "1.1.0");
        let mut bundle: Value = serde_json::from_slice(&files[POINTER]).unwrap();
        edit(&mut bundle);
        files.insert(POINTER.to_owned(), format!("{bundle}\n").into_bytes());
        files
    }

    /// The same with the first signature's text replaced.
    pub fn resigned(&self, edit: impl FnOnce(&str) -> String) -> Files {
        self.tampered(|bundle| {
            let text = edit(bundle["minisig"][0].as_str().unwrap());
            bundle["minisig"][0] = text.into();
        })
    }

    /// The release of a case with its manifest signed by `signers` in place of the publisher.
    pub fn signed_by(&self, seq: u64, version: &str, signers: &[&Signer]) -> Files {
        let mut files = self.good(seq, version);
        files.insert(POINTER.to_owned(), bundle(manifest(seq, version).to_string().as_bytes(), signers));
        files
    }

    /// An artifact with a signature file beside it whose comment binds it, in artifact mode.
    pub fn bound(&self, version: &str, comment: &str) -> Files {
        let (name, binary) = (artifact_name(version), program(version));
        let signature = self.publisher.sign(&binary, comment);
        Files::from([(format!("{name}.minisig"), signature.into_bytes()), (name, binary)])
    }

    /// The release of a case in artifact mode, with the text of its signature replaced.
    pub fn rebound(&self, edit: impl FnOnce(&str) -> String) -> Files {
        let mut files = self.bound("1.1.0", &binding("1.1.0"));
        let signature = files.get_mut(&format!("{}.minisig", artifact_name("1.1.0"))).unwrap();
        *signature = edit(std::str::from_utf8(signature).unwrap()).into_bytes();
        files
    }
}

/// The comment that binds an artifact of `version`.
pub fn binding(version: &str) -> String {
    let size = program(version).len();
    let file = artifact_name(version);
    format!(
        "fetchd:1\tproduct:{PRODUCT}\tversion:{version}\tchannel:{CHANNEL}\ttarget:{TARGET}\tfile:{file}\tsize:{size}"
    )
}

/// A bundle of `payload` with a signature by each of `signers`.
pub fn bundle(payload: &[u8], signers: &[&Signer]) -> Vec<u8> {
    let signatures: Vec<String> = signers.iter().map(|signer| signer.sign(payload, "fetchd manifest")).collect();
    bundle_of(payload, &signatures)
}

/// A bundle of `payload` with these signatures.
pub fn bundle_of(payload: &[u8], signatures: &[String]) -> Vec<u8> {
    let value = json!({ "fetchd": "bundle/1", "payload": encode(payload), "minisig": signatures });
    format!("{value}\n").into_bytes()
}

pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn blake2b512(message: &[u8]) -> [u8; 64] {
    Blake2b512::digest(message).into()
}

/// A manifest that lists one release for the suite's target.
pub fn manifest(seq: u64, version: &str) -> Value {
    let binary = program(version);
    let digest = Sha256::of(&binary).to_string();
    json!({
        "type": "fetchd-manifest", "spec": 1, "product": PRODUCT, "channel": CHANNEL, "epoch": 0, "seq": seq,
        "issued": "2026-01-01T00:00:00Z", "expires": null, "min_version": null, "crit": [], "revoked": [],
        "releases": [{
            "version": version, "yanked": false, "critical": false, "min_from": null, "rollout": null,
            "notes_url": null,
            "artifacts": [{
                "target": TARGET, "urls": [artifact_name(version)], "size": binary.len(), "sha256": digest,
                "format": "raw", "entry": null, "binary_size": binary.len(), "binary_sha256": digest, "deltas": [],
            }],
        }],
    })
}

pub fn artifact_name(version: &str) -> String {
    format!("app-{version}-{TARGET}")
}

/// A program that says its version, and leaves a line in `executed` beside the program path whenever it is
/// executed from anywhere. Executed from staging or custody it finds that directory by its own path.
pub fn program(version: &str) -> Vec<u8> {
    script(version, &format!("echo app {version}"))
}

/// The same with other `lines` after the canary.
pub fn script(note: &str, lines: &str) -> Vec<u8> {
    format!(
        "#!/bin/sh\ncase $0 in */.fetchd/*) dir=${{0%%/.fetchd/*}} ;; *) dir=${{0%/*}} ;; esac\n\
         echo '{note}' \"$0\" \"$@\" >> \"$dir/executed\"\n{lines}\n"
    )
    .into_bytes()
}
