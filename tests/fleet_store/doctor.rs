//! What the doctor finds out about stores, good and bad.

use std::process::{Command, Output, Stdio};

use fetchd::clock::Timestamp;
use fetchd::failure::Failure;
use fetchd::fleet::caps::{Caps, Feature, Tier};
use fetchd::fleet::store::s3::Deletes;
use fetchd::rollout::doctor::{Diagnosis, Found, examine, write_down};
use fetchd_fetchers::Options;
use fetchd_stand_ins::s3::{ACCESS_KEY, Fault, Operation, Refusal, S3Server, SECRET_KEY, When};
use fetchd_stand_ins::seaweed::Seaweed;
use url::Url;

use super::carrier;
use super::rclone::Rclone;

async fn diagnosis(url: &Url, options: &Options) -> Diagnosis {
    examine(&carrier(url, options, Deletes::Conditional).await, Timestamp::now()).await.unwrap()
}

async fn of_server(faults: &[Fault]) -> Diagnosis {
    let server = S3Server::start();
    for fault in faults {
        server.inject(fault.clone(), When::any());
    }
    let found = diagnosis(&server.source("fleet"), &server.options()).await;
    assert_eq!((server.keys(), &found.left), (Vec::<String>::new(), &None));
    found
}

/// What is not in order, with the word for it.
fn complaints(found: &Diagnosis) -> Vec<(&'static str, Found)> {
    let complaints = found.checks.iter().filter(|check| check.found != Found::Ok);
    complaints.map(|check| (check.check, check.found)).collect()
}

/// No lease is to be had there, and no second operator.
fn is_of_tier_3(found: &Diagnosis) {
    assert_eq!((found.caps.tier, found.caps.conditions), (Tier::FetchOnly, false), "{}", found.to_text());
    for feature in [Feature::Leases, Feature::Operators, Feature::Stewards] {
        assert_eq!(found.caps.allows(feature).unwrap_err().code(), "fleet.store_lacks");
    }
    for feature in [Feature::Fetch, Feature::Evidence, Feature::OneOperator] {
        assert_eq!(found.caps.allows(feature), Ok(()));
    }
}

#[tokio::test]
async fn a_strict_server_is_of_tier_1() {
    let found = of_server(&[]).await;
    assert_eq!((found.caps.tier, complaints(&found)), (Tier::All, Vec::new()), "{}", found.to_text());
    assert!(Feature::ALL.iter().all(|feature| found.caps.allows(*feature).is_ok()));
    assert_eq!(found.caps.deletes(), Deletes::Conditional);
}

#[tokio::test]
async fn a_server_like_cephs_is_of_tier_2() {
    let found = of_server(&[Fault::EtagsUnquoted, Fault::NotModifiedWithoutEtag, Fault::NoChecksums]).await;
    assert_eq!((found.caps.tier, found.caps.conditions), (Tier::WithNotes, true), "{}", found.to_text());
    let expected = [("quoted tags", Found::Note), ("delete if unchanged", Found::Note), ("checksum", Found::Info)];
    assert_eq!(complaints(&found), expected);
    assert!(Feature::ALL.iter().all(|feature| found.caps.allows(*feature).is_ok()));
    assert_eq!((found.caps.deletes(), found.caps.quoted_tags), (Deletes::Tombstone, false));
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_of_tier_3() {
    is_of_tier_3(&of_server(&[Fault::ConditionsIgnored]).await);
}

/// One after the other everything is in order there.
#[tokio::test]
async fn a_server_that_looks_first_and_writes_later_is_of_tier_3() {
    let found = of_server(&[Fault::ConditionsNotAtomic]).await;
    is_of_tier_3(&found);
    let lacking = complaints(&found).into_iter().filter(|(_, found)| *found == Found::Lacks).collect::<Vec<_>>();
    assert_eq!(lacking, [("create once, raced", Found::Lacks), ("replace, raced", Found::Lacks)]);
}

#[tokio::test]
async fn rclone_is_of_tier_3() {
    let server = Rclone::start();
    let options = Options::from([
        ("access_key_id".to_owned(), vec![ACCESS_KEY.to_owned()]),
        ("secret_access_key".to_owned(), vec![SECRET_KEY.to_owned()]),
    ]);
    let found = diagnosis(&server.source(), &options).await;
    is_of_tier_3(&found);
    let lacking = complaints(&found).into_iter().filter(|(_, found)| *found == Found::Lacks).count();
    assert!(lacking >= 4, "{}", found.to_text());
    let carrier = carrier(&server.source(), &options, Deletes::Conditional).await;
    write_down(&carrier, &found.caps).await.unwrap();
    write_down(&carrier, &found.caps).await.unwrap();
}

pub(crate) async fn seaweedfs_is_of_tier_1(server: &Seaweed) {
    let found = diagnosis(&server.source("doctor"), &server.options()).await;
    assert_eq!((found.caps.tier, &found.left), (Tier::All, &None), "{}", found.to_text());
}

/// A clock that is wrong is nobody's store.
#[tokio::test]
async fn a_wrong_clock_is_told_and_costs_no_tier() {
    let found = of_server(&[Fault::Date(600)]).await;
    assert_eq!((found.caps.tier, complaints(&found)), (Tier::All, vec![("clock", Found::Info)]), "{}", found.to_text());
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_judged() {
    let server = S3Server::start();
    server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().operation(Operation::Put));
    let carrier = carrier(&server.source("fleet"), &server.options(), Deletes::Conditional).await;
    let refused = examine(&carrier, Timestamp::now()).await.unwrap_err();
    assert_eq!((refused.code(), Failure::hint(&refused).is_some()), ("fleet.doctor", true));
}

fn call(server: &S3Server, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fetchd"))
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .args(["fleet", "doctor", "--store", server.source("fleet").as_str()])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output, exit: i32) -> String {
    assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_program_writes_down_what_it_finds_out() {
    let server = S3Server::start();
    let text = said(&call(&server, &["--need", "leases"]), 0);
    assert!(text.contains("Tier 1"), "{text}");
    let written = server.get("fleet/caps.json").unwrap();
    assert_eq!(Caps::read(&written).unwrap().tier, Tier::All);

    server.inject(Fault::ConditionsIgnored, When::any());
    let output = call(&server, &["--dry-run", "--json", "--need", "evidence", "--need", "leases"]);
    let text = said(&output, 64);
    let json: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((json["schema"].as_u64(), json["caps"]["tier"].as_u64()), (Some(1), Some(3)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[fleet.store_lacks]"));
    assert_eq!((server.get("fleet/caps.json"), server.keys().len()), (Some(written), 1));
}
