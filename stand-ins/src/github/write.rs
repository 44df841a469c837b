//! The releases API: what is changed through it.

use std::time::SystemTime;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use serde::Deserialize;

use super::answer::Answer;
use super::api::{self, Caller};
use super::state::{Asset, Release, State};
use super::wire::Gone;
use super::{Shared, shapes};

/// What may be said about a release; what is left out stays as it is.
#[derive(Debug, Default, Deserialize)]
struct Fields {
    tag_name: Option<String>,
    target_commitish: Option<String>,
    name: Option<String>,
    body: Option<String>,
    draft: Option<bool>,
    prerelease: Option<bool>,
}

/// Does what a request that is no GET asks for.
pub(super) async fn carry_out(
    shared: &Shared,
    request: &Parts,
    path: &str,
    caller: &Caller,
    body: Incoming,
    breaks: bool,
) -> Result<Answer, Gone> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let found = api::find(shared, &shared.state(), &parts, caller);
    let (index, rest) = match found {
        Ok(found) => found,
        Err(answer) => return collect(body).await.map(|_| answer).ok_or(Gone),
    };
    if !caller.member {
        let answer = Answer::error(if caller.token.is_some() { 403 } else { 401 });
        return collect(body).await.map(|_| answer).ok_or(Gone);
    }
    if let ("POST", ["releases", id, "assets"]) = (request.method.as_str(), rest) {
        return upload(shared, request, index, id, body, breaks).await;
    }
    let body = collect(body).await.ok_or(Gone)?;
    let mut state = shared.state();
    let repository = &mut state.repositories[index];
    Ok(match (request.method.as_str(), rest) {
        ("POST", ["releases"]) => match serde_json::from_slice(&body) {
            Ok(fields) => create(shared, &mut state, index, fields),
            Err(_) => Answer::json(400, &shapes::error(400, "Problems parsing JSON")),
        },
        ("PATCH", ["releases", id]) => match (serde_json::from_slice(&body), id.parse()) {
            (Ok(fields), Ok(id)) => edit(shared, &mut state, index, id, fields),
            _ => Answer::json(400, &shapes::error(400, "Problems parsing JSON")),
        },
        ("DELETE", ["releases", "assets", id]) => {
            let before = repository.releases.iter().map(|release| release.assets.len()).sum::<usize>();
            for release in &mut repository.releases {
                release.assets.retain(|asset| asset.id.to_string() != **id);
            }
            let after = repository.releases.iter().map(|release| release.assets.len()).sum::<usize>();
            if after < before { Answer::empty(204) } else { Answer::error(404) }
        }
        ("DELETE", ["releases", id]) => {
            let before = repository.releases.len();
            repository.releases.retain(|release| release.id.to_string() != **id);
            if repository.releases.len() < before { Answer::empty(204) } else { Answer::error(404) }
        }
        _ => Answer::error(404),
    })
}

fn create(shared: &Shared, state: &mut State, index: usize, fields: Fields) -> Answer {
    let draft = fields.draft.unwrap_or(false);
    let Some(tag) = fields.tag_name.filter(|tag| !tag.is_empty()) else {
        return Answer::json(422, &shapes::invalid("Release", "missing_field", "tag_name"));
    };
    // Of drafts there may be several with one tag.
    if !draft && is_published(state, index, &tag, 0) {
        return Answer::json(422, &shapes::invalid("Release", "already_exists", "tag_name"));
    }
    let release = Release {
        id: state.id(),
        tag,
        name: fields.name,
        body: fields.body,
        target: fields.target_commitish.unwrap_or_else(|| "main".to_owned()),
        draft,
        prerelease: fields.prerelease.unwrap_or(false),
        created: SystemTime::now(),
        published: (!draft).then(|| (SystemTime::now(), state.id())),
        assets: Vec::new(),
    };
    let repository = &mut state.repositories[index];
    repository.releases.push(release);
    let made = repository.releases.last().expect("one was added just now");
    let value = shapes::release(shared, state.digests, repository, made);
    let at = value["url"].as_str().unwrap_or_default().to_owned();
    Answer::json(201, &value).with("location", at)
}

