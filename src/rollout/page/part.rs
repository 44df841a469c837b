//! The sections of the page.

use super::html::Html;
use super::shape;
use crate::clock::Timestamp;
use crate::fleet::Clock;
use crate::rollout::plain;
use crate::rollout::text::{counts, relative};
use crate::rollout::view::{Failing, Halted, Ring, Step, View, Word};

/// So many lines of a log are shown.
const LOG: usize = 40;

/// Every section of a view.
pub(super) fn all(html: &mut Html, view: &View) {
    header(html, view);
    halt(html, view);
    next(html, view);
    steps(html, view);
    hosts(html, view);
    failing(html, view);
    facts(html, view);
}

fn header(html: &mut Html, view: &View) {
    html.raw("<header><h1>").text(&view.product).raw(" <small>").text(&view.channel).raw("</small></h1>\n");
    html.raw("<p id=\"state\" class=\"state ").raw(view.state.word()).raw("\"><span aria-hidden=\"true\">");
    html.raw(shape(view.state)).raw("</span> <b>").raw(view.state.word()).raw("</b></p>\n");
    html.raw("<p>Release <code id=\"release\">").text(&view.release).raw("</code></p></header>\n");
}

fn halt(html: &mut Html, view: &View) {
    let Some(halt) = &view.halt else { return };
    html.raw(
        "<section id=\"halt\" class=\"banner\" role=\"alert\"><h2><span aria-hidden=\"true\">✗</span> Halted</h2><p>",
    );
    html.text(&capital(&halt.text)).raw(".</p>");
    if let Some(at) = halt.at {
        html.raw("<p>");
        time(html, at, view.at);
        if let Some(by) = &halt.by {
            html.raw(", by <code>").text(by).raw("</code>");
        }
        html.raw("</p>");
    }
    match (&halt.latch, &halt.sha256) {
        (Some(latch), Some(sha256)) => {
            html.raw("<p>Latch <code>").text(latch).raw("</code>, SHA-256 <code>").text(sha256).raw("</code></p>");
            html.raw("<p>To go on all the same: <code>fetchd fleet resume --ack ").text(Halted::short(sha256));
            html.raw("</code></p>");
        }
        _ => {
            html.raw("<p>There is no latch: the signed state or the figures stop it.</p>");
        }
    }
    html.raw("</section>\n");
}

fn next(html: &mut Html, view: &View) {
    html.raw("<section id=\"next\"><h2>Next</h2><p>").prose(&view.next.text);
    if let Some(at) = view.next.at {
        html.raw(" ");
        time(html, at, view.at);
    }
    html.raw("</p></section>\n");
}

