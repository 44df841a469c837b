use super::*;
use crate::failure::Exit;
use crate::rollout::view::tests::{halted, view};

fn shown(view: &View) -> Shown<'_> {
    Shown { view: Some(view), trouble: None }
}

#[test]
fn nothing_that_a_host_says_becomes_markup() {
    let mut view = halted();
    let evil = "</title></main><script>alert(1)</script>\" onload='x'";
    (view.product, view.release) = (evil.to_owned(), evil.to_owned());
    view.rings[0].name = evil.to_owned();
    view.notes = vec![evil.to_owned()];
    view.leases = vec![crate::rollout::view::Leases { group: evil.to_owned(), used: 1, slots: Some(2) }];
    for html in [page(shown(&view)), file(shown(&view))] {
        let ours = html.matches("<script").count();
        assert_eq!(ours, usize::from(html.contains("/page.js")), "{html}");
        assert!(html.contains("&lt;script&gt;alert(2)&lt;/script&gt;"), "{html}");
        assert!(!html.contains("<img") && !html.contains('\u{1b}') && !html.contains("\" onload"), "{html}");
        assert_eq!(html.matches("</main>").count(), 1);
    }
}

#[test]
fn the_page_needs_neither_inline_script_nor_inline_style() {
    let html = page(shown(&halted()));
    assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("javascript:"), "{html}");
    assert!(!html.contains(" onclick") && !POLICY.contains("unsafe"));
    for from in ["http://", "https://"] {
        assert!(!html.contains(from) && !SCRIPT.contains(from) && !STYLE.contains(from), "it loads from elsewhere");
    }
}

#[test]
fn the_file_needs_nothing_beside_it() {
    let html = file(shown(&view()));
    assert!(!html.contains("href=") && !html.contains("src=") && html.contains("<style>"));
    assert!(html.contains("<b>running</b>") && html.contains("Step 2 (10 %) is filling"));
}

#[test]
fn trouble_is_shown_beside_what_was_seen_last() {
    let trouble = Reported {
        code: "source.unreachable".to_owned(),
        exit: Exit::Unreachable,
        message: "the bucket <does> not answer".to_owned(),
        hint: None,
    };
    let view = view();
    let both = page(Shown { view: Some(&view), trouble: Some(&trouble) });
    assert!(both.contains("the bucket &lt;does&gt; not answer") && both.contains("id=\"steps\""));
    let alone = page(Shown { view: None, trouble: Some(&trouble) });
    assert!(alone.contains("Nothing to see") && !alone.contains("id=\"steps\""));
}

/// Readable without colours, and for those who hear it.
#[test]
fn every_state_has_a_shape_and_a_word() {
    let mut view = view();
    let shapes: std::collections::BTreeSet<&str> = Standing::ALL.into_iter().map(shape).collect();
    assert_eq!(shapes.len(), Standing::ALL.len());
    for state in Standing::ALL {
        view.state = state;
        let html = part(shown(&view));
        assert!(html.contains(&format!("{}</span> <b>{}</b>", shape(state), state.word())));
    }
    assert!(part(shown(&view)).contains("role=\"img\" aria-label=\"40 of about 90 started: 36 ok"));
}
