//! What a file of ours says, shown without believing it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::PublishError;
use crate::digest::Sha256;
use crate::trust::bundle::{self, Bundle};
use crate::trust::{Bound, PublicKey, Signature, strict_json};

/// Shows a bundle, a manifest, a signature or a public key as JSON. Nothing in it is verified, and
/// the field `verified` says so.
///
/// Fails with [`PublishError::Usage`] for anything else; a secret key is named and not shown.
pub fn inspect(path: &Path) -> Result<Value, PublishError> {
    let file = File::open(path).map_err(PublishError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(bundle::MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(PublishError::io("read", path))?;
    let unknown = || {
        let text = "neither a bundle, a manifest, a signature nor a public key";
        PublishError::Usage(format!("`{}` is {text}", path.display()))
    };
    if bytes.len() > bundle::MAX_FILE {
        return Err(unknown());
    }
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return json_file(&bytes);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unknown())?;
    if let Ok(key) = PublicKey::parse(text) {
        return Ok(json!({ "kind": "public key", "keynum": key.keynum(), "key": key.to_string() }));
    }
    if text.contains("\ntrusted comment: ") {
        return signature(text);
    }
    let second = text.lines().nth(1).unwrap_or_default();
    if second.starts_with("RW") && second.len() > 200 {
        return Ok(json!({ "kind": "secret key", "encrypted": second.starts_with("RWRTY") }));
    }
    Err(unknown())
}

fn json_file(bytes: &[u8]) -> Result<Value, PublishError> {
    let Ok(bundle) = Bundle::parse(bytes) else {
        let value = strict_json(bytes, 8).map_err(PublishError::Usage)?;
        if value["type"].as_str() == Some("fetchd-manifest") {
            let digest = Sha256::of(bytes).to_string();
            return Ok(json!({ "kind": "manifest", "verified": false, "sha256": digest, "manifest": value }));
        }
        // A bundle that cannot be read says why.
        Bundle::parse(bytes)?;
        return Ok(value);
    };
    let signatures = bundle.signatures().iter().map(|text| signature(text).unwrap_or_else(|e| json!(e.to_string())));
    Ok(json!({
        "kind": "bundle",
        "verified": false,
        "sha256": Sha256::of(bundle.claimed_payload()).to_string(),
        "signatures": signatures.collect::<Vec<Value>>(),
        "manifest": strict_json(bundle.claimed_payload(), 8).map_err(PublishError::Usage)?,
    }))
}

fn signature(text: &str) -> Result<Value, PublishError> {
    let signature = Signature::parse(text.as_bytes())?;
    let comment = signature.claimed_comment();
    let fields: Map<String, Value> = match Bound::parse(comment) {
        Ok(_) => comment.split('\t').filter_map(|f| f.split_once(':')).map(|(k, v)| (k.into(), v.into())).collect(),
        Err(_) => Map::new(),
    };
    Ok(json!({
        "kind": "signature",
        "verified": false,
        "keynum": signature.keynum(),
        "bound": !fields.is_empty(),
        "comment": comment,
        "fields": fields,
    }))
}
