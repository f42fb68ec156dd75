//! What would be, had something been set up in another way: the same events judged under a changed catalog, mapping or
//! clock, and the difference, event by event.
//!
//! A [`Change`] is taken by the readers that read catalogs and mapping files, whole or not at all, so that nothing is
//! ever judged by half of one. The events are then judged a second time, from the first to the last: a verdict depends
//! on what came before and after it, and any shortcut would be a second set of rules. The [`Difference`] holds the two
//! judgements against each other.

pub mod change;
mod compare;
pub mod difference;
pub mod join;
pub mod judgement;
pub mod markdown;
pub mod plan;
pub mod remedy;
pub mod text;

pub use change::{CatalogEdit, Change, MappingEdit, Refusal};
pub use difference::Difference;
pub use judgement::Judgement;
