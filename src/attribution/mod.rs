//! Attribution: what counts, what does not, and why.

pub mod pattern;
pub mod url;
