use crate::fleet::bounds::within;
use crate::fleet::sample::head;
use crate::fleet::*;
use crate::trust::manifest::Bounds;

fn bounds() -> Bounds {
    Bounds {
        min_steps: 3,
        max_first_pct: 1.0,
        min_total_s: 4 * 3600,
        min_bake_s: 1800,
        emergency_ok: false,
        rollback_to: Vec::new(),
    }
}

#[test]
fn a_head_reads_as_it_is_written() {
    let head = head();
    let payload = head.payload().unwrap();
    assert_eq!(Head::read(&payload).unwrap(), head);
    let file = Head::to_file(&payload, &["a\nb".to_owned(), "c".to_owned()]).unwrap();
    assert_eq!(head::split(&file).unwrap(), (payload, vec!["a\nb".to_owned(), "c".to_owned()]));
}

#[test]
fn a_head_that_makes_no_sense_is_none() {
    let edit = |change: &dyn Fn(&mut Head)| {
        let mut head = head();
        change(&mut head);
        head.payload().unwrap_err().to_string()
    };
    assert!(edit(&|head| head.steps[1].pct = 1.0).contains("it rises"));
    assert!(edit(&|head| head.steps[2].pct = 100.1).contains("it rises"));
    assert!(edit(&|head| head.steps[2].pct = f64::NAN).contains("it rises"));
    assert!(edit(&|head| head.steps.clear()).contains("0 steps"));
    assert!(edit(&|head| head.rings.clear()).contains("0 rings"));
    assert!(edit(&|head| head.nonce = "x".to_owned()).contains("nonce"));
    assert!(edit(&|head| head.attempt = 0).contains("attempt"));
    assert!(edit(&|head| head.release = "../x".to_owned()).contains("release"));
    assert!(edit(&|head| head.poll_s.open = 0).contains("poll_s"));
    let pin = |release: &str| plan::Pin { host: "web-1".to_owned(), release: Some(release.to_owned()) };
    assert!(edit(&|head| head.pins = vec![pin("../x")]).contains("a pin's"));
    assert!(edit(&|head| head.pins = vec![pin("1.0.0"); 257]).contains("257 pins"));
    for (ring, step) in [(1, 0), (0, 3)] {
        assert!(edit(&|head| head.promoted = Some(Place { ring, step })).contains("no step"), "{ring} {step}");
    }
    let window = |head: &mut Head| {
        let window = plan::Window {
            days: Vec::new(),
            start: "07:00".to_owned(),
            end: "09:00".to_owned(),
            labels: std::collections::BTreeMap::new(),
            until: None,
        };
        head.windows = vec![window; 33];
    };
    assert!(edit(&window).contains("33 windows"));
}

#[test]
fn nobody_goes_faster_than_the_offline_key_allows() {
    let plan = head();
    assert_eq!(within(&plan, &bounds()), Ok(()));
    let refused = |bounds: Bounds| within(&plan, &bounds).unwrap_err().to_string();
    assert!(refused(Bounds { min_steps: 4, ..bounds() }).contains("3 steps, at least 4"));
    assert!(refused(Bounds { max_first_pct: 0.5, ..bounds() }).contains("1 % of ring `all`, at most 0.5 %"));
    assert!(refused(Bounds { min_bake_s: 1801, ..bounds() }).contains("watched for 1800 s"));
    assert!(refused(Bounds { min_total_s: 15_301, ..bounds() }).contains("after 15300 s, at least 15301 s"));
    let strict = Bounds { min_steps: 9, max_first_pct: 0.1, min_total_s: 90_000, min_bake_s: 9000, ..bounds() };
    assert_eq!(within(&plan, &Bounds { emergency_ok: true, ..strict }), Ok(()));
}

#[test]
fn neither_a_label_nor_a_number_of_hosts_is_a_way_around_the_bounds() {
    let once = vec![plan::Step { pct: 100.0, not_before: None, ramp_s: 0, bake_s: 0, manual: false }];
    let ring = |matches: plan::Match| plan::Ring {
        matches,
        steps: Some(once.clone()),
        ..crate::fleet::sample::ring("canary", 5)
    };
    let with = |matches| {
        let mut head = head();
        head.rings.insert(0, ring(matches));
        within(&head, &bounds())
    };
    let named = |count: usize| (0..count).map(|n| format!("web-{n}")).collect();
    assert_eq!(with(plan::Match { hosts: named(10), ..plan::Match::default() }), Ok(()));
    assert!(with(plan::Match { hosts: named(11), ..plan::Match::default() }).is_err());
    let labels = [("os".to_owned(), "linux".to_owned())].into();
    assert!(with(plan::Match { labels, ..plan::Match::default() }).is_err(), "who knows how many carry it?");
    let mut few = head();
    few.rings[0].min_hosts = 50;
    assert!(within(&few, &bounds()).unwrap_err().to_string().contains("5 % of ring `all`"));
}
