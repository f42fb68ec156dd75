//! A collector elsewhere as a source: what it received comes in here as if it had been sent here, and what it can no
//! longer hand on is a loss where it happened.
//!
//! ```text
//!  target ──▶ connect: unix socket │ WebSocket │ ssh and a relay ──▶ follow ──▶ intake ──▶ the core
//!                ▲                                                     │
//!                └────────────── 0.5 to 10 s later ◀───────────────────┘
//! ```

mod connect;
mod follow;
mod link;
pub mod relay;
mod target;
mod tls;

pub use connect::{ConnectError, Connection, Connector, Greeting};
pub use follow::{Follower, Pause, Wanted};
pub use link::{Board, Link, LinkState};
pub use target::{Target, TargetError};
pub use tls::Vouching;
