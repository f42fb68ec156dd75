//! Time and chance for whoever waits, as something a test can hold still.

use std::time::Duration;

/// The clock, the dice and the patience of a client.
pub trait Pace {
    /// Now, epoch ms.
    fn now_ms(&self) -> i64;
    /// A little while, different each time, so that many who wait for the same instant do not all come back at it.
    fn jitter(&mut self) -> Duration;
    /// Lets time pass.
    fn wait(&mut self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Real time.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Pace for WallClock {
    fn now_ms(&self) -> i64 {
        crate::run::now_ms()
    }

    fn jitter(&mut self) -> Duration {
        let mut byte = [0_u8; 1];
        // Without chance everybody waits the same, which is worse for LaunchDarkly and no worse here.
        let _ = getrandom::fill(&mut byte);
        Duration::from_millis(100 + 4 * u64::from(byte[0]))
    }

    async fn wait(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
