//! Two recordings held against each other, such as one from before a release and one from after it: by verdict, reason,
//! sender and arm.
//!
//! They are of different events, and rarely of as many, so that counts alone say little: what is compared are shares, of
//! a thousand events that a metric asks for, of a thousand evaluations, of a thousand units. Nothing is said of what is
//! significant: that is LaunchDarkly's to say, and two recordings are no experiment.
//!
//! [`side::Gathering`] sums up one recording, [`compare::difference`] holds two of them against each other, [`text`] and
//! [`markdown`] print the [`difference::Difference`]; its JSON is a contract (`docs/diff.md`).

pub mod compare;
pub mod difference;
pub mod markdown;
pub mod side;
pub mod text;

pub use compare::{Same, difference};
pub use difference::Difference;
pub use side::{Gathering, Side};
