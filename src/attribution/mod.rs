//! Attribution: which events count, which are dropped, and why (`docs/attribution.md`).

mod accept;
mod all_flags;
mod allotted;
pub mod codes;
mod counting;
pub mod evidence;
mod exported;
pub mod filter;
mod index;
pub mod judge;
pub(crate) mod list;
mod merge;
pub mod pattern;
pub mod points;
pub mod request;
mod resolve;
pub mod segment;
mod settle;
mod shared;
pub mod sightings;
mod snapshot;
pub mod state;
mod tail;
pub mod tally;
pub mod units;
mod unmatched;
pub mod url;
