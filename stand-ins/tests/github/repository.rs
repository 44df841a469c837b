//! Publishing: drafts, uploads, and what is left of broken ones.

use fetchd_fetchers::github::{Draft, Hosted, HostedAsset, Repository};
use fetchd_fetchers::{FetchError, Kind};
use fetchd_stand_ins::github::{Fault, GitHub, On};

use super::{fetcher, options, poll, run, tag, token_file};

struct Place {
    github: GitHub,
    repository: Repository,
    directory: tempfile::TempDir,
}

fn place(github: GitHub) -> Place {
    github.repository("fetchd/app");
    github.token("hunter2");
    let (directory, token) = token_file("hunter2");
    let options = options(&[("token_file", &token)]);
    let repository = Repository::open(&github.source("fetchd/app"), &options).unwrap();
    Place { github, repository, directory }
}

impl Place {
    fn draft(&self, tag: &str, prerelease: bool) -> Hosted {
        let draft = Draft { tag, name: "Release", body: "Text", prerelease, target_commitish: None };
        run(self.repository.create_draft(&draft)).unwrap()
    }

    fn upload(&self, release: &Hosted, name: &str, bytes: &[u8], size: u64) -> Result<HostedAsset, FetchError> {
        let path = self.directory.path().join("asset");
        std::fs::write(&path, bytes).unwrap();
        run(async {
            let file = tokio::fs::File::open(&path).await.unwrap();
            self.repository.upload(release, name, "application/octet-stream", size, file).await
        })
    }

    fn release(&self, tag: &str) -> Option<Hosted> {
        run(self.repository.release_by_tag(tag)).unwrap()
    }
}

#[test]
fn a_release_is_made_as_a_draft_and_published_whole() {
    for github in [GitHub::start(), GitHub::start_enterprise()] {
        let place = place(github);
        assert_eq!(place.release("v1.0.0"), None);
        let draft = place.draft("v1.0.0", false);
        assert!(draft.draft && !draft.immutable && draft.assets.is_empty());
        let bytes: Vec<u8> = (0..1_000_003u32).map(|number| number as u8).collect();
        let asset = place.upload(&draft, "app", &bytes, bytes.len() as u64).unwrap();
        assert_eq!((asset.name.as_str(), asset.size, asset.uploaded), ("app", 1_000_003, true));
        assert!(asset.digest.is_some());
        place.upload(&draft, "empty", b"", 0).unwrap();
        let request = place.github.requests().into_iter().find(|one| one.query == "name=app").unwrap();
        assert_eq!(request.header("content-length"), Some("1000003"));
        assert_eq!((request.header("transfer-encoding"), request.method.as_str()), (None, "POST"));

        assert_eq!(place.release("v1.0.0").unwrap().id, draft.id);
        assert_eq!(poll(&*fetcher(&place.github, &[]), None).unwrap_err().kind(), Kind::NotFound);
        let names: Vec<_> = run(place.repository.assets(&draft)).unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["app", "empty"]);
        let public = run(place.repository.publish(&draft)).unwrap();
        assert!(!public.draft);
        assert_eq!(tag(&*fetcher(&place.github, &[])), "v1.0.0");
        assert_eq!(place.github.releases("fetchd/app")[0].assets[0].bytes, bytes);
        assert_eq!(place.release("v1.0.0").unwrap().id, draft.id);
    }
}

#[test]
fn a_prerelease_is_not_the_latest() {
    let place = place(GitHub::start());
    run(place.repository.publish(&place.draft("v1.0.0", false))).unwrap();
    run(place.repository.publish(&place.draft("v2.0.0-rc.1", true))).unwrap();
    assert_eq!(tag(&*fetcher(&place.github, &[])), "v1.0.0");
    assert_eq!(tag(&*fetcher(&place.github, &[("channel", "prerelease")])), "v2.0.0-rc.1");
}

