//! Going through a large session beside the loop of the screens, on a thread of its own.

use crate::app::{Survey, Surveyed};
use std::io;
use tokio::sync::oneshot::{Receiver, channel};

/// The survey under way, if one is.
#[derive(Default)]
pub(super) struct Surveys(Option<Receiver<Surveyed>>);

impl Surveys {
    /// Begins one.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn begin(&mut self, survey: Survey) -> io::Result<()> {
        let (give, given) = channel();
        std::thread::Builder::new().name("survey".to_owned()).spawn(move || {
            // Where nobody wants to know any more nobody is told.
            let _ = give.send(survey.make());
        })?;
        self.0 = Some(given);
        Ok(())
    }

    /// Waits for it; for ever where none is under way. None: it came to nothing.
    pub(super) async fn made(&mut self) -> Option<Surveyed> {
        let Some(receiver) = &mut self.0 else { return std::future::pending().await };
        let made = receiver.await;
        self.0 = None;
        made.ok()
    }
}
