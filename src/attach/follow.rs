//! Staying attached: what comes is handed on, and a connection that breaks off is made anew from where it was.

use super::connect::{ConnectError, Connection, Connector, Greeting};
use super::link::{Board, LinkState};
use crate::endpoint::{Intake, Missed};
use crate::protocol::{self, Bye, Cause, Control, Line, Missing, Position, Resume, Step, Unpacker, VERSION};
use crate::recording::Record;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// A collector asks every 15 seconds whether somebody is there; nothing at all for so long, and it is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// The first pause before trying again, and the longest.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);
/// So much may wait for the core before no more is taken from the collector, which keeps the rest meanwhile.
const WAITING_REQUESTS: usize = 16_384;
const WAITING_BYTES: u64 = 16 * 1024 * 1024;
/// A clock that differs by so much is worth a remark.
const SKEW_MS: i64 = 5_000;

/// What to ask a collector for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only requests with an event that matches.
    pub only: Option<String>,
    /// Compressed: it goes over a network.
    pub compress: bool,
}

/// The pauses before trying again: each twice as long as the one before, none longer than 10 seconds, and none quite
/// the same, so that a hundred viewers do not come back at once.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Pause {
    /// The next pause; `chance` is anything.
    pub fn next(&mut self, chance: u8) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        // From three quarters of it to all of it, and never less than the shortest.
        (pause * 3 / 4 + pause / 4 * u32::from(chance) / 255).max(SHORTEST)
    }
}

/// Hands on what a collector sends.
pub struct Follower {
    connector: Connector,
    intake: Intake,
    board: Arc<Board>,
    wanted: Wanted,
    position: Position,
    now_ms: fn() -> i64,
}

/// Why a connection ended.
enum Ended {
    /// It broke off, or the collector stopped.
    Lost(String),
    /// Coming back would be of no use.
    Final(String),
    /// Nobody takes what comes any more.
    Abandoned,
}

impl Follower {
    /// One that was attached nowhere yet.
    pub fn new(connector: Connector, intake: Intake, board: Arc<Board>, wanted: Wanted, now_ms: fn() -> i64) -> Self {
        board.change(|link| link.only.clone_from(&wanted.only));
        Self { connector, intake, board, wanted, position: Position::default(), now_ms }
    }

    /// Follows the collector until nobody takes what comes any more, or it is of no use.
    pub async fn run(mut self, (connection, greeting): (Connection, Greeting)) {
        let mut next = Some((connection, greeting));
        let mut pause = Pause::default();
        loop {
            let ended = match next.take() {
                Some((connection, greeting)) => {
                    self.board.change(|link| link.state = LinkState::Attached);
                    let before = self.position.clone();
                    let ended = self.follow(connection, &greeting).await;
                    // Whoever lets everybody in and sends nothing is not asked again and again at once.
                    if self.position != before {
                        pause = Pause::default();
                    }
                    ended
                }
                None => match self.connector.connect(false).await {
                    Ok(connected) => {
                        next = Some(connected);
                        continue;
                    }
                    Err(ConnectError::Unreachable(why)) => Ended::Lost(why),
                    Err(ConnectError::Refused(why)) => Ended::Final(why),
                },
            };
            match ended {
                Ended::Abandoned => return,
                Ended::Final(why) => return self.board.change(|link| link.state = LinkState::Ended { why }),
                Ended::Lost(why) => {
                    if self.intake.is_abandoned() {
                        return;
                    }
                    self.wait(pause.next(chance()), why).await;
                }
            }
        }
    }