#[test]
fn a_draft_among_many_releases_is_found() {
    let place = place(GitHub::start());
    let draft = place.draft("v9.0.0", false);
    for number in 0..120 {
        place.github.release("fetchd/app", &format!("v1.0.{number}")).draft().publish();
    }
    assert_eq!(place.release("v9.0.0").unwrap().id, draft.id);
    assert_eq!(place.release("v8.0.0"), None);
}

#[test]
fn a_broken_upload_leaves_a_stub_that_is_deleted_and_replaced() {
    let place = place(GitHub::start());
    let draft = place.draft("v1.0.0", false);
    place.github.inject(On::writes().once(), Fault::UploadBroken);
    let bytes = vec![7; 300_000];
    assert!(place.upload(&draft, "app", &bytes, 300_000).is_err());
    let stub = run(place.repository.assets(&draft)).unwrap().remove(0);
    assert!(!stub.uploaded);
    assert_eq!(place.upload(&draft, "app", &bytes, 300_000).unwrap_err().kind(), Kind::Changed);
    run(place.repository.delete_asset(&stub)).unwrap();
    assert_eq!(run(place.repository.delete_asset(&stub)).unwrap_err().kind(), Kind::NotFound);
    assert!(place.upload(&draft, "app", &bytes, 300_000).unwrap().uploaded);
}

#[test]
fn a_file_shorter_than_announced_is_an_error_and_a_longer_one_is_cut() {
    let place = place(GitHub::start());
    let draft = place.draft("v1.0.0", false);
    assert!(place.upload(&draft, "short", b"0123", 10).is_err());
    assert_eq!(place.upload(&draft, "long", b"0123456789", 4).unwrap().size, 4);
}

#[test]
fn a_refusal_is_an_error_and_is_not_tried_again() {
    let place = place(GitHub::start());
    let draft = place.draft("v1.0.0", false);
    let bytes = vec![7; 100_000];
    for (fault, kind) in [
        (Fault::Status(401), Kind::Denied),
        (Fault::Status(403), Kind::Denied),
        (Fault::Status(404), Kind::NotFound),
        (Fault::SecondaryLimit(None), Kind::Throttled),
        (Fault::Status(502), Kind::Unreachable),
        (Fault::Dropped, Kind::Unreachable),
        (Fault::LostReply, Kind::Unreachable),
    ] {
        place.github.clear_requests();
        place.github.inject(On::writes(), fault.clone());
        assert_eq!(run(place.repository.publish(&draft)).unwrap_err().kind(), kind, "{fault:?}");
        assert_eq!(place.github.requests().len(), 1, "{fault:?}");
        if fault != Fault::LostReply {
            assert_eq!(place.upload(&draft, "app", &bytes, 100_000).unwrap_err().kind(), kind, "{fault:?}");
        }
        place.github.clear();
    }
}

#[test]
fn a_tag_that_is_taken_is_changed() {
    let place = place(GitHub::start());
    let draft = place.draft("v1.0.0", false);
    run(place.repository.publish(&place.draft("v1.0.0", false))).unwrap();
    assert_eq!(run(place.repository.publish(&draft)).unwrap_err().kind(), Kind::Changed);
    let untagged = Draft { tag: "", ..Draft::default() };
    let error = run(place.repository.create_draft(&untagged)).unwrap_err();
    assert!(error.to_string().contains("(`tag_name`: `missing_field`)"), "{error}");
}

#[test]
fn a_repository_that_was_renamed_is_not_written_to_by_its_old_name() {
    let place = place(GitHub::start());
    place.github.rename("fetchd/app", "fetchd/program");
    let draft = Draft { tag: "v1.0.0", ..Draft::default() };
    let error = run(place.repository.create_draft(&draft)).unwrap_err();
    assert_eq!(error.kind(), Kind::Misconfigured);
    assert!(error.to_string().contains("has another name now"), "{error}");
}

#[test]
fn without_a_token_nothing_can_be_published() {
    let github = GitHub::start();
    let error = Repository::open(&github.source("fetchd/app"), &options(&[])).unwrap_err();
    assert_eq!(error.message, "to publish a release a token is needed");
    let place = place(github);
    assert!(!format!("{:?}", place.repository).contains("hunter2"));
}
