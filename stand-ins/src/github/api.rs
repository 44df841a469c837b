//! The releases API: what is read of it.

use hyper::http::request::Parts;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::state::{Repository, State, hex};
use super::{Shared, shapes, storage};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The token, if it is a valid one.
    pub(super) token: Option<String>,
    /// Whether the token may see and write the repositories.
    pub(super) member: bool,
}

/// What every answer needs: who asks, counted against the hour's requests. `Err` is the answer.
pub(super) fn admit(state: &mut State, request: &Parts) -> Result<Caller, Answer> {
    if !request.headers.contains_key("user-agent") {
        let message =
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Err(Answer::new(403, "text/plain", message));
    }
    let given = request.headers.get("authorization").map(|value| String::from_utf8_lossy(value.as_bytes()).to_string());
    let token = given.as_deref().map(|given| given.strip_prefix("Bearer ").or(given.strip_prefix("token ")));
    let caller = match token {
        None => Caller { token: None, member: false },
        Some(token) => {
            let token = token.unwrap_or_default();
            let Some(member) = state.tokens.get(token) else { return Err(Answer::error(401)) };
            Caller { token: Some(token.to_owned()), member: *member }
        }
    };
    let quota = state.quota(caller.token.as_deref());
    if quota.used >= quota.limit {
        let mut answer = Answer::json(403, &shapes::error(403, "API rate limit exceeded for 127.0.0.1."));
        count(&mut answer, state, &caller, 0);
        return Err(answer);
    }
    Ok(caller)
}

/// Counts `requests` against the hour of `caller` and says on the answer where that stands.
pub(super) fn count(answer: &mut Answer, state: &mut State, caller: &Caller, requests: u64) {
    let quota = state.quota(caller.token.as_deref());
    quota.used = (quota.used + requests).min(quota.limit);
    let reset = quota.reset.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    answer.set("x-ratelimit-limit", quota.limit.to_string());
    answer.set("x-ratelimit-remaining", (quota.limit - quota.used).to_string());
    answer.set("x-ratelimit-used", quota.used.to_string());
    answer.set("x-ratelimit-reset", reset.as_secs().to_string());
    answer.set("x-ratelimit-resource", "core");
}

/// What a GET of `path` is answered with.
pub(super) fn read(shared: &Shared, state: &mut State, request: &Parts, path: &str, caller: &Caller) -> Answer {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if let [owner, name, "releases", "download", tag, asset] = parts[..] {
        return by_browser(shared, state, caller, &format!("{owner}/{name}"), &unescaped(tag), &unescaped(asset));
    }
    let (index, rest) = match find(shared, state, &parts, caller) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let digests = state.digests;
    let repository = &mut state.repositories[index];
    let shown = |release: &super::state::Release| !release.draft || caller.member;
    let one = |repository: &Repository, release: Option<&super::state::Release>| match release {
        Some(release) => Answer::json(200, &shapes::release(shared, digests, repository, release)),
        None => Answer::error(404),
    };
    match rest {
        ["releases"] => list(shared, digests, repository, caller, request),
        ["releases", "latest"] => one(repository, repository.latest()),
        ["releases", "tags", tag @ ..] => {
            let tag = unescaped(&tag.join("/"));
            let found = repository.releases.iter().find(|release| !release.draft && release.tag == tag);
            one(repository, found)
        }
        ["releases", "assets", id] => {
            let bytes = request.headers.get("accept").is_some_and(|accept| accept == "application/octet-stream");
            let found = id.parse().ok().and_then(|id| repository.asset_by_id(id));
            match found.filter(|(release, _)| shown(release)) {
                None => Answer::error(404),
                Some((release, asset)) if !bytes => {
                    Answer::json(200, &shapes::asset(shared, digests, repository, release, asset))
                }
                Some((_, asset)) => {
                    let id = asset.id;
                    storage::redirect(shared, repository, id)
                }
            }
        }
        ["releases", id] => {
            let found = repository.releases.iter().find(|release| release.id.to_string() == **id);
            one(repository, found.filter(|release| shown(release)))
        }
        ["releases", id, "assets"] => {
            let found = repository.releases.iter().find(|release| release.id.to_string() == **id);
            match found.filter(|release| shown(release)) {
                None => Answer::error(404),
                Some(release) => {
                    let each = release.assets.iter();
                    let all: Vec<_> =
                        each.map(|asset| shapes::asset(shared, digests, repository, release, asset)).collect();
                    page(shared, request, path, all)
                }
            }
        }
        _ => Answer::error(404),
    }
}

