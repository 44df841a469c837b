//! The power fails after each step of each change. fetchd starts again and settles.

use super::*;

/// What one run looked like after the next start.
struct After {
    bench: Bench,
    settled: Settled,
    step: Step,
}

/// Prepares, begins `change`, cuts the power after each step that it reaches, and starts again; with a second cut in
/// the middle of settling where there is a middle.
fn cut_everywhere(
    (kind, first): (Kind, Option<&str>),
    prepare: fn(&mut Bench),
    change: fn(&mut Bench),
    expect: impl Fn(After),
) {
    let mut cuts = 0;
    for step in Step::ALL {
        for second in [None, Some(Step::Restored), Some(Step::Tidied)] {
            let mut bench = Bench::in_memory(kind, first);
            bench.start().unwrap();
            prepare(&mut bench);
            if cut_after(step, || change(&mut bench)).is_some() {
                continue;
            }
            cuts += 1;
            if let Some(second) = second {
                if cut_after(second, || bench.start()).is_some() {
                    continue;
                }
                cuts += 1;
            }
            let settled = bench.start().unwrap_or_else(|e| panic!("{kind:?} after {step:?}: {e}"));
            if !matches!(settled, Settled::Unconfirmed { .. }) {
                assert_eq!(bench.record().journal, None, "{kind:?} after {step:?}");
            }
            bench.assert_tidy();
            expect(After { bench, settled, step });
        }
    }
    assert!(cuts >= 3, "{kind:?}: only {cuts} cuts");
}

/// The machine works: the next release can be installed, and rolled back to what was there before it.
fn assert_works(bench: &mut Bench, before: &str) {
    bench.activate("9.0.0").unwrap();
    let back = bench.roll_back().unwrap().unwrap();
    assert_eq!(fs::read_to_string(back.program()).unwrap(), before);
    bench.release("9.0.1");
    assert_eq!(bench.starts().as_deref(), Some("9.0.1"));
    let back = bench.roll_back().unwrap().unwrap();
    assert_eq!(fs::read_to_string(back.program()).unwrap(), before);
    bench.assert_tidy();
}

fn one_confirmed(bench: &mut Bench) {
    bench.release("1.0.0");
}

#[test]
fn power_cut_during_the_first_activation_ever() {
    for kind in [Kind::Replace, Kind::Releases] {
        cut_everywhere(
            (kind, None),
            |_| {},
            |bench| drop(bench.activate("1.0.0").unwrap()),
            |After { mut bench, settled, step }| {
                match bench.starts().as_deref() {
                    None => assert!(matches!(settled, Settled::Clean | Settled::Abandoned { .. }), "{step:?}"),
                    Some("1.0.0") => {
                        assert!(matches!(settled, Settled::Unconfirmed { .. }), "{settled:?} after {step:?}");
                        bench.confirm();
                        assert_eq!(bench.confirmed().as_deref(), Some("1.0.0"));
                    }
                    Some(other) => panic!("{kind:?} after {step:?}: {other}"),
                }
                bench.release("2.0.0");
                assert_works(&mut bench, "2.0.0");
            },
        );
    }
}

#[test]
fn power_cut_during_an_activation_over_a_binary_fetchd_did_not_install() {
    for kind in [Kind::Replace, Kind::Releases] {
        cut_everywhere(
            (kind, Some("old")),
            |_| {},
            |bench| drop(bench.activate("1.0.0").unwrap()),
            |After { mut bench, step, .. }| {
                assert_eq!(bench.starts().as_deref(), Some("old"), "{kind:?} after {step:?}");
                assert_works(&mut bench, "old");
            },
        );
    }
}

#[test]
fn power_cut_during_an_activation_returns_to_the_confirmed_release() {
    for kind in KINDS {
        cut_everywhere(
            (kind, Some("old")),
            two_confirmed,
            |bench| drop(bench.activate("3.0.0").unwrap()),
            |After { mut bench, settled, step }| {
                assert_eq!(bench.starts().as_deref(), Some("2.0.0"), "{kind:?} after {step:?}");
                assert_eq!(bench.confirmed().as_deref(), Some("2.0.0"));
                match settled {
                    Settled::Clean => assert_eq!(step, Step::MetadataCarried),
                    Settled::Abandoned { to } => assert_eq!(to.version, Some("3.0.0".parse().unwrap())),
                    Settled::RolledBack { from, to } => {
                        assert_eq!(from.version, Some("3.0.0".parse().unwrap()));
                        assert_eq!(to.version, Some("2.0.0".parse().unwrap()));
                    }
                    Settled::Unconfirmed { .. } => panic!("{kind:?} after {step:?}"),
                }
                // The one before the confirmed one was not lost by the attempt.
                let back = bench.roll_back().unwrap().unwrap();
                assert_eq!(fs::read_to_string(back.program()).unwrap(), "1.0.0", "{kind:?} after {step:?}");
                assert_works(&mut bench, "1.0.0");
            },
        );
    }
}

