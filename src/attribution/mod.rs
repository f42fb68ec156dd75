//! Attribution: what counts, what does not, and why.

pub mod filter;
pub mod pattern;
pub mod url;