    /// Waits, and says how long it still takes.
    async fn wait(&self, pause: Duration, why: String) {
        let until = tokio::time::Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                break;
            }
            // Rounded up: what takes half a second yet is not over.
            let seconds = left.as_millis().div_ceil(1_000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            self.board.change(|link| link.state = LinkState::Waiting { seconds, why: why.clone() });
            sleep(left - Duration::from_secs(seconds.saturating_sub(1)).min(left)).await;
        }
        self.board.change(|link| link.state = LinkState::Connecting { why });
    }

    async fn follow(&mut self, mut connection: Connection, greeting: &Greeting) -> Ended {
        let hello = &greeting.hello;
        if self.position.greet(hello) {
            let why = "the collector was started anew; of what was sent meanwhile nothing is known";
            self.intake.miss(Missed { requests: None, t_ms: (self.now_ms)(), why: why.into(), is_intended: false });
        }
        let skew_ms = hello.now.saturating_sub((self.now_ms)());
        let remark = (skew_ms.abs() >= SKEW_MS).then(|| {
            let direction = if skew_ms > 0 { "ahead of" } else { "behind" };
            format!("the collector's clock is {} s {direction} this one", skew_ms.abs() / 1_000)
        });
        self.board.change(|link| link.remark = remark);
        let mut asked = Vec::new();
        protocol::write(
            &mut asked,
            &Control::Resume(Resume {
                version: VERSION,
                epoch: self.position.epoch.clone(),
                after: self.position.after,
                only: self.wanted.only.clone(),
                compress: self.wanted.compress,
            }),
        );
        let asked = Message::text(String::from_utf8(asked).unwrap_or_default());
        if let Err(error) = connection.send(asked).await {
            return Ended::Lost(format!("the connection broke off: {error}"));
        }
        let mut unpacker = None;
        loop {
            let message = match timeout(SILENCE, connection.next()).await {
                Err(_) => return Ended::Lost(format!("nothing was heard for {} s", SILENCE.as_secs())),
                Ok(None) => return Ended::Lost("the connection broke off".to_owned()),
                Ok(Some(Err(error))) => return Ended::Lost(format!("the connection broke off: {error}")),
                Ok(Some(Ok(message))) => message,
            };
            let unpacked;
            let text = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(packed) => {
                    let unpacking = match unpacker.take() {
                        Some(unpacker) => Ok(unpacker),
                        None => Unpacker::new(),
                    };
                    let result = unpacking.and_then(|it| unpacker.insert(it).unpack(packed));
                    match result {
                        Ok(text) => {
                            unpacked = text;
                            &unpacked
                        }
                        Err(error) => return Ended::Lost(error.to_string()),
                    }
                }
                Message::Close(_) => return Ended::Lost("the collector closed the connection".to_owned()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            for line in String::from_utf8_lossy(text).lines() {
                match self.take(line).await {
                    Ok(()) => {}
                    Err(ended) => return ended,
                }
            }
        }
    }

    /// Takes one line.
    async fn take(&mut self, line: &str) -> Result<(), Ended> {
        match protocol::parse(line) {
            Ok(Line::Record(record)) => match *record {
                Record::Request(envelope) => {
                    match self.position.take(envelope.request) {
                        Step::Seen => return Ok(()),
                        Step::Next => {}
                        Step::After(skipped) => {
                            self.miss(skipped, "the collector left them out and did not say why");
                        }
                    }
                    self.wait_for_room().await?;
                    self.intake.offer(envelope);
                    Ok(())
                }
                Record::Mark(_) | Record::Gap(_) | Record::Flags(_) | Record::Unknown => Ok(()),
            },
            Ok(Line::Control(Control::Gap(missing))) => {
                self.skip(&missing);
                Ok(())
            }
            Ok(Line::Control(Control::Bye(Bye { why, is_final, .. }))) => {
                Err(if is_final { Ended::Final(why) } else { Ended::Lost(why) })
            }
            Ok(Line::Control(_) | Line::Header(_)) => Ok(()),
            Err(error @ protocol::LineError::Newer(_)) => Err(Ended::Final(error.to_string())),
            Err(error) => Err(Ended::Lost(error.to_string())),
        }
    }

    fn skip(&mut self, missing: &Missing) {
        let requests = self.position.skip(missing);
        match missing.cause {
            Cause::NotAsked => {
                self.board.change(|link| link.not_asked += requests);
                self.miss_as(requests, "not asked for (--only)", true);
            }
            Cause::Gone => self.miss(requests, "the collector keeps only the newest, and they were older"),
            Cause::Lost => self.miss(requests, "the collector had no room for them"),
            Cause::Other => self.miss(requests, "the collector says that they are missing"),
        }
    }

    fn miss(&self, requests: u64, why: &str) {
        self.miss_as(requests, why, false);
    }

    fn miss_as(&self, requests: u64, why: &str, is_intended: bool) {
        if requests > 0 {
            let t_ms = (self.now_ms)();
            self.intake.miss(Missed { requests: Some(requests), t_ms, why: why.into(), is_intended });
        }
    }

    /// Waits while the core has enough to do. What waits at the collector meanwhile is not lost before it has to be.
    async fn wait_for_room(&self) -> Result<(), Ended> {
        loop {
            if self.intake.is_abandoned() {
                return Err(Ended::Abandoned);
            }
            let (requests, bytes) = self.intake.waiting();
            if requests < WAITING_REQUESTS && bytes < WAITING_BYTES {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Anything.
fn chance() -> u8 {
    let mut byte = [0];
    // Without chance the pauses are the shortest there are, which harms nobody.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_half_a_second_to_ten_and_differ() {
        let mut pause = Pause::default();
        let longest: Vec<u128> = (0..7).map(|_| pause.next(255).as_millis()).collect();
        assert_eq!(longest, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        let mut pause = Pause::default();
        let shortest: Vec<u128> = (0..7).map(|_| pause.next(0).as_millis()).collect();
        assert_eq!(shortest, [500, 750, 1_500, 3_000, 6_000, 7_500, 7_500]);
    }
}
