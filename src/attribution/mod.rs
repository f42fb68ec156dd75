//! Attribution: which events count, which are dropped, and why (`docs/attribution.md`).

pub mod points;
