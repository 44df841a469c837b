//! Both files with references replaced by what they refer to, so that what only moved looks the same.

use super::bytes::{u32_at, u64_at};
use super::refer::Place;
use super::sites::{Kind, RECORD, Tapes};

/// `file` with the targets of its references, each as `mapped` says, in place of the references.
pub(super) fn view(file: &[u8], place: Place<'_>, tapes: &Tapes, mapped: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut view = file.to_vec();
    for site in tapes.code.from(0).chain(tapes.data.from(0)) {
        let at = site.at as usize;
        let field = match site.kind {
            Kind::MaybeOffset(_) => None,
            Kind::Step64 => grown(file, at, u64_at).map(|(now, before)| now.wrapping_sub(before)),
            Kind::Step32 => grown(file, at, u32_at).map(|(now, before)| u64::from(now.wrapping_sub(before))),
            kind => place.target(file, site.at, kind).and_then(|target| {
                let target = mapped(target);
                let word = u32_at(file, at)?;
                Some(u64::from(match kind {
                    Kind::Branch => word & 0xfc00_0000 | target >> 2 & 0x03ff_ffff,
                    Kind::Page { .. } => word & 0x9f00_001f | (target >> 12 & 0x7_ffff) << 5,
                    Kind::Low { .. } => place.field(site.at, kind, target, u64::from(word))? as u32,
                    _ => target,
                }))
            }),
        };
        if let Some(field) = field
            && let Some(to) = view.get_mut(at..at + site.kind.width())
        {
            to.copy_from_slice(&field.to_le_bytes()[..site.kind.width()]);
        }
    }
    view
}

fn grown<T>(file: &[u8], at: usize, read: impl Fn(&[u8], usize) -> Option<T>) -> Option<(T, T)> {
    Some((read(file, at)?, read(file, at.checked_sub(RECORD)?)?))
}
