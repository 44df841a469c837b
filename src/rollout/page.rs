//! A view as a page: whole without a script, and kept up to date by one.

mod html;
mod part;

use self::html::Html;
use super::view::{Standing, View};
use crate::failure::Reported;

/// The style of the page.
pub const STYLE: &str = include_str!("page/page.css");

/// Its script, which replaces what has changed.
pub const SCRIPT: &str = include_str!("page/page.js");

/// Its icon.
pub const ICON: &str = include_str!("page/icon.svg");

/// What a browser may do with the page: take its style and its script from where it came from, and ask there again.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is shown: a view, or why there is none, or both where the last look failed and there is an older one.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// What was seen last.
    pub view: Option<&'a View>,
    /// Why the last look failed.
    pub trouble: Option<&'a Reported>,
}

/// The whole page, with links to its style and its script.
pub fn page(shown: Shown<'_>) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>").text(&title(shown)).raw("</title>\n");
    html.raw("<link rel=\"icon\" href=\"/icon.svg\">\n<link rel=\"stylesheet\" href=\"/page.css\">\n");
    html.raw("<script src=\"/page.js\" defer></script>\n");
    html.raw("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>\n</head>\n<body>\n");
    html.raw("<p id=\"lost\" role=\"status\" hidden></p>\n").html(&main(shown));
    html.raw("<footer>As text: <code>fetchd fleet status</code>. For programs: <a href=\"/view.json\">view.json</a>, ");
    html.raw("<a href=\"/metrics\">metrics</a>.</footer>\n</body>\n</html>\n");
    html.into_text()
}

/// The page as one file that needs nothing beside it, and that does not change any more.
pub fn file(shown: Shown<'_>) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>").text(&title(shown)).raw("</title>\n");
    html.raw("<style>\n").raw(STYLE).raw("</style>\n</head>\n<body>\n").html(&main(shown));
    html.raw("</body>\n</html>\n");
    html.into_text()
}

/// What changes of the page: the element that its script replaces.
pub fn part(shown: Shown<'_>) -> String {
    main(shown).into_text()
}

/// `halted: app stable 1.1.0`.
fn title(shown: Shown<'_>) -> String {
    match shown.view {
        Some(view) => format!("{}: {} {} {}", view.state.word(), view.product, view.channel, view.release),
        None => "no rollout".to_owned(),
    }
}

fn main(shown: Shown<'_>) -> Html {
    let mut html = Html::default();
    html.raw("<main id=\"view\" data-title=\"").text(&title(shown)).raw("\" data-now=\"");
    html.number(shown.view.map_or(0, |view| view.at.0)).raw("\">\n");
    if let Some(trouble) = shown.trouble {
        html.raw("<section id=\"trouble\" class=\"banner\" role=\"alert\"><h2>");
        html.raw(if shown.view.is_some() { "This is what was seen last" } else { "Nothing to see" });
        html.raw("</h2><p>").text(&trouble.message).raw(" <code>").text(&trouble.code).raw("</code></p>");
        if let Some(hint) = &trouble.hint {
            html.raw("<p>").text(hint).raw("</p>");
        }
        html.raw("</section>\n");
    }
    if let Some(view) = shown.view {
        part::all(&mut html, view);
    }
    html.raw("</main>\n");
    html
}

/// A shape that stands beside the word: nobody has to see colours.
fn shape(state: Standing) -> &'static str {
    match state {
        Standing::Running => "▶",
        Standing::Held => "◌",
        Standing::Paused => "‖",
        Standing::Halted => "✗",
        Standing::Expired => "⌛",
        Standing::Aborted => "■",
        Standing::Done => "✓",
    }
}

#[cfg(test)]
mod tests;