fn steps(html: &mut Html, view: &View) {
    html.raw("<section id=\"steps\"><h2>Steps</h2>\n");
    html.raw("<svg class=\"defs\" aria-hidden=\"true\" width=\"0\" height=\"0\"><defs>");
    html.raw("<pattern id=\"hatched\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">");
    html.raw("<rect class=\"bad\" width=\"6\" height=\"6\"/><rect class=\"gap\" width=\"2\" height=\"6\"/></pattern>");
    html.raw("<pattern id=\"dotted\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">");
    html.raw("<rect class=\"gap\" width=\"6\" height=\"6\"/><rect class=\"way\" width=\"3\" height=\"6\"/></pattern></defs></svg>\n");
    html.raw("<p class=\"legend\"><span><svg viewBox=\"0 0 20 10\"><rect class=\"ok\" width=\"20\" height=\"10\"/></svg> ok</span> ");
    html.raw("<span><svg viewBox=\"0 0 20 10\"><rect fill=\"url(#dotted)\" width=\"20\" height=\"10\"/></svg> under way</span> ");
    html.raw("<span><svg viewBox=\"0 0 20 10\"><rect fill=\"url(#hatched)\" width=\"20\" height=\"10\"/></svg> bad or silent</span></p>\n");
    for (number, ring) in view.rings.iter().enumerate() {
        self::ring(html, ring, number, view.at);
    }
    html.raw("</section>\n");
}

fn ring(html: &mut Html, ring: &Ring, number: usize, now: Timestamp) {
    html.raw("<div class=\"ring\" data-key=\"ring-").number(number).raw("\"><h3>Ring ").text(&ring.name);
    if ring.hosts > 0 {
        html.raw(" <small>about ").number(ring.hosts).raw(" hosts</small>");
    }
    html.raw("</h3><ol>\n");
    for step in &ring.steps {
        html.raw("<li class=\"step ").raw(step.state.word()).raw("\" data-key=\"").number(step.number).raw("\">");
        html.raw("<p class=\"line\"><b>")
            .number(step.pct)
            .raw(" %</b> <span class=\"word\"><span aria-hidden=\"true\">");
        html.raw(mark(step.state)).raw("</span> ").raw(step.state.word()).raw("</span>");
        if let Some((word, at)) = when(step) {
            html.raw(" <span class=\"when\">").raw(word).raw(" ");
            time(html, at, now);
            html.raw("</span>");
        }
        html.raw("</p>");
        bar(html, step);
        html.raw("<p class=\"counts\">").text(&counts(step)).raw("</p>");
        if let Some(waits) = &step.waits {
            html.raw("<p class=\"waits\">").text(&capital(waits)).raw(".</p>");
        }
        html.raw("</li>\n");
    }
    html.raw("</ol></div>\n");
}

fn mark(word: Word) -> &'static str {
    match word {
        Word::Closed => "○",
        Word::Opens => "◷",
        Word::Filling => "▶",
        Word::Stopped => "■",
        Word::Baking => "◉",
        Word::Waiting => "‖",
        Word::Passed => "✓",
    }
}

/// The time that matters for a step, and the word before it.
fn when(step: &Step) -> Option<(&'static str, Timestamp)> {
    match step.state {
        Word::Opens => step.opens.map(|at| ("at", at)),
        Word::Filling => step.full.map(|at| ("until", at)),
        Word::Baking => step.bakes_until.map(|at| ("until", at)),
        Word::Passed => step.passed_at.map(|at| ("at", at)),
        Word::Closed | Word::Waiting | Word::Stopped => None,
    }
}

/// The bar of a step: attributes alone, since the policy allows no style of an element.
fn bar(html: &mut Html, step: &Step) {
    let whole = step.expected.max(step.started).max(1);
    // Of 1000; whatever is there at all is seen.
    let width = |many: u64| {
        let exact = u128::from(many) * 1000 / u128::from(whole);
        u64::try_from(exact).unwrap_or(1000).clamp(if many > 0 { 8 } else { 0 }, 1000)
    };
    let failed = width(step.bad.saturating_add(step.overdue));
    let started = width(step.started).max(failed);
    let ok = width(step.ok).min(started - failed);
    html.raw("<svg class=\"bar\" viewBox=\"0 0 1000 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    html.text(&counts(step)).raw("\"><rect class=\"none\" width=\"1000\" height=\"24\"/>");
    for (class, from, wide) in [
        ("\"ok\"", 0, ok),
        ("\"way\" fill=\"url(#dotted)\"", ok, started - failed - ok),
        ("\"bad\" fill=\"url(#hatched)\"", started - failed, failed),
    ] {
        html.raw("<rect class=").raw(class).raw(" x=\"").number(from).raw("\" width=\"").number(wide);
        html.raw("\" height=\"24\"/>");
    }
    html.raw("</svg>");
}

fn hosts(html: &mut Html, view: &View) {
    let hosts = &view.hosts;
    html.raw("<section id=\"hosts\"><h2>Hosts</h2>");
    html.raw("<p>");
    match hosts.inventory {
        Some(known) => {
            html.raw(if hosts.inventory_at_least { "At least " } else { "" }).number(known).raw(" in the inventory, ");
        }
        None => {
            html.raw("No inventory, ");
        }
    }
    html.raw("about ").number(hosts.planned).raw(" planned.</p><ul class=\"tiles\">");
    for (class, mark, many, word) in [
        ("ok", "✓", hosts.ok, "ok"),
        ("way", "…", hosts.under_way, "under way"),
        ("bad", "✗", hosts.bad, "bad"),
        ("bad", "?", hosts.overdue, "silent"),
        ("none", "–", hosts.declined, "declined"),
        ("none", "○", hosts.waiting, "waiting"),
    ] {
        html.raw("<li class=\"").raw(class).raw("\"><b>").number(many).raw("</b> <span><span aria-hidden=\"true\">");
        html.raw(mark).raw("</span> ").raw(word).raw("</span></li>");
    }
    html.raw("</ul></section>\n");
}

fn failing(html: &mut Html, view: &View) {
    if view.failing.is_empty() {
        return;
    }
    html.raw("<section id=\"failing\"><h2>Failing hosts</h2>\n");
    for host in &view.failing {
        html.raw("<details data-key=\"").number(host.host).raw("\"><summary><span aria-hidden=\"true\">✗</span> <b>");
        html.text(host.name.as_deref().unwrap_or(&host.host.to_string())).raw("</b> <code>");
        html.text(host.code.as_str()).raw("</code> ");
        ago(html, host.at, view.at);
        html.raw("</summary>");
        detail(html, host, view.at);
        html.raw("</details>\n");
    }
    if view.failing_more > 0 {
        html.raw("<p>And ").number(view.failing_more);
        html.raw(" more: <code>fetchd fleet hosts --state bad</code>.</p>");
    }
    html.raw("</section>\n");
}

fn detail(html: &mut Html, host: &Failing, now: Timestamp) {
    if let Some(reason) = &host.reason {
        html.raw("<p>").text(reason).raw("</p>");
    }
    html.raw("<p>Host <code>").number(host.host).raw("</code>");
    if let Some((ring, step)) = &host.place {
        html.raw(", step ").number(step).raw(" of ").text(ring);
    }
    if let Some(attempt) = host.attempt {
        html.raw(", attempt ").number(attempt);
    }
    if let Some(from) = &host.from {
        html.raw(", from ").text(from);
    }
    html.raw(", ");
    time(html, host.at, now);
    html.raw("</p>");
    if let Some(apart) = host.clock_ahead_s.map(i64::unsigned_abs).filter(|apart| *apart > Clock::TOLERATED) {
        html.raw("<p>Its clock was ").number(apart).raw(" s off.</p>");
    }
    let lines = plain::last_lines(host.log.as_deref().unwrap_or_default(), LOG, 400);
    if lines.is_empty() {
        html.raw("<p>It sent no log.</p>");
    } else {
        html.raw("<pre tabindex=\"0\" aria-label=\"The end of its log\">").lines(&lines).raw("</pre>");
    }
}

fn facts(html: &mut Html, view: &View) {
    html.raw("<section id=\"facts\"><h2>Rollout</h2><dl>");
    let mut row = |name: &'static str, value: &dyn Fn(&mut Html)| {
        html.raw("<div><dt>").raw(name).raw("</dt><dd>");
        value(html);
        html.raw("</dd></div>");
    };
    row("Id", &|html| {
        html.raw("<code>").text(&view.rollout).raw("</code>, attempt ").number(view.attempt);
    });
    row("Signed state", &|html| {
        html.number(view.seq).raw(", valid until ");
        time(html, view.valid_until, view.at);
    });
    row("Begun", &|html| time(html, view.t0, view.at));
    if !view.base.is_empty() {
        row("Replaces", &|html| {
            html.text(&view.base.join(", "));
        });
    }
    row("Counted", &|html| match view.rollup.as_of {
        Some(as_of) => {
            time(html, as_of, view.at);
            html.raw(if view.rollup.stale { " <b>too old</b>" } else { "" });
        }
        None => {
            html.raw("never");
        }
    });
    if let Some(stewards) = view.rollup.stewards {
        row("Stewards", &|html| {
            html.number(stewards);
        });
    }
    for leases in &view.leases {
        row("Leases", &|html| {
            html.text(&leases.group).raw(": ").number(leases.used);
            if let Some(slots) = leases.slots {
                html.raw(" of ").number(slots);
            }
        });
    }
    row("Requests cost", &|html| {
        let cost = &view.cost;
        html.raw("about $").text(&format!("{:.2}", cost.idle_month)).raw(" a month idle, $");
        html.text(&format!("{:.2}", cost.open_month)).raw(" with a step open, $");
        html.text(&format!("{:.2}", cost.rollout)).raw(" for a rollout");
    });
    html.raw("</dl>");
    if !view.notes.is_empty() {
        html.raw("<ul id=\"notes\">");
        for note in &view.notes {
            html.raw("<li>").text(note).raw("</li>");
        }
        html.raw("</ul>");
    }
    html.raw("</section>\n");
}

/// A time, and how far it is: the script goes on counting.
fn time(html: &mut Html, at: Timestamp, now: Timestamp) {
    html.raw("<time datetime=\"").number(at).raw("\">").text(&at.to_string().replace('T', " ").replace('Z', " UTC"));
    html.raw("</time> (");
    ago(html, at, now);
    html.raw(")");
}

fn ago(html: &mut Html, at: Timestamp, now: Timestamp) {
    html.raw("<span class=\"ago\" data-at=\"").number(at.0).raw("\">").text(&relative(at, now)).raw("</span>");
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
