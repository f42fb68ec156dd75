//! Attribution: which events count, which are dropped, and why (`docs/attribution.md`).

mod accept;
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
mod settle;
mod shared;
mod snapshot;
pub mod state;
mod tail;
pub mod tally;
pub mod units;
mod unmatched;
pub mod url;
