//! What is there of an object beyond the place where a download goes on.

use bytes::Bytes;
use fetchd_fetchers::conformance::scripted::Step;
use fetchd_fetchers::{Ahead, Start};

use super::{APP, PART, SIZE, one_by_one, polled, ranges, side_by_side};
use crate::support::{body, name, read, run};

#[test]
fn what_is_there_already_is_not_asked_for() {
    for (origin, fetcher, app) in [one_by_one(), side_by_side()] {
        run(async {
            let release = polled(&origin, &*fetcher).await;
            let validator = body(&*fetcher, &release, &Start::default()).await.unwrap().validator;
            origin.clear_requests();
            let piece = |first: usize, end: usize| (first as u64, Bytes::copy_from_slice(&app[first..end]));
            let kept = vec![piece(PART - 1000, PART), piece(2 * PART - 5, 3 * PART), piece(SIZE - 10, SIZE)];
            let start = Start { byte: 100, validator };
            let ahead = Ahead { kept, keeper: None };
            let body = fetcher.open_ahead(&release, &name("app"), &start, ahead).await.unwrap();
            assert!(read(body).await.unwrap() == app[100..]);
        });
        let asked = [
            (100, PART - 1000),
            (PART, 2 * PART - 1000),
            (2 * PART - 1000, 2 * PART - 5),
            (3 * PART, 4 * PART - 5),
            (4 * PART - 5, 5 * PART - 5),
            (5 * PART - 5, SIZE - 10),
        ];
        assert_eq!(ranges(&origin), asked.map(|(first, end)| format!("bytes={first}-{}", end - 1)));
    }
}

#[test]
fn what_is_there_already_of_another_object_is_not_used() {
    let (origin, fetcher, app) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let validator = body(&*fetcher, &release, &Start::default()).await.unwrap().validator;
        origin.script(APP, vec![Step::Status(412)]);
        let ahead = Ahead { kept: vec![(PART as u64, Bytes::from(vec![7; PART]))], keeper: None };
        let start = Start { byte: 100, validator };
        let body = fetcher.open_ahead(&release, &name("app"), &start, ahead).await.unwrap();
        assert_eq!(body.start, 0);
        assert!(read(body).await.unwrap() == app);
    });
}
