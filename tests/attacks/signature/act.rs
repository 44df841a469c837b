//! What cannot be shown as files alone: other keys, other thresholds, files without end.

use std::fs::{self, File};
use std::process::Command;

use super::{BOTH, SECOND};
use crate::bench::{Bench, FETCHD};
use crate::carrier::Carrier;
use crate::maker::{LATER, SEQ, artifact_name, binding, encode};
use crate::table::{Files, Verdict};

/// Points that are on the curve and make a signature nobody made a valid one: of order 1, 2, 4 and 8,
/// and one of order 1 written the other way there is.
const WEAK: [&str; 5] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn weak(hex: &str) -> String {
    let point = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
    encode(&b"Ed".iter().copied().chain([7; 8]).chain(point).collect::<Vec<u8>>())
}

/// What a key of order 1 takes for a signature of anything: R of order 1, and 0.
fn made_by_nobody() -> String {
    let identity: Vec<u8> = [&[1][..], &[0; 63]].concat();
    let blob = [&b"ED"[..], &[7; 8], &identity].concat();
    format!("untrusted comment: x\n{}\ntrusted comment: fetchd manifest\n{}\n", encode(&blob), encode(&identity))
}

/// Every command that would begin anything ends at once, and says why.
#[track_caller]
fn assert_no_start(bench: &Bench, flags: &[&str], verdict: &Verdict, because: &str) {
    bench.assert_verdict(&bench.apply(flags), verdict);
    for command in ["check", "run", "apply"] {
        let output = bench.command(command, flags).arg("--").arg(bench.program()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(i32::from(verdict.exit)), "{command}: {said}");
        assert!(said.contains(&format!("[{}]", verdict.code)) && said.contains(because), "{command}: {said}");
    }
    bench.assert_change(verdict.change);
}

/// With these keys and flags nothing begins; with the right key the next release is taken.
#[track_caller]
fn refuses_to_start(bench: &mut Bench, keys: Vec<String>, flags: &[&str], verdict: &Verdict, because: &str) {
    let good = std::mem::replace(&mut bench.keys, keys);
    assert_no_start(bench, flags, verdict, because);
    bench.keys = good;
    bench.assert_recovers();
}

pub fn weak_key_alone(bench: &mut Bench, verdict: &Verdict) {
    let forged = bench.maker.resigned(|_| made_by_nobody());
    bench.show(&forged);
    let good = bench.keys.clone();
    for point in WEAK {
        bench.keys = vec![weak(point)];
        assert_no_start(bench, &[], verdict, "small order or odd encoding");
    }
    bench.keys = good;
    bench.assert_recovers();
}

pub fn weak_key_beside(bench: &mut Bench, verdict: &Verdict) {
    let forged = bench.maker.resigned(|_| made_by_nobody());
    bench.show(&forged);
    let keys = vec![bench.maker.publisher.public(), weak(WEAK[0])];
    refuses_to_start(bench, keys, &[], verdict, "small order or odd encoding");
}

pub fn no_key(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    refuses_to_start(bench, Vec::new(), &[], verdict, "--key");
}

pub fn empty_list_of_keys(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    let file = bench.path().join("app.toml");
    fs::write(&file, "key = []\n").unwrap();
    refuses_to_start(bench, Vec::new(), &["--config", file.to_str().unwrap()], verdict, "is empty");
}

pub fn empty_variable(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    let keys = std::mem::take(&mut bench.keys);
    let ended = bench.apply_as(&[], |apply| {
        apply.env("FETCHD_KEY", "");
    });
    bench.assert_verdict(&ended, verdict);
    bench.keys = keys;
    bench.assert_recovers();
}

pub fn once_both_sign_it_is_taken(bench: &mut Bench, verdict: &Verdict) {
    let (publisher, second) = (bench.maker.publisher.clone(), bench.maker.second.clone());
    assert_eq!(second.public(), SECOND);
    let twice = bench.maker.signed_by(SEQ, "1.1.0", &[&publisher, &publisher]);
    bench.show(&twice);
    bench.assert_verdict(&bench.apply(BOTH), verdict);
    let both = bench.maker.signed_by(LATER, "1.9.0", &[&publisher, &second]);
    bench.assert_takes(&both, "1.9.0", BOTH);
}

pub fn one_key_under_two_numbers(bench: &mut Bench, verdict: &Verdict) {
    let one = bench.maker.publisher.clone();
    let two = one.clone().numbered([9; 8]);
    let files = bench.maker.signed_by(SEQ, "1.1.0", &[&one, &two]);
    bench.show(&files);
    let threshold = ["--threshold", "2"];
    refuses_to_start(bench, vec![one.public(), two.public()], &threshold, verdict, "is given twice");
}

pub fn two_keys_under_one_number(bench: &mut Bench, verdict: &Verdict) {
    let one = bench.maker.publisher.clone();
    let two = bench.maker.second.clone().numbered(one.keynum);
    let files = bench.maker.signed_by(SEQ, "1.1.0", &[&one, &two]);
    bench.show(&files);
    let threshold = ["--threshold", "2"];
    refuses_to_start(bench, vec![one.public(), two.public()], &threshold, verdict, "have the number");
}

pub fn two_of_one(bench: &mut Bench, verdict: &Verdict) {
    threshold(bench, &["--threshold", "2"], verdict);
}

pub fn threshold_of_none(bench: &mut Bench, verdict: &Verdict) {
    threshold(bench, &["--threshold", "0"], verdict);
}

fn threshold(bench: &mut Bench, flags: &[&str], verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    refuses_to_start(bench, bench.keys.clone(), flags, verdict, "threshold");
}

pub fn two_of_an_artifact(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.bound("1.1.0", &binding("1.1.0"));
    bench.show(&good);
    refuses_to_start(bench, bench.keys.clone(), BOTH, verdict, "threshold");
}

/// The largest signature that a bundle has room for.
pub fn large_in_a_bundle(bench: &mut Bench, verdict: &Verdict) {
    let files = bench.maker.resigned(|text| padded(text, 400 * 1024));
    bench.play(&files, &[], verdict);
}

pub fn large_beside(bench: &mut Bench, verdict: &Verdict) {
    let files = bench.maker.rebound(|text| padded(text, 1024 * 1024));
    bench.play(&files, &[], verdict);
}

/// A signature of this many bytes, good but for its length.
fn padded(text: &str, size: usize) -> String {
    let comment = "signature";
    let padding = "x".repeat(size - text.len());
    text.replacen(comment, &format!("{comment}{padding}"), 1)
}

/// A signature file of 64 GiB, and a process that is not given the memory to hold it.
pub fn without_end_beside(bench: &mut Bench, verdict: &Verdict) {
    let files: Files = bench.maker.rebound(ToOwned::to_owned);
    bench.show(&files);
    let Carrier::File(dir) = &bench.carrier else { panic!("files alone have holes") };
    let signature = dir.join(format!("{}.minisig", artifact_name("1.1.0")));
    File::options().write(true).open(signature).unwrap().set_len(64 << 30).unwrap();
    let mut apply = bench.command("apply", &["--json"]);
    apply.arg("--").arg(bench.program());
    let mut bounded = Command::new("/bin/sh");
    bounded.args(["-c", "ulimit -v 4194304; exec \"$0\" \"$@\"", FETCHD]).args(apply.get_args());
    let ended = bench.end(bounded.current_dir(bench.path()));
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}
