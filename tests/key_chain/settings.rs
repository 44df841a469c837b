//! What an operator can get wrong with `keys`, and what they are told.

use std::fs;
use std::process::Command;

use fetchd::publish::key_file;
use fetchd::trust::KeyDocument;

use crate::scene::{Place, Scene, key};
use crate::site::{FETCHD, text};

/// `fetchd check`, which asks nobody if it is refused: exit 64, with these words.
#[track_caller]
fn refused(scene: &Scene, more: &[&str], words: &[&str]) {
    let output = scene.command("check", more).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(64), "{more:?}: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(scene.asked(), [""; 0], "{more:?}");
}

#[test]
fn a_key_set_takes_the_place_of_everything_else_that_is_believed() {
    let scene = Scene::new(Place::Http);
    let public = scene.publisher.public_key().to_string();
    for (more, words) in [
        (&["--key", &public][..], ["`key` and `keys` exclude each other", "drop `key`"]),
        (&["--threshold", "1"], ["`threshold` and `keys` exclude each other", "drop `threshold`"]),
        (&["--trust", "owner"], ["no signature would be checked", "drop `keys`"]),
        (&["--insecure-unsigned"], ["`--insecure-unsigned` is given although `keys` is set", "drop the flag"]),
    ] {
        refused(&scene, more, &[&words[..], &["[config.conflict]"]].concat());
    }
    let mut check = Command::new(FETCHD);
    check.args(["check", "--product", "app", "--source", "github://acme/app", "--keys"]).arg(scene.provisioned());
    let output = check.args(["--", "/srv/app"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for word in ["does not work with a `github:` source", "`https:`, `s3:` or `file:`", "[config.conflict]"] {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn a_provisioned_key_set_must_be_one_and_signed_by_its_own_root() {
    let scene = Scene::new(Place::Http);
    let put = |bytes: &[u8]| fs::write(scene.provisioned(), bytes).unwrap();
    let signed = |document: &KeyDocument| put(&key_file(document, &[&scene.root]).unwrap());
    put(b"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3");
    refused(&scene, &[], &["app.keys", "[bundle.malformed]"]);
    put(&key_file(&scene.document(1), &[&key()]).unwrap());
    refused(&scene, &[], &["[signature.unknown_key]"]);
    signed(&KeyDocument { product: "other".to_owned(), ..scene.document(1) });
    refused(&scene, &[], &["[keys.wrong_product]"]);
    signed(&KeyDocument { release: scene.two_of_two(), ..scene.document(1) });
    refused(&scene, &["--signature", "bound"], &["2 keys must sign a release", "signature = \"bundle\""]);
    fs::remove_file(scene.provisioned()).unwrap();
    refused(&scene, &[], &["app.keys", "keys"]);
}

#[test]
fn the_configuration_says_whose_releases_are_believed() {
    let scene = Scene::new(Place::File);
    let mut check = Command::new(FETCHD);
    check.args(["config", "check", "--product", "app", "--source", "file:/srv/stable.fetchd", "--keys"]);
    let output = check.arg(scene.provisioned()).args(["--", "/srv/app"]).output().unwrap();
    let said = text(&output);
    let keynum = scene.publisher.public_key().keynum();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("a bundle signed by {keynum}, and by whom newer key sets name")), "{said}");
}

#[test]
fn verify_believes_the_release_keys_of_a_key_set_in_its_epoch() {
    let mut scene = Scene::of_epoch(Place::File, 2);
    scene.publish("1.1.0");
    let verify = |scene: &Scene| {
        let mut verify = Command::new(FETCHD);
        verify.arg("verify").arg("--keys").arg(scene.provisioned()).arg(scene.publisher.pointer());
        let output = verify.output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = verify(&scene);
    assert_eq!(code, Some(0), "{said}");
    scene.forge(|manifest| manifest["epoch"] = 3.into());
    let (code, said) = verify(&scene);
    assert!(code == Some(21) && said.contains("manifest.epoch"), "{said}");
    scene.new_release_key();
    scene.publish_bound("1.2.0");
    scene.forge(|manifest| manifest["epoch"] = 2.into());
    let (code, said) = verify(&scene);
    assert!(code == Some(20) && said.contains("signature.unknown_key"), "{said}");
}
