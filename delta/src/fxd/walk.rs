//! The prediction: what each field is in the new file, from what is known by then. Part of the format.

use super::bytes::{u32_at, u64_at};
use super::learned::Learned;
use super::limit::Clock;
use super::map::Map;
use super::refer::{Place, normal};
use super::segment::Segment;
use super::sites::{Kind, RECORD, Tape};
use crate::ApplyError;

/// One side of the prediction: who restores the new file, or who has it.
pub(super) trait New {
    /// The new file, right before the field that comes next.
    fn bytes(&self) -> &[u8];

    /// The field at `at` is `predicted`, in its normal form, or is corrected.
    fn settle(&mut self, at: usize, kind: Kind, predicted: u64) -> Result<(), ApplyError>;
}

/// What a prediction is made from.
pub(super) struct Walk<'a> {
    pub(super) old: &'a [u8],
    pub(super) segments: &'a [Segment],
    pub(super) map: &'a Map<'a>,
    pub(super) from: Place<'a>,
    pub(super) to: Place<'a>,
}

impl Walk<'_> {
    /// Goes through the sites of `tape` that were copied whole, in the order of the new file.
    pub(super) fn run(
        &self,
        tape: &Tape,
        learned: &mut Learned,
        new: &mut impl New,
        clock: &mut Clock,
    ) -> Result<(), ApplyError> {
        // Segments mostly follow each other in the old file, too.
        let mut near = tape.from(0);
        for segment in self.segments {
            clock.tick()?;
            if !tape.may_have(segment.old, segment.old_end()) {
                continue;
            }
            let mut sites = tape.after(segment.old, near);
            loop {
                near = sites;
                let Some(site) = sites.next() else { break };
                let width = site.kind.width() as u32;
                if site.at >= segment.old_end() || segment.old_end() - site.at < width {
                    break;
                }
                clock.tick()?;
                self.site(site.at, site.at - segment.old + segment.new, site.kind, learned, new)?;
            }
        }
        Ok(())
    }

    fn site(&self, at: u32, to: u32, kind: Kind, learned: &mut Learned, new: &mut impl New) -> Result<(), ApplyError> {
        let start = at as usize;
        let old = match kind.width() {
            8 => u64_at(self.old, start),
            _ => u32_at(self.old, start).map(u64::from),
        };
        let old = old.ok_or(ApplyError::Damaged("a reference lies outside of the old file"))?;
        let target = self.from.target(self.old, at, kind);
        let predicted = match kind {
            Kind::Step64 => {
                step(self.old, new.bytes(), start, to as usize, u64_at, u64::wrapping_sub, u64::wrapping_add)
            }
            Kind::Step32 => {
                step(self.old, new.bytes(), start, to as usize, u32_at, u32::wrapping_sub, u32::wrapping_add)
                    .map(u64::from)
            }
            _ => target
                .and_then(|target| learned.get(target).or_else(|| self.map.address(target)))
                .and_then(|target| self.to.field(to, kind, target, old)),
        };
        new.settle(to as usize, kind, normal(kind, predicted.unwrap_or(old)))?;
        if let Some(target) = target.filter(|_| Place::teaches(kind))
            && let Some(now) = self.to.target(new.bytes(), to, kind)
            && self.to.loads.holds(now)
        {
            learned.put(target, now);
        }
        Ok(())
    }
}

/// What grows from record to record grows by as much as in the old file.
fn step<T>(
    old: &[u8],
    new: &[u8],
    at: usize,
    to: usize,
    read: impl Fn(&[u8], usize) -> Option<T>,
    less: impl Fn(T, T) -> T,
    more: impl Fn(T, T) -> T,
) -> Option<T> {
    let grown = less(read(old, at)?, read(old, at.checked_sub(RECORD)?)?);
    Some(more(read(new, to.checked_sub(RECORD)?)?, grown))
}
