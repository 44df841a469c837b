//! Rows to come.

use crate::table::Case;

pub const CASES: &[Case] = &[];
