//! TLS, against a server with a certificate that only `ca_file` makes trusted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_fetchers::{Fetcher, Kind, Registry};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

use super::{offered, options, poll};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/tls/ca.pem");

/// Answers one connection with `answer`, and tells which protocol was agreed on.
fn serve(answer: String) -> (Url, JoinHandle<Option<Vec<u8>>>) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/app", listener.local_addr().unwrap())).unwrap();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                _ => return None,
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    });
    (url, serving)
}

fn trusting(url: &Url) -> Box<dyn Fetcher> {
    Registry::builtin().open(url, &options(&[("ca_file", CA)])).unwrap()
}

#[test]
fn an_added_authority_is_trusted_and_the_protocol_is_http_1() {
    let (url, serving) = serve("HTTP/1.1 200 X\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\n".to_owned());
    assert_eq!(offered(&*trusting(&url)).assets[0].size, Some(3));
    assert_ne!(serving.join().unwrap(), Some(b"h2".to_vec()));
}

#[test]
fn an_unknown_authority_is_unreachable() {
    let (url, serving) = serve(String::new());
    let error = poll(&*Registry::builtin().open(&url, &options(&[])).unwrap(), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(serving.join().unwrap(), None);
}

#[test]
fn r55_https_is_never_redirected_to_http() {
    let plain = ScriptedOrigin::start();
    plain.put("/app", "app");
    let (url, serving) =
        serve(format!("HTTP/1.1 302 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", plain.url("/app")));
    let error = poll(&*trusting(&url), None).unwrap_err();
    assert!(error.to_string().ends_with("redirects from https to plain http, which is refused"), "{error}");
    serving.join().unwrap();
    assert!(plain.requests().is_empty());
}

/// Runs the test `name` once more, in a process for which the system's certificates are those of `file`. `false`: this is
/// that process.
fn with_certificates(file: &str, name: &str) -> bool {
    if std::env::var_os("SSL_CERT_FILE").is_some_and(|found| found == file) {
        return false;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    for proxy in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"] {
        again.env_remove(proxy);
    }
    let ended = again.args(["--exact", name]).env("SSL_CERT_FILE", file).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    true
}

#[test]
fn certificates_are_not_read_where_nothing_is_encrypted() {
    if with_certificates("/there/are/none", "tls::certificates_are_not_read_where_nothing_is_encrypted") {
        return;
    }
    let plain = ScriptedOrigin::start();
    plain.put("/app", "app");
    let url = plain.url("/app");
    let open = |url: &Url, more: &[(&str, &str)]| {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]));
        Registry::builtin().open(url, &more.collect())
    };
    assert_eq!(offered(&*open(&url, &[]).unwrap()).assets[0].size, Some(3));
    assert_eq!(offered(&*open(&url, &[("proxy", "none")]).unwrap()).assets[0].size, Some(3));

    // Where something may be, they are missed at once.
    let proxy = [("proxy", "http://127.0.0.1:9")];
    for (url, more) in [("https://127.0.0.1:9/app", &[][..]), (url.as_str(), &proxy)] {
        let refused = open(&url.parse().unwrap(), more).unwrap_err();
        assert!(refused.message.contains("certificates"), "{}", refused.message);
    }
}

#[test]
fn a_redirect_to_https_is_followed_with_the_certificates_of_the_system() {
    if with_certificates(CA, "tls::a_redirect_to_https_is_followed_with_the_certificates_of_the_system") {
        return;
    }
    let (secure, serving) = serve("HTTP/1.1 200 X\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\n".to_owned());
    let plain = ScriptedOrigin::start();
    plain.script("/app", vec![Step::Redirect(secure.into())]);
    let fetcher = Registry::builtin().open(&plain.url("/app"), &options(&[])).unwrap();
    assert_eq!(offered(&*fetcher).assets[0].size, Some(3));
    assert!(serving.join().unwrap().is_some());
}

#[test]
fn a_redirect_to_https_trusts_no_stranger() {
    let (secure, serving) = serve(String::new());
    let plain = ScriptedOrigin::start();
    plain.script("/app", vec![Step::Redirect(secure.into())]);
    let fetcher = Registry::builtin().open(&plain.url("/app"), &options(&[])).unwrap();
    assert_eq!(poll(&*fetcher, None).unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(serving.join().unwrap(), None);
}
