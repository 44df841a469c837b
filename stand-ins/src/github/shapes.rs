//! The JSON of GitHub's documentation.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::Shared;
use super::state::{Asset, Release, Repository};

/// A release with every field that the documentation shows.
pub(super) fn release(shared: &Shared, digests: bool, repository: &Repository, release: &Release) -> Value {
    let (api, web, name) = (shared.api_root(), shared.web_root(), &repository.name);
    let Release { id, tag, .. } = release;
    let url = format!("{api}/repos/{name}/releases/{id}");
    let page = if release.draft { format!("untagged-{id:020x}") } else { tag.clone() };
    let published = release.published.map(|(time, _)| timestamp(time));
    let archive = |kind: &str| (!release.draft).then(|| format!("{api}/repos/{name}/{kind}/{tag}"));
    let assets: Vec<_> = release.assets.iter().map(|one| asset(shared, digests, repository, release, one)).collect();
    json!({
        "url": url,
        "assets_url": format!("{url}/assets"),
        "upload_url": format!("{}/repos/{name}/releases/{id}/assets{{?name,label}}", shared.upload_root()),
        "html_url": format!("{web}/{name}/releases/tag/{page}"),
        "id": id,
        "author": user(shared),
        "node_id": format!("RE_{id}"),
        "tag_name": tag,
        "target_commitish": release.target,
        "name": release.name,
        "draft": release.draft,
        "immutable": false,
        "prerelease": release.prerelease,
        "created_at": timestamp(release.created),
        "updated_at": timestamp(release.created),
        "published_at": published,
        "assets": assets,
        "tarball_url": archive("tarball"),
        "zipball_url": archive("zipball"),
        "body": release.body,
    })
}

/// An asset.
pub(super) fn asset(shared: &Shared, digests: bool, repository: &Repository, of: &Release, asset: &Asset) -> Value {
    let (api, web, name) = (shared.api_root(), shared.web_root(), &repository.name);
    let digest = (digests && asset.state == "uploaded").then(|| format!("sha256:{}", asset.sha256));
    json!({
        "url": format!("{api}/repos/{name}/releases/assets/{}", asset.id),
        "id": asset.id,
        "node_id": format!("RA_{}", asset.id),
        "name": asset.name,
        "label": "",
        "uploader": user(shared),
        "content_type": asset.content_type,
        "state": asset.state,
        "size": asset.bytes.len(),
        "digest": digest,
        "download_count": asset.downloads,
        "created_at": timestamp(asset.created),
        "updated_at": timestamp(asset.created),
        "browser_download_url": format!("{web}/{name}/releases/download/{}/{}", of.tag, asset.name),
    })
}

fn user(shared: &Shared) -> Value {
    let (api, web) = (shared.api_root(), shared.web_root());
    let url = format!("{api}/users/octocat");
    json!({
        "login": "octocat",
        "id": 1,
        "node_id": "MDQ6VXNlcjE=",
        "avatar_url": format!("{web}/images/error/octocat_happy.gif"),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{web}/octocat"),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": "User",
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// What is said besides a status from 400 on.
pub(super) fn error(status: u16, message: &str) -> Value {
    json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest/releases/releases",
        "status": status.to_string(),
    })
}

/// 422 over one field.
pub(super) fn invalid(resource: &str, code: &str, field: &str) -> Value {
    let mut value = error(422, "Validation Failed");
    value["errors"] = json!([{ "resource": resource, "code": code, "field": field }]);
    value
}

fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
