//! The feed: what is received, handed on to viewers elsewhere. Its doors are apart from the one SDKs send to.
//!
//! ```text
//!  endpoint ── tap ──▶ hub (the newest requests, bounded) ──▶ viewer ──▶ unix socket ──▶ exptap attach
//!                                                     └─────▶ viewer ──▶ WebSocket   ──▶ exptap attach
//! ```
//!
//! A viewer has no queue: it has a place in the hub. One that is slow falls behind, and where the hub no longer has what
//! comes next it is told how many requests are missing; nobody else notices. What is said is in [`crate::protocol`].
//!
//! Both doors speak HTTP. On a socket the file's own permissions say who may enter; at a port a token does, and a
//! request that a web page made is refused before anybody looks at its token.

mod guard;
mod hub;
mod metrics;
mod serve;
mod socket;
mod token;
mod viewer;

pub use guard::{Guard, Refusal};
pub use hub::{Hub, Item, Kept};
pub use metrics::Counters;
pub(crate) use serve::SPEAKS_TLS;
pub use serve::{Door, Feed, FeedError, Options, PATH, Patience, open};
pub use socket::{Socket, SocketError, default_path};
pub use token::{MIN_TOKEN_BYTES, Token, TokenError, default_file};
pub use viewer::only;
