//! What an operator does with a rollout, and what it looks like.

pub mod doctor;
pub mod metrics;
pub mod page;
mod plain;
pub mod text;
pub mod view;

pub use view::View;
