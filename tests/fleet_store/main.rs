//! What a fleet expects of a store, asked of all of them: one in memory, an S3 server in this process in good and bad
//! days, and servers that others wrote.

#![cfg(all(feature = "cli", feature = "fleet"))]
#![allow(clippy::print_stderr, reason = "races say how long they took")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod contract;
mod doctor;
mod lost;
mod races;
mod rclone;

use fetchd::clock::Timestamp;
use fetchd::fleet::Names;
use fetchd::fleet::store::s3::{Carrier, Deletes};
use fetchd::fleet::store::{MemoryStore, Reply, Request, Store as _, Tag, What};
use fetchd_fetchers::Options;
use fetchd_stand_ins::s3::{Fault, Operation, S3Server, When};
use fetchd_stand_ins::seaweed::Seaweed;
use url::Url;

/// A store with as many ways to it as it has.
struct Subject {
    ways: Vec<Way>,
    /// How large the races are, as a share of the whole.
    races: races::Size,
}

enum Way {
    Memory(MemoryStore),
    Bucket(Box<Carrier>),
}

impl Subject {
    fn memory() -> (Subject, MemoryStore) {
        let store = MemoryStore::new(names(), Timestamp::now());
        (Subject { ways: vec![Way::Memory(store.clone())], races: races::WHOLE }, store)
    }

    async fn server(server: &S3Server, deletes: Deletes) -> Subject {
        let way = Way::Bucket(Box::new(carrier(&server.source("fleet"), &server.options(), deletes).await));
        Subject { ways: vec![way], races: races::size(races::PART) }
    }

    /// The answer to a request, by whichever way is the `nth`'s.
    async fn reply(&self, nth: usize, request: Request) -> Reply {
        match &self.ways[nth % self.ways.len()] {
            Way::Memory(store) => {
                // So that the tasks of a race take turns.
                tokio::task::yield_now().await;
                store.clone().ask(request)
            }
            Way::Bucket(carrier) => carrier.carry(request).await,
        }
    }

    async fn ask(&self, request: Request) -> What {
        self.reply(0, request).await.what
    }

    async fn create(&self, key: &str, body: &str) -> What {
        self.ask(Request::Create { key: key.to_owned(), body: body.into() }).await
    }

    async fn put(&self, key: &str, body: &str) -> What {
        self.ask(Request::Put { key: key.to_owned(), body: body.into() }).await
    }

    async fn replace(&self, key: &str, body: &str, tag: &Tag) -> What {
        self.ask(Request::Replace { key: key.to_owned(), body: body.into(), tag: tag.clone() }).await
    }

    async fn delete(&self, key: &str, tag: &Tag) -> What {
        self.ask(Request::Delete { key: key.to_owned(), tag: tag.clone() }).await
    }

    async fn exists(&self, key: &str) -> bool {
        match self.ask(Request::Head { key: key.to_owned() }).await {
            What::Unchanged => true,
            What::Absent => false,
            what => panic!("{what:?}"),
        }
    }

    async fn get(&self, key: &str) -> Option<(String, Tag)> {
        match self.ask(Request::Get { key: key.to_owned(), unless: None, limit: LIMIT }).await {
            What::Object { body, tag } => Some((String::from_utf8(body).unwrap(), tag)),
            What::Absent => None,
            what => panic!("{what:?}"),
        }
    }

    async fn body(&self, key: &str) -> Option<String> {
        self.get(key).await.map(|(body, _)| body)
    }

    async fn tag(&self, key: &str) -> Tag {
        self.get(key).await.unwrap().1
    }
}

const LIMIT: u64 = 1 << 20;

fn names() -> Names {
    Names::new("fleet", "app", "stable").unwrap()
}

async fn carrier(url: &Url, options: &Options, deletes: Deletes) -> Carrier {
    Carrier::open(url, options, deletes).await.unwrap()
}

async fn seaweed(server: &mut Seaweed) -> Subject {
    let second = server.second_gateway().unwrap();
    let mut urls = [server.source("fleet"), server.source("fleet")];
    let other: Vec<(String, String)> = urls[1].query_pairs().into_owned().collect();
    urls[1].set_query(None);
    for (name, value) in other {
        let value = if name == "endpoint" { second.as_str().trim_end_matches('/').to_owned() } else { value };
        urls[1].query_pairs_mut().append_pair(&name, &value);
    }
    let mut ways = Vec::new();
    for url in &urls {
        ways.push(Way::Bucket(Box::new(carrier(url, &server.options(), Deletes::Conditional).await)));
    }
    Subject { ways, races: races::size(races::SMALL) }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let (subject, _) = Subject::memory();
    contract::all(&subject).await;
    races::all(&subject).await;
}

#[tokio::test]
async fn a_strict_s3_server_keeps_the_contract() {
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Conditional).await;
    contract::all(&subject).await;
    races::all(&subject).await;
}

/// Tags without quotes, errors in races, no tag in a `304`, no condition of a `DELETE`.
#[tokio::test]
async fn a_server_like_cephs_keeps_the_contract() {
    let server = S3Server::start();
    server.inject(Fault::EtagsUnquoted, When::any());
    server.inject(Fault::NotModifiedWithoutEtag, When::any());
    let subject = Subject::server(&server, Deletes::Tombstone).await;
    contract::all(&subject).await;
    races::all(&subject).await;
}

/// What reads say is compared here as well.
#[tokio::test]
async fn a_server_that_sends_what_has_not_changed_keeps_the_contract() {
    let server = S3Server::start();
    server.inject(Fault::ReadConditionsIgnored, When::any().operation(Operation::Get));
    contract::all(&Subject::server(&server, Deletes::Conditional).await).await;
}

/// Through two gateways in front of one store.
#[tokio::test]
async fn seaweedfs_keeps_the_contract() {
    let mut server = Seaweed::start().unwrap_or_else(|error| panic!("{error}"));
    let subject = seaweed(&mut server).await;
    contract::all(&subject).await;
    races::all(&subject).await;
    doctor::seaweedfs_is_of_tier_1(&server).await;
}
