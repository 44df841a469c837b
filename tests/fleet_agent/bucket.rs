//! A bucket that is not there when evidence is due.

use fetchd_stand_ins::s3::{Fault, Operation, Refusal, S3Server, When};

use crate::field::{Field, Kind};

#[test]
fn evidence_that_could_not_be_sent_is_sent_after_a_restart() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    // What it started is written; how it ended is not.
    let id = fetchd::fleet::cohort::HostId::named("web-1");
    let refused = Fault::Refuse(Refusal::ServiceUnavailable);
    s3.inject(refused, When::any().operation(Operation::Put).key(&format!("fleet/ev/r-1/0/{id}/1-o")));
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.1.0");
    fetchd.wait("it owes evidence", |status| status.updates.fleet.as_ref().is_some_and(|fleet| fleet.shown.unsent > 0));
    field.wait_for_evidence("r-1", "web-1", "1-s");
    // Killed in the middle of it.
    drop(fetchd);
    assert!(!field.evidence("r-1").iter().any(|(_, report)| report == "1-o"));
    s3.clear();
    let mut fetchd = field.run(&site, "web-1", &[]);
    field.wait_for_evidence("r-1", "web-1", "1-o");
    fetchd.wait_for_version("1.1.0");
}

#[test]
fn a_bucket_that_loses_replies_sees_each_host_start_once() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    s3.inject(Fault::LostReply, When::any().operation(Operation::Put).prefix("fleet/ev/").times(2));
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", "web-1", "1-o");
    assert_eq!(field.evidence("r-1").len(), 2);
}
