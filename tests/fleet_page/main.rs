//! What a rollout looks like: in a terminal, to a scraper, and in a browser while it changes.
//!
//! `UPDATE_PICTURES=1` writes the pictures of `docs/images` anew.

#![allow(clippy::unwrap_used, reason = "unwrap is how a test fails")]

mod browser;
mod fleet;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fleet::Fleet;

/// How long anything may take before a test gives up: the machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a host says that is under an attacker: none of it may become part of the page.
fn hostile() -> Value {
    json!({
        "name": "<script>document.title='pwned'</script>",
        "reason": "<img src=x onerror=\"document.title='pwned'\">",
        "log": "starting\n</pre><script>document.title='pwned'</script>\n\u{1b}[31m\"><svg onload=\"document.title='pwned'\">",
    })
}

/// What an honest one says.
fn honest(name: &str) -> Value {
    json!({
        "name": name,
        "reason": "the new process exited with code 3 before it was ready",
        "log": "INFO web: reading /etc/web.toml\nERROR web: cannot open /var/lib/web/index: permission denied\nexit 3",
    })
}

#[test]
fn a_browser_sees_a_rollout_change_halt_and_end() {
    let mut fleet = Fleet::new();
    let served = fleet.serve(&[]);
    let mut browser = Browser::start();
    browser.resize(1280, 900);
    browser.dark(false);
    browser.open(&served.url);
    // The script has run: it has fetched the part once by itself.
    browser.wait_for("document.title === 'running: web stable 1.1.0+4f2a91c'");
    let words = "[...document.querySelectorAll('.step')].map(e => e.className.split(' ')[1]).join(' ')";
    assert_eq!(browser.value(words), json!("passed passed filling closed"));
    assert_eq!(browser.value("document.querySelectorAll('#halt, #failing').length"), json!(0));
    browser.resize(800, 1000);
    picture(&mut browser, "fleet-running");

    // More hosts start: the page that is open shows it.
    fleet.rollup.rings[1][1].started = 200;
    fleet.rollup.rings[1][1].ok = 180;
    fleet.write();
    browser.wait_for("document.querySelectorAll('.step')[2].innerText.includes('200 of about 240 started: 180 ok')");

    // Hosts fail, and one of them is not to be trusted.
    fleet.fails("web-17", "handoff.exited", &honest("web-17"));
    fleet.fails("web-66", "health.failed", &hostile());
    fleet.write();
    browser.wait_for("document.querySelectorAll('#failing details').length === 2");
    // Read with the keyboard alone, and still open after the next change.
    browser.value("document.querySelector('#failing summary').focus()");
    for kind in ["keyDown", "keyUp"] {
        let key = json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
        browser.call("Input.dispatchKeyEvent", key);
    }
    browser.wait_for("document.querySelector('#failing details').open");
    // Four of 200 are no more than the plan allows: it is the latch that stops it.
    for name in ["web-18", "web-19"] {
        fleet.fails(name, "handoff.exited", &honest(name));
    }
    fleet.write();
    browser.wait_for("document.querySelectorAll('#failing details').length === 4");
    assert_eq!(browser.value("document.getElementById('halt')"), Value::Null);
    fleet.latch();
    browser.wait_for("document.getElementById('halt') !== null");
    assert_eq!(browser.value("document.querySelectorAll('#failing details[open]').length"), json!(1));
    assert_eq!(browser.value("document.activeElement.tagName"), json!("SUMMARY"));
    let banner = browser.value("document.getElementById('halt').innerText");
    assert!(banner.as_str().unwrap().contains("4 of 200 started hosts are bad or silent"), "{banner}");
    assert!(browser.value("document.getElementById('state').innerText").as_str().unwrap().contains("halted"));
    browser.value("document.querySelectorAll('details').forEach(e => { e.open = true })");
    let text = browser.value("document.getElementById('failing').innerText");
    for shown in ["permission denied", "</pre><script>document.title='pwned'</script>", "web-17", "handoff.exited"] {
        assert!(text.as_str().unwrap().contains(shown), "{shown:?} is not in {text}");
    }
    assert_eq!(browser.value("document.querySelectorAll('main script, main img, main [onload]').length"), json!(0));
    assert_eq!(browser.value("document.title"), json!("halted: web stable 1.1.0+4f2a91c"));

    assert_eq!(browser.value(words), json!("passed passed stopped closed"));

    // A phone.
    browser.resize(320, 1100);
    assert_eq!(browser.overflow(), "", "at 320 pixels");
    browser.dark(true);
    picture(&mut browser, "fleet-halted");
    browser.dark(false);
    browser.resize(1280, 900);
    assert_eq!(browser.overflow(), "", "at 1280 pixels");

    fleet.server.remove("fleet/latch/r-2026-11-29-1/halt");
    fleet.finish();
    browser.wait_for("document.getElementById('state').innerText.includes('done')");
    assert_eq!(browser.value(words), json!("passed passed passed passed"));
    browser.resize(800, 700);
    picture(&mut browser, "fleet-done");
    assert_eq!(browser.complaints, Vec::<String>::new());

    // Without its script it is a page all the same.
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.call("Page.navigate", json!({ "url": format!("{}?again", served.url) }));
    browser.wait_for("location.search === '?again' && document.readyState === 'complete'");
    assert_eq!(browser.value(words), json!("passed passed passed passed"));
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn whoever_has_the_token_steers_a_rollout_and_sees_first_what_that_does() {
    let fleet = Fleet::new();
    let served = fleet.serve(&["--rollout-key", fleet.secret.to_str().unwrap()]);
    let (plain, token) = served.url.split_once('#').unwrap();
    assert_eq!(token.len(), 64);
    let mut browser = Browser::start();
    browser.resize(320, 800);
    // Who only knows the address sees no button.
    browser.open(plain);
    browser.wait_for("document.title === 'running: web stable 1.1.0+4f2a91c'");
    assert_eq!(browser.value("document.getElementById('operate').hidden"), json!(true));
    browser.call("Page.navigate", json!({ "url": "about:blank" }));
    browser.call("Page.navigate", json!({ "url": served.url }));
    browser.wait_for("document.getElementById('operate')?.hidden === false");
    assert_eq!(browser.value("location.href"), json!(plain), "the token is not left where it can be seen");
    let offered = "[...document.querySelectorAll('#operate button')].filter(b => !b.hidden).map(b => b.dataset.change)";
    assert_eq!(browser.value(offered), json!(["pause", "abort"]));
    browser.value("document.querySelector('[data-change=pause]').click()");
    browser.wait_for("document.getElementById('confirm').open");
    let effect = browser.value("document.getElementById('effect').textContent");
    assert!(effect.as_str().unwrap().contains("running → paused"), "{effect}");
    assert_eq!(browser.overflow(), "", "at 320 pixels");
    let before = fleet.server.get("fleet/head/web/stable.json").unwrap();
    browser.value("document.getElementById('no').click()");
    browser.wait_for("!document.getElementById('confirm').open");
    assert_eq!(fleet.server.get("fleet/head/web/stable.json").unwrap(), before);
    browser.value("document.querySelector('[data-change=pause]').click()");
    browser.wait_for("document.getElementById('confirm').open");
    browser.value("document.getElementById('yes').click()");
    browser.wait_for("document.getElementById('state').innerText.includes('paused')");
    browser.wait_for("document.getElementById('done').textContent.startsWith('Wrote state 4 ')");
    assert_eq!(browser.value(offered), json!(["resume", "abort"]));
    let json: Value = serde_json::from_str(&output(&fleet, &["--json"])).unwrap();
    assert_eq!((&json["state"], &json["seq"]), (&json!("paused"), &json!(4)));
    // It goes on, and is ended for ever: then nothing is left to be done.
    for (change, effect, state, seq) in
        [("resume", "paused → running", "running", 5), ("abort", "running → aborted", "aborted", 6)]
    {
        browser.value(&format!("document.querySelector('[data-change={change}]').click()"));
        browser.wait_for("document.getElementById('confirm').open");
        let shown = browser.value("document.getElementById('effect').textContent");
        assert!(shown.as_str().unwrap().contains(effect), "{shown}");
        browser.value("document.getElementById('yes').click()");
        browser.wait_for(&format!("document.getElementById('state').innerText.includes('{state}')"));
        browser.wait_for(&format!("document.getElementById('done').textContent.startsWith('Wrote state {seq} ')"));
    }
    assert_eq!(browser.value(offered), json!([]));
    assert_eq!(browser.complaints, Vec::<String>::new());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_terminal_and_a_scraper_see_the_same_rollout() {
    let mut fleet = Fleet::new();
    fleet.fails("web-66", "health.failed", &hostile());
    fleet.write();
    let text = output(&fleet, &[]);
    assert!(text.starts_with("web stable  1.1.0+4f2a91c  RUNNING\n"), "{text}");
    assert!(text.contains("ring prod, about 1200 hosts") && text.contains("FAILED <script>"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let json: Value = serde_json::from_str(&output(&fleet, &["--json"])).unwrap();
    assert_eq!((&json["schema"], &json["state"], &json["hosts"]["bad"]), (&json!(1), &json!("running"), &json!(1)));
    let metrics = output(&fleet, &["--prometheus"]);
    let line = "fetchd_fleet_hosts{product=\"web\",channel=\"stable\",state=\"bad\"} 1";
    assert!(metrics.lines().any(|shown| shown == line), "{metrics}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollout.html");
    assert_eq!(output(&fleet, &["--html", file.to_str().unwrap()]), "");
    let html = std::fs::read_to_string(file).unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
}

#[test]
fn a_head_that_nobody_has_signed_is_not_shown() {
    let fleet = Fleet::new();
    let stranger = Fleet::new();
    let head = stranger.server.get("fleet/head/web/stable.json").unwrap();
    fleet.server.put("fleet/head/web/stable.json", head);
    let output = fleet.status(&["--json"]);
    assert_eq!(output.status.code(), Some(20));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"code\":\"signature."), "{output:?}");
}

#[test]
fn only_who_insists_is_reached_by_others() {
    let fleet = Fleet::new();
    let refused = fleet.command("serve", &["--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--listen-anyway"), "{refused:?}");
    let served = fleet.serve(&["--host", "fleet.example.com"]);
    let address = served.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(ask(&address, "fleet.example.com").starts_with("HTTP/1.1 200 "));
    assert!(ask(&address, &address).starts_with("HTTP/1.1 200 "));
    let rebound = ask(&address, "evil.example");
    assert!(rebound.starts_with("HTTP/1.1 421 ") && !rebound.contains("1.1.0"), "{rebound}");
    assert_eq!(served.stop(), Some(0));
}

fn output(fleet: &Fleet, more: &[&str]) -> String {
    let output = fleet.status(more);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The answer to a request with this `Host`.
fn ask(address: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Takes a picture for the documentation, if it is wanted.
fn picture(browser: &mut Browser, name: &str) {
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/{name}.png"));
        std::fs::write(path, browser.picture()).unwrap();
    }
}
