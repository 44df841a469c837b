//! `fetchd publish --to github://owner/repository`.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use fetchd_fetchers::Options;
use fetchd_fetchers::github::Repository;
use serde::Serialize;
use url::Url;

use super::advised;
use crate::cli::release::{signing_key, size, word};
use crate::cli::{Failed, Out, bar};
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported, chain};
use crate::fetch::measure;
use crate::publish::{
    self, HostedRelease, NewRelease, PublishError, PublishedAsset, PublishedRelease, Sending, SigningKey,
};
use crate::trust::Format;

/// Options about a manifest, which a repository does not hold.
const OF_MANIFESTS: [&str; 17] = [
    "at-least-seq",
    "forget",
    "key-set",
    "memory",
    "no-memory",
    "critical",
    "epoch",
    "expires",
    "keep-releases",
    "min-from",
    "min-version",
    "notes-url",
    "revoke",
    "reason",
    "rollout",
    "unyank",
    "yank",
];

/// What the command line asks for.
pub(super) struct Asked<'a> {
    pub(super) matches: &'a ArgMatches,
    pub(super) to: &'a str,
    pub(super) product: &'a str,
    pub(super) channel: &'a str,
    pub(super) release: Option<NewRelease>,
}

pub(super) fn publish(asked: &Asked<'_>, out: &mut Out) -> Result<Exit, Reported> {
    let Asked { matches, to, product, channel, release } = asked;
    let given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    if let Some(id) = OF_MANIFESTS.iter().find(given) {
        let option = match *id {
            "keep-releases" => "keep",
            "key-set" => "keys",
            id => id,
        };
        let message = format!("`--{option}` is about a manifest, and a repository holds none");
        let hint = "leave it out, or publish to a directory or a bucket".to_owned();
        return Err(Failed::Usage { message, hint }.into());
    }
    let Some(release) = release else {
        let hint = "give `--release VERSION` and an artifact as `TARGET=FILE`".to_owned();
        return Err(Failed::Usage { message: "there is no release to publish".to_owned(), hint }.into());
    };
    let url = Url::parse(to).map_err(|error| Failed::Usage {
        message: format!("`--to` is not a valid URL: {error}"),
        hint: "write it as `github://OWNER/REPOSITORY`".to_owned(),
    })?;
    let repository = Repository::open(&url, &Options::new())
        .map_err(|error| PublishError::Destination { message: error.message, hint: error.hint })?;
    let mut secrets = matches.get_many::<PathBuf>("secret-key").unwrap_or_default();
    let key = match (secrets.next(), secrets.next()) {
        (Some(secret), None) => signing_key(secret)?,
        _ => {
            let message = "the signature beside an artifact is of one key".to_owned();
            return Err(Failed::Usage { message, hint: "give `--secret-key` once".to_owned() }.into());
        }
    };
    let unpack = |path: &Path, format: Format, entry: Option<&str>| {
        measure(path, format, entry).map_err(|failure| chain(&failure))
    };
    let bar = bar::on_terminal(matches.get_flag("json"));
    let progress = |sending: Sending<'_>| {
        if let Some(bar) = &bar {
            bar.set_length(sending.total);
            bar.set_message(sending.name.to_owned());
            bar.set_position(sending.bytes);
        }
    };
    let published = publish::publish_to_github(&HostedRelease {
        repository: &repository,
        tag: matches.get_one::<String>("tag").map(String::as_str),
        product,
        channel,
        version: &release.version,
        artifacts: &release.artifacts,
        key: &key,
        now: Timestamp::now(),
        unpack: &unpack,
        progress: &progress,
        dry_run: matches.get_flag("dry-run"),
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let published = published.map_err(|error| advised(error.into()))?;
    let done = Done { asked, release, key: &key, published: &published, source: source(url) };
    if out.json() {
        done.json(out);
    } else {
        done.text(out);
    }
    Ok(Exit::Done)
}

/// The source URL for hosts, which have tokens of their own.
fn source(mut url: Url) -> Url {
    let api = url.query_pairs().find(|(name, _)| name == "api").map(|(_, api)| api.into_owned());
    url.set_query(None);
    if let Some(api) = api {
        url.query_pairs_mut().append_pair("api", &api);
    }
    url
}

/// What was published, or would be.
struct Done<'a> {
    asked: &'a Asked<'a>,
    release: &'a NewRelease,
    key: &'a SigningKey,
    published: &'a PublishedRelease,
    source: Url,
}

impl Done<'_> {
    fn dry_run(&self) -> bool {
        self.asked.matches.get_flag("dry-run")
    }

    fn text(&self, out: &mut Out) {
        let Asked { product, channel, .. } = self.asked;
        let PublishedRelease { tag, page, assets } = self.published;
        let (would, version) = (if self.dry_run() { "would publish" } else { "published" }, &self.release.version);
        out.line(format!("{would} {product} {version} on {channel} as {tag}"));
        for PublishedAsset { name, size: bytes, kept, .. } in assets {
            let there = if *kept { "  (there already)" } else { "" };
            out.line(format!("  {name}  {}{there}", size(*bytes)));
        }
        out.line(format!("  signed by {}", self.key.public().keynum()));
        if self.dry_run() {
            return out.line("nothing was written");
        }
        if let Some(page) = page {
            out.line(format!("  {page}"));
        }
        out.line("follow it with:");
        let (source, product) = (word(self.source.as_str()), word(product));
        let channel = if *channel == "stable" { String::new() } else { format!(" --channel {}", word(channel)) };
        let key = word(&self.key.public().to_string());
        out.line(format!("  fetchd run --source {source} --key {key} --product {product}{channel} -- ./{product}"));
    }

    fn json(&self, out: &mut Out) {
        #[derive(Serialize)]
        struct Answer<'a> {
            dry_run: bool,
            product: &'a str,
            channel: &'a str,
            version: String,
            tag: &'a str,
            page: Option<&'a str>,
            source: &'a str,
            keys: [Key; 1],
            assets: Vec<Asset<'a>>,
        }
        #[derive(Serialize)]
        struct Key {
            keynum: String,
            key: String,
        }
        #[derive(Serialize)]
        struct Asset<'a> {
            name: &'a str,
            target: Option<&'a str>,
            size: u64,
            sha256: Option<String>,
            kept: bool,
        }
        impl<'a> Asset<'a> {
            fn of(asset: &'a PublishedAsset) -> Asset<'a> {
                Asset {
                    name: &asset.name,
                    target: asset.target.as_deref(),
                    size: asset.size,
                    sha256: asset.sha256.map(|digest| digest.to_string()),
                    kept: asset.kept,
                }
            }
        }
        let PublishedRelease { tag, page, assets } = self.published;
        out.object(&Answer {
            dry_run: self.dry_run(),
            product: self.asked.product,
            channel: self.asked.channel,
            version: self.release.version.to_string(),
            tag,
            page: page.as_ref().map(Url::as_str),
            source: self.source.as_str(),
            keys: [Key { keynum: self.key.public().keynum(), key: self.key.public().to_string() }],
            assets: assets.iter().map(Asset::of).collect(),
        });
    }
}
