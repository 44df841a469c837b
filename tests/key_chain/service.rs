//! Key sets under a supervisor: whatever becomes of them, the service serves.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use fetchd::clock::Timestamp;
use fetchd::demo::Trailer;
use fetchd::publish::{SigningKey, key_file};
use fetchd::state::Store;
use fetchd::trust::KeyDocument;

use crate::scene::key;
use crate::site::{FETCHD, Site, Supervised, get, text};

/// A site whose publisher has root keys.
struct Rooted {
    site: Site,
    root: SigningKey,
}

impl Rooted {
    fn new() -> Rooted {
        let rooted = Rooted { site: Site::new(), root: key() };
        fs::write(rooted.provisioned(), rooted.signed(1, None)).unwrap();
        rooted
    }

    fn provisioned(&self) -> std::path::PathBuf {
        self.site.path().join("app.keys")
    }

    fn signed(&self, version: u64, expires: Option<Timestamp>) -> Vec<u8> {
        let document = self.site.publisher.key_document(version, &[&self.root]).unwrap();
        key_file(&KeyDocument { expires, ..document }, &[&self.root]).unwrap()
    }

    fn put(&self, version: u64, expires: Option<Timestamp>) {
        self.site.publisher.put_keys(version, &self.signed(version, expires)).unwrap();
    }

    fn run(&self) -> Supervised<'_> {
        let mut command = Command::new(FETCHD);
        command.args(["run", "--product", "app", "--jitter", "0", "--interval", "200ms", "--watch", "500ms"]);
        command.args(["--listen", "web=127.0.0.1:0", "--source", &self.site.source(), "--state-dir"]);
        command.arg(self.site.state_dir()).arg("--keys").arg(self.provisioned());
        command.arg("--").arg(self.site.program()).args(["--lame-duck-ms", "300"]);
        command.current_dir(self.site.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        self.site.supervise(command)
    }
}

/// Attack 34: a set that expires while nothing else changes; and its successor, which no pointer announces.
#[test]
fn a_key_set_that_expires_holds_and_the_next_one_is_found_by_itself() {
    let rooted = Rooted::new();
    rooted.put(2, Some(Timestamp::now().plus(Duration::from_secs(15))));
    rooted.site.publish(&Trailer::version("1.1.0"));
    let mut fetchd = rooted.run();
    let address = fetchd.address();
    fetchd.wait_for_version("1.1.0");
    let status = fetchd.wait("the pointer is as it was", |status| {
        status.updates.last.as_ref().is_some_and(|last| last.outcome == "unchanged")
    });
    let shown = status.updates.keys.expect("key sets are shown");
    assert_eq!((shown.version, shown.epoch, shown.threshold), (2, 0, 1));
    assert_eq!(shown.release, [rooted.site.publisher.public_key().keynum()]);
    let said = text(&fetchd.fetchd("status", &[]));
    assert!(said.contains("keys          version 2, epoch 0, expires 20"), "{said}");

    fetchd.wait_for_event("release.held", "keys.expired");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    rooted.site.publish(&Trailer::version("1.2.0"));
    let again = fetchd.fetchd("apply", &[]);
    assert!(text(&again).contains("keys.expired"), "{}", text(&again));
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#), "it holds");
    rooted.put(3, None);
    fetchd.wait_for_version("1.2.0");
    let status = fetchd.wait("key set 3 is shown", |s| s.updates.keys.as_ref().is_some_and(|keys| keys.version == 3));
    assert_eq!(status.updates.keys.unwrap().expires, None);
    assert!(rooted.site.happened("keys.accepted", ""));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_kept_key_set_that_was_changed_stops_updates_and_not_the_service() {
    let rooted = Rooted::new();
    rooted.put(2, None);
    rooted.site.publish(&Trailer::version("1.1.0"));
    let mut fetchd = rooted.run();
    fetchd.wait_for_version("1.1.0");
    fetchd.wait_for_event("release.confirmed", "");
    assert_eq!(fetchd.stop().code(), Some(0));

    let path = Store::keys_path(&rooted.site.state_dir(), 2);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    rooted.site.publish(&Trailer::version("1.2.0"));
    let mut fetchd = rooted.run();
    let address = fetchd.address();
    let status = fetchd.wait("updates are off", |status| status.updates.updates_off.is_some());
    let off = status.updates.updates_off.unwrap();
    assert_eq!((off.code.as_str(), off.exit.number()), ("state.damaged", 50));
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    assert_eq!(fetchd.stop().code(), Some(0));
}