fn edit(shared: &Shared, state: &mut State, index: usize, id: u64, fields: Fields) -> Answer {
    let order = state.id();
    let Some(known) = state.repositories[index].release_by_id(id) else { return Answer::error(404) };
    let tag = fields.tag_name.unwrap_or_else(|| known.tag.clone());
    let draft = fields.draft.unwrap_or(known.draft);
    if !draft && is_published(state, index, &tag, id) {
        return Answer::json(422, &shapes::invalid("Release", "already_exists", "tag_name"));
    }
    let digests = state.digests;
    let repository = &mut state.repositories[index];
    let Some(release) = repository.release_by_id(id) else { return Answer::error(404) };
    release.tag = tag;
    release.name = fields.name.or(release.name.take());
    release.body = fields.body.or(release.body.take());
    release.target = fields.target_commitish.unwrap_or_else(|| release.target.clone());
    release.prerelease = fields.prerelease.unwrap_or(release.prerelease);
    release.draft = draft;
    if !draft && release.published.is_none() {
        release.published = Some((SystemTime::now(), order));
    }
    let repository = &state.repositories[index];
    let release = repository.releases.iter().find(|release| release.id == id).expect("it was found above");
    Answer::json(200, &shapes::release(shared, digests, repository, release))
}

/// Whether another release than `except` is published with this tag.
fn is_published(state: &State, index: usize, tag: &str, except: u64) -> bool {
    let mut releases = state.repositories[index].releases.iter();
    releases.any(|release| !release.draft && release.tag == tag && release.id != except)
}

/// Takes the bytes of an asset. While they come there is an asset that is `open`; if they stop
/// coming it stays behind as `starter`.
async fn upload(
    shared: &Shared,
    request: &Parts,
    index: usize,
    release: &str,
    body: Incoming,
    breaks: bool,
) -> Result<Answer, Gone> {
    let query = request.uri.query().unwrap_or_default();
    let name = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "name").map(|(_, name)| name);
    let begun = {
        let mut state = shared.state();
        let id = state.id();
        let mut releases = state.repositories[index].releases.iter_mut();
        match (releases.find(|known| known.id.to_string() == release), name) {
            (None, _) => Err(Answer::error(404)),
            (_, None) => Err(Answer::json(422, &shapes::invalid("ReleaseAsset", "missing_field", "name"))),
            (Some(release), Some(name)) => {
                let name = kept(&name);
                if release.assets.iter().any(|asset| asset.name == name) {
                    Err(Answer::json(422, &shapes::invalid("ReleaseAsset", "already_exists", "name")))
                } else {
                    let mut asset = Asset::new(id, &name);
                    if let Some(kind) = request.headers.get("content-type").and_then(|kind| kind.to_str().ok()) {
                        asset.content_type = kind.to_owned();
                    }
                    release.assets.push(asset);
                    Ok(id)
                }
            }
        }
    };
    let id = match begun {
        Ok(id) => id,
        Err(answer) => return collect(body).await.map(|_| answer).ok_or(Gone),
    };
    // Dropped with the connection, or when the upload is complete.
    let stub = Stub { shared, index, id };
    let length = request.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let bytes = if breaks { begin(body, length.unwrap_or(0) / 2).await } else { collect(body).await };
    let Some(bytes) = bytes.filter(|_| !breaks) else { return Err(Gone) };
    let mut state = shared.state();
    let digests = state.digests;
    let repository = &mut state.repositories[index];
    if let Some(asset) = repository.asset_by_id_mut(id) {
        asset.fill(bytes.freeze());
        asset.state = "uploaded";
    }
    let answer = match repository.asset_by_id(id) {
        Some((release, asset)) => Answer::json(201, &shapes::asset(shared, digests, repository, release, asset)),
        // Deleted while it was being uploaded.
        None => Answer::error(404),
    };
    drop(state);
    drop(stub);
    Ok(answer)
}

/// A name as GitHub keeps it.
fn kept(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+@~".contains(c) { c } else { '.' };
    name.chars().map(plain).collect::<String>().trim_matches('.').to_owned()
}

/// An upload under way; what is not complete when it ends stays as a stub.
struct Stub<'a> {
    shared: &'a Shared,
    index: usize,
    id: u64,
}

impl Drop for Stub<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let found = state.repositories[self.index].asset_by_id_mut(self.id);
        if let Some(asset) = found.filter(|asset| asset.state == "open") {
            asset.state = "starter";
        }
    }
}

/// The whole body, or `None` if the client breaks off.
async fn collect(body: Incoming) -> Option<BytesMut> {
    begin(body, usize::MAX).await
}

/// The beginning of a body, of that many bytes or a little more.
async fn begin(mut body: Incoming, count: usize) -> Option<BytesMut> {
    let mut bytes = BytesMut::new();
    while bytes.len() < count {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) => return None,
        }
    }
    Some(bytes)
}
