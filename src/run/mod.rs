//! Running: where the parts meet the world.

pub mod tui;
