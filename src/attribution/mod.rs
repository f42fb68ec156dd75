//! Attribution: which events count, which are dropped, and why (`docs/attribution.md`).

mod accept;
pub mod codes;
mod counting;
pub mod evidence;
mod exported;
pub mod filter;
pub mod judge;
mod merge;
pub mod pattern;
pub mod points;
pub mod request;
mod resolve;
mod settle;
pub mod state;
pub mod tail;
pub mod tally;
pub mod units;
pub mod url;
