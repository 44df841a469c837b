//! Where a redirect leads, if it may be followed.

use url::Url;

/// A redirect that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("redirects without saying where to")]
    Nowhere,
    #[error("redirects to something that is not a URL")]
    NotAUrl,
    #[error("redirects from https to plain http, which is refused")]
    Downgrade,
    #[error("redirects to something other than http or https")]
    Scheme,
}

/// The URL after `from`, by the bytes of a `Location` header. Any bytes are survived.
pub(crate) fn next_hop(from: &Url, location: Option<&[u8]>) -> Result<Url, Refused> {
    let location = location.ok_or(Refused::Nowhere)?;
    let text = std::str::from_utf8(location).map_err(|_| Refused::NotAUrl)?;
    let mut next = from.join(text).map_err(|_| Refused::NotAUrl)?;
    match (from.scheme(), next.scheme()) {
        ("https", "http") => return Err(Refused::Downgrade),
        (_, "http" | "https") => {}
        _ => return Err(Refused::Scheme),
    }
    // User information in a `Location` would be sent as credentials nobody configured. Both calls
    // fail only for URLs without a host, and http has one.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, location: &[u8]) -> Result<String, Refused> {
        next_hop(&Url::parse(from).unwrap(), Some(location)).map(String::from)
    }

    #[test]
    fn a_relative_location_is_joined() {
        assert_eq!(hop("https://a.example/x/app", b"../y/app?z=1").unwrap(), "https://a.example/y/app?z=1");
    }

    #[test]
    fn https_never_falls_to_http() {
        assert_eq!(hop("https://a.example/app", b"http://a.example/app"), Err(Refused::Downgrade));
        assert_eq!(hop("http://a.example/app", b"https://a.example/app").unwrap(), "https://a.example/app");
    }

    #[test]
    fn only_http_is_followed() {
        for location in [&b"file:///etc/passwd"[..], b"ftp://a.example/app", b"data:,x"] {
            assert_eq!(hop("http://a.example/app", location), Err(Refused::Scheme));
        }
    }

    #[test]
    fn hostile_bytes_are_an_error() {
        for location in [&b"\xff\xfe"[..], b"http://[::1", b"http://a.example:99999/", b"https://\xffx/"] {
            assert_eq!(hop("http://a.example/app", location), Err(Refused::NotAUrl));
        }
        assert_eq!(next_hop(&Url::parse("http://a.example/").unwrap(), None), Err(Refused::Nowhere));
    }

    #[test]
    fn credentials_in_a_location_are_not_sent() {
        assert_eq!(hop("http://a.example/app", b"http://u:p@b.example/app").unwrap(), "http://b.example/app");
    }
}
