//! Several sockets at once, each found by its name, none ever bound again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

use fetchd::load::Target;

use crate::bench::{descriptors, load, plain, restart, room_to_drain, serves_from, settled};
use crate::site::{Site, get};

#[test]
fn named_sockets_of_every_kind_are_kept() {
    let site = Site::new();
    let path = site.path().join("web.sock");
    let listen = format!("local=unix:{}", path.display());
    let more = ["--listen", "web=127.0.0.1:0", "--listen", &listen, "--listen", "any=:0"];
    // The order of the names is not the order of the descriptors: the service goes by name.
    let names = ["--name", "any", "--name", "local", "--name", "web"];
    let mut fetchd = site.supervise(plain(&site, &more, &site.program(), &names));
    let (_, first) = serves_from(&mut fetchd, 1);
    let listeners = fetchd.try_status().unwrap().service.listeners;
    assert_eq!(listeners.iter().map(|l| l.0.as_str()).collect::<Vec<_>>(), ["web", "local", "any"]);
    let web: SocketAddr = listeners[0].1.parse().unwrap();
    let any: SocketAddr = listeners[2].1.parse().unwrap();
    assert!(any.ip().is_unspecified() && any.port() != 0 && web.port() != any.port(), "{listeners:?}");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, any.port()));
    let inode = std::fs::symlink_metadata(&path).unwrap().ino();
    let sockets = |pid| (3..6).map(|fd| descriptors(pid)[&fd].clone()).collect::<Vec<_>>();
    let held = sockets(first);

    let told = get(web, "/env").unwrap();
    for line in
        [format!("listener web {web}"), format!("listener any {}", listeners[2].1), "listener local ".to_owned()]
    {
        assert!(told.contains(&line), "`{line}` in {told}");
    }

    let loads = [load(Target::Tcp(web), 2, 2), load(Target::Tcp(any), 2, 2), load(Target::Unix(path.clone()), 2, 2)];
    for _ in 0..5 {
        room_to_drain(&mut fetchd);
        restart(&fetchd);
    }
    let (number, last) = serves_from(&mut fetchd, 6);
    assert_eq!((number, sockets(last)), (6, held), "the very same sockets, under the same numbers");
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().ino(), inode, "the path was not bound again");
    for load in loads {
        let report = load.stop();
        assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
        assert!(report.versions.iter().any(|seen| seen.pid == last), "{:?}", report.versions);
    }
    settled(&mut fetchd);
    let mut local = UnixStream::connect(&path).unwrap();
    local.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    local.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(&format!("\"pid\":{last}")), "{answer}");
    assert_eq!(fetchd.stop().code(), Some(0));
    assert!(!path.exists(), "the path is removed at the real stop");
}