/// The repository that `parts` begin with and what follows it, or the answer: 404 for one that the
/// caller may not see, 301 for one that has another name now.
pub(super) fn find<'a>(
    shared: &Shared,
    state: &State,
    parts: &'a [&'a str],
    caller: &Caller,
) -> Result<(usize, &'a [&'a str]), Answer> {
    let all = &state.repositories;
    let (index, rest) = match parts {
        ["repos", owner, name, rest @ ..] => {
            let full = format!("{owner}/{name}");
            let same = |known: &String| known.eq_ignore_ascii_case(&full);
            if let Some(moved) = all.iter().find(|one| one.former.iter().any(same) && !same(&one.name)) {
                let rest = rest.join("/");
                let to = format!("{}/repositories/{}/{rest}", shared.api_root(), moved.id);
                let mut body = shapes::error(301, "Moved Permanently");
                body["url"] = Value::from(to.clone());
                return Err(Answer::json(301, &body).with("location", to));
            }
            (all.iter().position(|one| same(&one.name)), rest)
        }
        ["repositories", id, rest @ ..] => (all.iter().position(|one| one.id.to_string() == **id), rest),
        _ => return Err(Answer::error(404)),
    };
    match index {
        Some(index) if !all[index].private || caller.member => Ok((index, rest)),
        _ => Err(Answer::error(404)),
    }
}

/// `releases`, newest first.
fn list(shared: &Shared, digests: bool, repository: &Repository, caller: &Caller, request: &Parts) -> Answer {
    let releases = repository.listed().into_iter().filter(|release| !release.draft || caller.member);
    let all = releases.map(|release| shapes::release(shared, digests, repository, release)).collect();
    page(shared, request, &format!("/repositories/{}/releases", repository.id), all)
}

/// One page of a list, and where the others are.
fn page(shared: &Shared, request: &Parts, path: &str, all: Vec<Value>) -> Answer {
    let query = |name: &str| -> Option<usize> {
        let pairs = url::form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes());
        pairs.into_iter().find(|(key, _)| key == name)?.1.parse().ok()
    };
    let size = query("per_page").unwrap_or(30).clamp(1, 100);
    let number = query("page").unwrap_or(1).max(1);
    let last = all.len().div_ceil(size).max(1);
    let link = |to: usize, rel: &str| format!("<{}{path}?per_page={size}&page={to}>; rel=\"{rel}\"", shared.api_root());
    let mut links = Vec::new();
    if number > 1 {
        links.push(link(number - 1, "prev"));
    }
    if number < last {
        links.push(link(number + 1, "next"));
        links.push(link(last, "last"));
    }
    if number > 1 {
        links.push(link(1, "first"));
    }
    let shown: Vec<_> = all.into_iter().skip((number - 1) * size).take(size).collect();
    let answer = Answer::json(200, &Value::from(shown));
    if links.is_empty() { answer } else { answer.with("link", links.join(", ")) }
}

/// The link of a release's page, which is no part of the API.
fn by_browser(shared: &Shared, state: &mut State, caller: &Caller, name: &str, tag: &str, asset: &str) -> Answer {
    let Some(repository) = state.repositories.iter_mut().find(|one| one.name == name) else {
        return Answer::error(404);
    };
    let hidden = repository.private && !caller.member;
    let release = repository.releases.iter().find(|release| !release.draft && release.tag == tag);
    let found = release.and_then(|release| release.assets.iter().find(|one| one.name == asset)).map(|one| one.id);
    match found.filter(|_| !hidden) {
        Some(id) => storage::redirect(shared, repository, id),
        None => Answer::error(404),
    }
}

/// A part of a path with its escapes undone.
fn unescaped(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Puts a weak ETag on a JSON answer and makes it a 304 if the caller has it already; `true` then.
pub(super) fn condition(answer: &mut Answer, request: &Parts) -> bool {
    if answer.status != 200 {
        return false;
    }
    let etag = format!("W/\"{}\"", hex(&Sha256::digest(&answer.body)));
    let opaque = |etag: &str| etag.trim().trim_start_matches("W/").to_owned();
    let known = request.headers.get("if-none-match").and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|known| known.split(',').any(|one| opaque(one) == opaque(&etag)));
    if unchanged {
        *answer = Answer::empty(304);
    }
    answer.set("etag", etag);
    unchanged
}
