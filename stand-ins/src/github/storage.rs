//! The origin of the bytes, which an API answer points to with a link that is signed and ends.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::Shared;
use super::answer::Answer;
use super::state::{Repository, State, hex};

/// Where the bytes of an asset are, with one more download counted.
pub(super) fn redirect(shared: &Shared, repository: &mut Repository, asset: u64) -> Answer {
    let path = format!("/github-production-release-asset/{}/{asset}", repository.id);
    let Some(found) = repository.asset_by_id_mut(asset).filter(|asset| asset.state == "uploaded") else {
        return Answer::error(404);
    };
    found.downloads += 1;
    let expires = SystemTime::now() + Duration::from_secs(3600);
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("sp", "r")
        .append_pair("sv", "2018-11-09")
        .append_pair("se", &expires.to_string())
        .append_pair("sig", &signature(&path, expires))
        .append_pair("rscd", &format!("attachment; filename={}", found.name))
        .append_pair("rsct", "application/octet-stream")
        .finish();
    Answer::empty(302).with("location", format!("{}{path}?{query}", shared.storage_root()))
}

/// What a GET or HEAD of a link is answered with.
pub(super) fn read(state: &State, request: &Parts) -> Answer {
    let refuse = |status: u16, code: &str| {
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
        Answer::new(status, "application/xml", body)
    };
    if request.headers.contains_key("authorization") {
        // What a store of objects says to a link that is signed and a header besides.
        return refuse(400, "InvalidAuthenticationInfo");
    }
    let path = request.uri.path();
    let pairs: Vec<_> =
        url::form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let expires: Option<u64> = value("se").and_then(|text| text.parse().ok());
    if expires.is_none_or(|expires| value("sig") != Some(&signature(path, expires))) {
        return refuse(403, "AuthenticationFailed");
    }
    let id = path.rsplit('/').next().and_then(|id| id.parse().ok());
    let found = id.and_then(|id| state.repositories.iter().find_map(|repository| repository.asset_by_id(id)));
    let Some((_, asset)) = found else { return refuse(404, "BlobNotFound") };

    let etag = format!("\"0x{}\"", &asset.sha256[..16].to_uppercase());
    let modified = httpdate::fmt_http_date(asset.created);
    let total = asset.bytes.len();
    let range = wanted(request, total, &etag, &modified);
    let mut answer = match &range {
        Some(range) if range.is_empty() => {
            refuse(416, "InvalidRange").with("content-range", format!("bytes */{total}"))
        }
        Some(range) => Answer::new(206, &asset.content_type, asset.bytes.slice(range.clone()))
            .with("content-range", format!("bytes {}-{}/{total}", range.start, range.end - 1)),
        None => Answer::new(200, &asset.content_type, asset.bytes.clone()),
    };
    answer.set("etag", etag);
    answer.set("last-modified", modified);
    answer.set("accept-ranges", "bytes");
    answer.is_asset = answer.status < 300;
    answer
}

/// The range to answer with, empty if it begins past the end; `None` for the whole.
fn wanted(request: &Parts, total: usize, etag: &str, modified: &str) -> Option<Range<usize>> {
    let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let (first, last) = text("range")?.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = last.parse::<usize>().map_or(total, |last| last.saturating_add(1).min(total));
    let holds = text("if-range").is_none_or(|validator| validator == etag || validator == modified);
    holds.then_some(first..end.max(first))
}

fn signature(path: &str, expires: u64) -> String {
    hex(&Sha256::digest(format!("the key of the storage {path} {expires}")))
}
