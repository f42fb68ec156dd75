//! exptap shows, for every LaunchDarkly event, whether it counts toward an experiment, and if not, why and what
//! to change.
//!
//! Data goes one way. A source (the endpoint, a file, the demo) wraps what it receives in an
//! [`envelope::Envelope`]; [`event`] decodes it, totally; [`attribution`] judges every event against the
//! [`catalog`] and keeps what later events can still change; [`session`] adds the journal that the screens and
//! the headless commands read.
//!
//! The core names no terminal, no async runtime and no clock: time comes in with the data.

pub mod app;
pub mod attach;
pub mod attribution;
pub mod bucketing;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod demo;
pub mod diff;
pub mod endpoint;
pub mod envelope;
pub mod event;
pub mod explain;
pub mod feed;
pub mod findings;
pub mod guide;
pub mod headless;
pub mod input;
pub mod intake;
pub mod json;
pub mod near_miss;
pub mod probe;
pub mod protocol;
pub mod pull;
pub mod query;
pub mod reason;
pub mod recorder;
pub mod recording;
pub mod redact;
pub mod replay;
pub mod report;
pub mod review;
pub mod run;
pub mod segment;
pub mod session;
pub mod silenced;
pub mod spool;
pub mod statistics;
pub mod terminal;
pub mod tls;
pub mod ui;
pub mod untrusted;
pub mod verdicts;
pub mod view;
pub mod what_if;
