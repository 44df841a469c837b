use super::*;
use crate::{Options, apply, create};

const OLD: &[u8] = include_bytes!("../../../../fixtures/delta/x86-64.old");
const NEW: &[u8] = include_bytes!("../../../../fixtures/delta/x86-64.new");

fn made() -> Vec<u8> {
    create(OLD, NEW, Format::Fxd1, &Options { level: Some(1), ..Options::default() }).unwrap()
}

/// What is said of a delta whose header has been changed.
fn said(change: impl FnOnce(&mut Container<'_>, &mut Model)) -> &'static str {
    let delta = made();
    let mut container = Container::read(&delta).unwrap();
    let mut model = container.model.take().unwrap();
    change(&mut container, &mut model);
    container.model = Some(model);
    match Container::read(&container.write()) {
        Err(ApplyError::Damaged(said)) => said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_that_was_not_changed_is_read_again() {
    let delta = made();
    assert_eq!(Container::read(&delta).unwrap().write(), delta);
}

/// Each of these numbers decides about memory or time before a byte of a stream has been read.
#[test]
fn numbers_of_a_header_have_their_bounds() {
    let long = "a file is longer than fxd-1 can say";
    assert_eq!(said(|container, _| container.length = 1 << 31), long);
    assert_eq!(said(|container, _| container.old_length = 1 << 31), long);
    let loads = "there are too many loads, or none";
    assert_eq!(said(|_, model| model.loads.clear()), loads);
    assert_eq!(said(|_, model| model.loads = vec![[0; 4]; MOST_LOADS + 1]), loads);
    let code = "the code lies outside of the file";
    assert_eq!(said(|_, model| model.code.from = model.code.to + 1), code);
    assert_eq!(said(|container, model| model.code.to = container.length + 1), code);
    let references = "there are more references than bytes";
    assert_eq!(said(|container, model| model.tapes.0 = container.old_length as usize + 1), references);
    assert_eq!(said(|container, model| model.tapes.1 = container.old_length as usize + 1), references);
    assert_eq!(
        said(|container, model| model.slots = container.old_length as usize + 1),
        "there is more to learn than bytes"
    );
    let control = "there is more control than there may be";
    assert_eq!(said(|container, _| container.streams[1].length = MOST_CONTROL + 1), control);
    assert_eq!(said(|container, _| container.streams[..2].iter_mut().for_each(|one| one.length = 1 << 63)), control);
    assert_eq!(said(|container, _| container.segments = container.streams[0].length as usize + 1), control);
    let many = |container: &mut Container<'_>, _: &mut Model| {
        container.segments = MOST_SEGMENTS + 1;
        container.streams[0].length = MOST_SEGMENTS as u64 + 1;
    };
    assert_eq!(said(many), "there are too many segments");
    let literals = |container: &mut Container<'_>, _: &mut Model| {
        container.streams[3].length = u64::from(container.length) + 1;
    };
    assert_eq!(said(literals), "there are more new bytes than bytes");
}

#[test]
fn nothing_follows_the_last_stream() {
    let more = [&made()[..], b"x"].concat();
    assert_eq!(Container::read(&more), Err(ApplyError::Damaged("bytes follow the last stream")));
}

#[test]
fn a_processor_that_is_not_known_is_refused() {
    let mut delta = made();
    let at = 40 + [OLD, NEW].map(|file| (file.len().ilog2() / 7 + 1) as usize).iter().sum::<usize>();
    assert_eq!(delta[at], 1);
    delta[at] = 3;
    assert_eq!(Container::read(&delta), Err(ApplyError::Damaged("it is for an unknown processor")));
}

/// Addresses are numbers of 32 bits in all that follows.
#[test]
fn addresses_that_do_not_fit_are_refused() {
    let delta = made();
    let changes: [fn(&mut Model); 4] = [
        |model| model.loads[0][0] = i64::MAX,
        |model| model.loads[0][0] = -1 << 32,
        // Each fits, and where it ends does not.
        |model| model.loads[0] = [i64::from(u32::MAX) - (1 << 20), 0, 0, 1 << 21],
        |model| model.bases[0] = i64::MAX,
    ];
    for change in changes {
        let mut container = Container::read(&delta).unwrap();
        change(container.model.as_mut().unwrap());
        let applied = apply(OLD, &container.write(), &mut vec![0; NEW.len()], &Limits::default());
        assert_eq!(applied, Err(ApplyError::Damaged("an address does not fit into 32 bits")));
    }
}

#[test]
fn another_old_file_of_the_same_length_is_refused() {
    let mut other = OLD.to_vec();
    other[OLD.len() / 2] ^= 1;
    let applied = apply(&other, &made(), &mut vec![0; NEW.len()], &Limits::default());
    assert_eq!(applied, Err(ApplyError::OtherOld));
}

/// The digest is right, and the length is not: nothing that follows would notice.
#[test]
fn the_old_file_has_the_length_that_the_header_says() {
    let delta = made();
    let mut container = Container::read(&delta).unwrap();
    container.old_length += 1;
    let applied = apply(OLD, &container.write(), &mut vec![0; NEW.len()], &Limits::default());
    assert_eq!(applied, Err(ApplyError::OtherOld));
}

/// What the header asks for is in what it says it takes.
#[test]
fn memory_grows_with_what_the_header_asks_for() {
    let delta = made();
    let more: [fn(&mut Container<'_>); 3] = [
        |container| container.model.as_mut().unwrap().tapes.0 += 5000,
        |container| container.model.as_mut().unwrap().slots += 1 << 16,
        |container| container.old_length += 1 << 20,
    ];
    for change in more {
        let mut container = Container::read(&delta).unwrap();
        let before = container.memory().unwrap();
        change(&mut container);
        let needed = container.memory().unwrap();
        assert!(needed > before, "{needed} bytes, {before} before");
    }
}
