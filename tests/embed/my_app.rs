//! overseer's own example: requests with a delay in flight during each upgrade.

use std::thread;

use fetchd::demo::Trailer;

use crate::bench::{Clients, Embed, said};
use crate::site::get;

#[test]
fn my_app_upgrades_under_load_and_every_request_is_answered_by_the_one_that_took_it() {
    let my_app = Embed::of("my-app");
    let mut command = my_app.command(&[]);
    command.env("FETCHD_LISTEN", "web=127.0.0.1:0");
    let mut supervised = my_app.site.supervise(command);
    let address = supervised.address();
    let supervisor = supervised.pid();
    let clients = Clients::start(address);
    let mut before = "app#1.0.0 (".to_owned();
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        let slow = thread::spawn(move || get(address, "/?d=1.5s").unwrap());
        // In flight: the process has it, as it was the only one to take it.
        thread::sleep(std::time::Duration::from_millis(100));
        let digest = my_app.publish(&Trailer::version(version)).to_string();
        let status = supervised.wait_for_version(version);
        let hello = format!("app#{version} ({}) says hello", &digest[..8]);
        assert!(get(address, "/").unwrap().contains(&hello), "{hello}");
        let slow = slow.join().unwrap();
        assert!(slow.contains(&before) && slow.contains("says hello"), "{slow}");
        assert_eq!((status.pid, status.service.listeners[0].1.as_str()), (supervisor, &*address.to_string()));
        before = format!("app#{version} ({}", &digest[..8]);
    }
    clients.stop();
    assert!(supervised.log().contains(&format!("listens on {address}")), "{}", supervised.log());
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn a_service_with_the_standard_library_alone_is_told_what_it_is_and_loses_no_request() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service"]);
    let address = supervised.address();
    assert_eq!(said(address, "generation"), "Some(1)");
    let clients = Clients::start(address);
    let mut digest = String::new();
    for version in ["2.0.0", "3.0.0"] {
        let slow = thread::spawn(move || get(address, "/slow/1000").unwrap());
        digest = embed.publish(&Trailer::version(version)).to_string();
        supervised.wait_for_version(version);
        assert!(slow.join().unwrap().contains("generation"));
    }
    clients.stop();
    assert_eq!(said(address, "version"), "3.0.0");
    assert_eq!(said(address, "generation"), "Some(3)");
    assert_eq!(said(address, "digest"), format!("Some({digest:?})"));
    assert_eq!(said(address, "names"), "[Some(\"web\")]");
    assert_eq!(said(address, "program"), embed.site.program().display().to_string());
    assert_eq!(said(address, "supervised"), "true");
    assert_ne!(said(address, "pid"), supervised.pid().to_string());
    get(address, "/status/warm").unwrap();
    supervised.wait("its words are shown", |status| {
        status.service.generations.iter().any(|g| g.status.as_deref() == Some("warm"))
    });
    assert_eq!(supervised.stop().code(), Some(0));
}
