//! Attribution: which events count, which are dropped, and why (`docs/attribution.md`).

pub mod codes;
pub mod evidence;
pub mod filter;
pub mod judge;
mod merge;
pub mod pattern;
pub mod points;
pub mod request;
pub mod state;
pub mod tally;
pub mod units;
pub mod url;