#[test]
fn power_cut_during_a_confirmation_leaves_it_confirmed() {
    for kind in KINDS {
        for step in [Step::ConfirmWritten, Step::Tidied] {
            let mut bench = Bench::new(kind, Some("old"));
            bench.start().unwrap();
            third_unconfirmed(&mut bench);
            assert_eq!(cut_after(step, || bench.confirm()), None);
            assert_eq!(bench.start().unwrap(), Settled::Clean);
            bench.assert_tidy();
            assert_eq!(bench.starts().as_deref(), Some("3.0.0"));
            bench.roll_back().unwrap().unwrap();
            assert_works(&mut bench, "2.0.0");
        }
    }
}

#[test]
fn power_cut_before_the_confirmation_returns_to_the_previous_release() {
    for kind in KINDS {
        let mut bench = Bench::new(kind, Some("old"));
        bench.start().unwrap();
        third_unconfirmed(&mut bench);
        assert!(matches!(bench.start().unwrap(), Settled::RolledBack { .. }));
        assert_eq!(bench.starts().as_deref(), Some("2.0.0"));
        assert_works(&mut bench, "2.0.0");
    }
}

#[test]
fn power_cut_during_a_roll_back_finishes_it() {
    for kind in KINDS {
        cut_everywhere(
            (kind, Some("old")),
            third_unconfirmed,
            |bench| drop(bench.roll_back().unwrap()),
            |After { mut bench, settled, step }| {
                assert!(matches!(settled, Settled::RolledBack { .. }), "{settled:?} after {step:?}");
                assert_eq!(bench.starts().as_deref(), Some("2.0.0"), "{kind:?} after {step:?}");
                let back = bench.roll_back().unwrap().unwrap();
                assert_eq!(fs::read_to_string(back.program()).unwrap(), "1.0.0");
                assert_works(&mut bench, "1.0.0");
            },
        );
    }
}

#[test]
fn power_cut_during_a_roll_back_of_a_confirmed_release_finishes_it() {
    for kind in KINDS {
        cut_everywhere(
            (kind, Some("old")),
            two_confirmed,
            |bench| drop(bench.roll_back().unwrap()),
            |After { mut bench, step, .. }| {
                assert_eq!(bench.starts().as_deref(), Some("1.0.0"), "{kind:?} after {step:?}");
                assert_eq!(bench.confirmed().as_deref(), Some("1.0.0"));
                assert!(bench.roll_back().unwrap().is_none());
                assert_works(&mut bench, "1.0.0");
            },
        );
    }
}

#[test]
fn installing_the_same_bytes_again_survives_power_cuts() {
    for kind in KINDS {
        cut_everywhere(
            (kind, Some("old")),
            one_confirmed,
            |bench| bench.release("1.0.0"),
            |After { mut bench, step, .. }| {
                assert_eq!(bench.starts().as_deref(), Some("1.0.0"), "{kind:?} after {step:?}");
                assert_works(&mut bench, "1.0.0");
            },
        );
    }
}

#[test]
fn a_path_that_went_missing_gets_the_previous_binary() {
    for kind in [Kind::Replace, Kind::Releases] {
        let mut bench = Bench::new(kind, Some("old"));
        bench.start().unwrap();
        third_unconfirmed(&mut bench);
        if kind == Kind::Replace {
            fs::remove_file(bench.program()).unwrap();
        } else {
            fs::remove_file(bench.base.join("srv/current")).unwrap();
        }
        assert!(matches!(bench.start().unwrap(), Settled::RolledBack { .. }));
        assert_eq!(bench.starts().as_deref(), Some("2.0.0"));
    }
}

#[test]
fn leftovers_go_and_partial_downloads_stay() {
    let mut bench = Bench::new(Kind::Replace, Some("old"));
    bench.start().unwrap();
    let install = bench.install.as_ref().unwrap();
    let (staging, custody) = (install.staging().to_owned(), install.custody().to_owned());
    for name in ["0a1b.part", "0a1b.json", "0a1b.77.ahead", "0a1b", "entry"] {
        fs::write(staging.join(name), "x").unwrap();
        fs::write(custody.join(name), "x").unwrap();
    }
    fs::create_dir(staging.join("dir.part")).unwrap();
    fs::write(bench.base.join("srv/.fetchd/app/.fetchd-00.tmp"), "x").unwrap();
    bench.start().unwrap();
    assert_eq!(names(&staging), ["0a1b.77.ahead", "0a1b.json", "0a1b.part"]);
    assert_eq!(names(&custody), [""; 0]);
    assert_eq!(names(&bench.base.join("srv/.fetchd/app")), ["custody", "staging"]);
}
