//! References in AArch64 code: B and BL, and ADRP with the ADD, LDR or STR that follows.

use super::{Kind, Tape};
use crate::fxd::bytes::u32_at;
use crate::fxd::elf::{Elf, SHT_PROGBITS, Section};

/// How far behind its ADRP the second half is looked for.
const REACH: usize = 64;

pub(super) fn find(file: &[u8], elf: &Elf, tape: &mut Tape) {
    let mut code: Vec<&Section> =
        elf.sections.iter().filter(|section| section.executable && section.sort == SHT_PROGBITS).collect();
    code.sort_by_key(|section| section.offset);
    let mut end = 0;
    for section in code {
        if section.offset >= end {
            end = section.end();
            walk(file, section, tape);
        }
    }
}

/// An ADRP whose second half may still come.
#[derive(Clone, Copy)]
struct Page {
    at: usize,
    /// It is on the tape already, with the first second half that was found.
    found: bool,
}

fn walk(file: &[u8], section: &Section, tape: &mut Tape) {
    let mut pages: [Option<Page>; 32] = [None; 32];
    // The tape is in order, and an ADRP is known only by what follows: so sites wait for their turn.
    let mut waiting = std::collections::VecDeque::<(usize, Option<Kind>)>::new();
    for at in (section.offset..section.end().saturating_sub(3)).step_by(4) {
        let Some(word) = u32_at(file, at) else { return };
        let (first, second) = ((word & 31) as usize, (word >> 5 & 31) as usize);
        let add = word & 0xffc0_0000 == 0x9100_0000;
        let memory = word & 0x3b00_0000 == 0x3900_0000;
        if word & 0x7c00_0000 == 0x1400_0000 {
            waiting.push_back((at, Some(Kind::Branch)));
            if word >> 31 == 0 {
                pages = [None; 32];
            }
        } else if word & 0x9f00_0000 == 0x9000_0000 {
            waiting.push_back((at, None));
            pages[first] = Some(Page { at, found: false });
        } else if add || memory {
            if let Some(page) = pages[second].as_mut().filter(|page| at - page.at <= REACH) {
                let distance = (at - page.at) as u8;
                if !page.found {
                    page.found = true;
                    if let Some(site) = waiting.iter_mut().find(|site| site.0 == page.at) {
                        site.1 = Some(Kind::Page { low: distance });
                    }
                }
                waiting.push_back((at, Some(Kind::Low { page: distance })));
                if add && first == second {
                    pages[second] = None;
                }
            }
        } else if writes(word) {
            pages[first] = None;
        }
        while let Some(&(site, kind)) = waiting.front() {
            if at - site < REACH {
                break;
            }
            waiting.pop_front();
            if let Some(kind) = kind {
                tape.push(site, kind);
            }
        }
    }
    for (site, kind) in waiting {
        if let Some(kind) = kind {
            tape.push(site, kind);
        }
    }
}

/// ADD and SUB of registers and MOV, which end an ADRP's register.
fn writes(word: u32) -> bool {
    word >> 24 & 0x1f == 0x0b || word & 0xffe0_0000 == 0xaa00_0000
}
