//! Deltas between the releases of a fleet, each of which lies in a directory of its own.

use fetchd::digest::Sha256;
use fetchd_delta::Limits;
use serde_json::Value;

use crate::shell::Shell;

/// The binary that [`Shell::publish`] publishes as `version`.
fn binary(version: &str) -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/true").unwrap();
    bytes.extend_from_slice(version.as_bytes());
    bytes
}

/// The deltas that the manifest in this directory lists, with their bytes.
fn listed(shell: &Shell, release: &str) -> Vec<(Value, Vec<u8>)> {
    let bundle = shell.server.get(&shell.names.manifest(release)).unwrap();
    let bundle = fetchd::trust::bundle::Bundle::parse(&bundle).unwrap();
    let manifest: Value = serde_json::from_slice(bundle.claimed_payload()).unwrap();
    assert_eq!(manifest["releases"].as_array().unwrap().len(), 1, "it lists itself alone");
    let deltas = manifest["releases"][0]["artifacts"][0]["deltas"].as_array().unwrap().clone();
    let bytes = |delta: &Value| {
        let name = delta["urls"][0].as_str().unwrap();
        shell.server.get(&format!("{}{name}", shell.names.release(release))).unwrap().to_vec()
    };
    deltas.into_iter().map(|delta| (delta.clone(), bytes(&delta))).collect()
}

#[test]
fn a_release_of_a_fleet_has_deltas_from_those_in_other_directories() {
    let shell = Shell::new();
    let first = shell.publish("1.0.0", &["--delta-from", "3"]);
    assert!(listed(&shell, &first).is_empty());
    shell.publish("1.1.0", &[]);
    let damaged = shell.publish("1.2.0", &[]);
    let name = format!("{}web-1.2.0-{}", shell.names.release(&damaged), fetchd::config::BUILD_TARGET);
    assert!(shell.server.get(&name).is_some());
    shell.server.put(&name, b"something else".to_vec());
    let third = shell.publish("1.3.0", &["--delta-from", "3"]);
    let new = binary("1.3.0");
    let mut from: Vec<String> = Vec::new();
    for (delta, bytes) in listed(&shell, &third) {
        assert_eq!(delta["sha256"], Sha256::of(&bytes).to_string());
        assert_eq!(delta["size"], bytes.len());
        from.push(delta["from_sha256"].as_str().unwrap().to_owned());
        let old =
            ["1.0.0", "1.1.0"].map(binary).into_iter().find(|old| delta["from_sha256"] == Sha256::of(old).to_string());
        let mut made = vec![0; new.len()];
        fetchd_delta::apply(&old.unwrap(), &bytes, &mut made, &Limits::default()).unwrap();
        assert!(made == new);
    }
    from.sort();
    from.dedup();
    assert_eq!(from.len(), 2, "from 1.0.0 and from 1.1.0, not from what is damaged");
    // None is asked for, none is there.
    let fourth = shell.publish("1.4.0", &[]);
    assert!(listed(&shell, &fourth).is_empty());
}
