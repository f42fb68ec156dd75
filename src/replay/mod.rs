//! Replaying a recording: any position of it, forwards, backwards and as time passes.
//!
//! Everything shown is derived again from the recording, so that a replay at its end says exactly what
//! `exptap report` says of the file. Going back is what makes that hard: verdicts are revised by what comes later, so
//! a position is reached by taking in what is before it. Checkpoints keep the state of attribution along the way,
//! sharing what did not change between them; a seek resumes from one and takes in what is missing.
//!
//! A **position** is a number of records taken in. A record is a line of the recording: a request, a mark, a gap, or a
//! damaged line, which is a loss. Not an event, because what arrived together is judged together: a summary explains
//! the evaluations of its whole payload, and between two events of one request nobody ever saw anything.
//!
//! **Time** is the recording's. It passes up to a record before the record is taken in, and between records while
//! playing, so that what was pending then is pending now. At the end of a completely read recording nothing more can
//! come, so nothing stays pending: the grace is over for everything at once, and the session's report is that of
//! `exptap report`. One record before the end, what was pending then is pending.
//!
//! The **list** holds the newest [`ReplayOptions::rows`] events of a position, however it was reached; a live session
//! holds four times as many, which would make every seek take in four times as much.
//!
//! One thread does everything that takes time, in slices between which it listens ([`Engine`]); the loop of the
//! screens gets whole sessions, which are clones that cost little, and never waits.
//!
//! The alternatives. To judge on the loop and keep only the reading on a thread would need no clones, and would make a
//! seek of 50,000 events freeze the keys. To go back by an undo log would need every change of the state of
//! attribution to be written twice, in the place where correctness is hardest. To keep whole states at checkpoints
//! without sharing costs the whole of a million units each time.

mod checkpoints;
mod engine;
mod file;
mod findings;
mod head;
mod inferring;
mod journey;
mod lines;
mod player;
mod playing;
mod timeline;

pub use engine::{Engine, Wake};
pub use file::{OpenError, RecordingFile};
pub use player::{
    Command, Direction, Going, Idle, Player, Reading, ReplayOptions, Silence, Speed, Status, Stop, Target, Update,
};
pub use timeline::{Density, FindingAt, GapAt, MarkAt, Timeline};
