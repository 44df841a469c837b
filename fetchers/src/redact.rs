//! URLs as they may be printed.

use url::Url;

/// `url` without its user information and fragment, and with every query value replaced by `***`.
///
/// Names of query parameters stay, since they help to find the line in a configuration. A query
/// part without `=` may be a token by itself and is hidden whole.
pub fn redact(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot have user information, which then have none to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let Some(query) = url.query() else { return shown.into() };
    shown.set_query(None);
    let hidden: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=***"),
            None => "***".to_owned(),
        })
        .collect();
    format!("{shown}?{}", hidden.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        redact(&Url::parse(url).unwrap())
    }

    #[test]
    fn user_information_is_dropped() {
        assert_eq!(shown("https://ann:pass@example.com/app"), "https://example.com/app");
    }

    #[test]
    fn query_values_are_hidden_and_names_kept() {
        assert_eq!(shown("https://example.com/app?X-Sig=abc&v=1"), "https://example.com/app?X-Sig=***&v=***");
    }

    #[test]
    fn a_query_that_is_a_bare_token_is_hidden_whole() {
        assert_eq!(shown("https://example.com/app?SECRET"), "https://example.com/app?***");
    }

    #[test]
    fn a_fragment_is_dropped() {
        assert_eq!(shown("https://example.com/app#SECRET"), "https://example.com/app");
    }
}
