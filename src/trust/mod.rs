//! Who may say what runs here: keys, signatures, manifests.
//!
//! [`read`](read()) turns what a source offered into a [`Manifest`], or refuses it; [`admit`] holds it
//! against what was accepted before; [`choose`](choose()) picks the one artifact to take. A [`Chosen`] is
//! made by `choose` alone, and every later stage begins with one.
//!
//! Everything here is pure: no file, no network, no clock. The order of the checks is the order
//! in which each sees only what the one before has proved.

mod base64;
pub mod bundle;
mod chain;
mod choice;
pub mod choose;
mod comment;
mod document;
mod floor;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
mod json;
mod kept;
mod keys;
pub mod manifest;
mod minisign;
mod names;
mod read;
mod refused;

#[cfg(test)]
mod fixture;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod vectors_tests;

#[cfg(feature = "cli")]
pub(crate) use base64::decode as decode_base64;
pub use chain::TrustedKeys;
pub use choice::{Chosen, Format, Proof};
pub use choose::{Choice, PassedOver, Policy, choose};
pub use comment::{Bound, Field};
pub use document::KeyDocument;
pub use floor::{Admitted, admit};
pub use json::{strict as strict_json, strict_with_fractions as strict_json_with_fractions};
pub use kept::{Proved, proved, provision};
pub use keys::{KeySet, PublicKey};
pub use manifest::Manifest;
pub use minisign::{ArtifactSignature, Signature, blake2b512, blake2b512_reader};
pub use names::{is_channel, is_product, is_target};
pub use read::{CLOCK_SKEW, Expect, Offer, Trust, read, version_of_label};
pub use refused::Refused;
