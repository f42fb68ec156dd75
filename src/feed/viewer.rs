//! One viewer: what it asked for, from where it is, at its own pace.

use super::serve::Shared;
use super::{Counters, Item};
use crate::envelope::Envelope;
use crate::event::body::{self, Route};
use crate::event::{Event, Item as Part};
use crate::intake;
use crate::protocol::{
    self, Bye, Cause, Control, Hello, Line, MAX_TOLD_BYTES, MESSAGE_BYTES, Missing, Packer, Resume, VERSION,
};
use crate::query::{Field, Query, Situation};
use crate::recording;
use crate::segment::write_key;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// So slow a connection may be: a message gets more time by its size.
const SLOWEST_BYTES_A_SECOND: u64 = 1024;
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a collector cannot tell of a request, since it judges nothing.
const JUDGED: [Field; 4] = [Field::Experiment, Field::Metric, Field::Verdict, Field::Code];

/// Serves a viewer until it leaves, does not answer, or the feed has ended.
pub(super) async fn serve<Stream>(socket: WebSocketStream<Stream>, shared: &Shared)
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let kept = shared.hub.kept();
    let hello = Hello {
        version: VERSION,
        tool: concat!("exptap ", env!("CARGO_PKG_VERSION")).to_owned(),
        epoch: shared.hub.epoch().to_owned(),
        first: kept.first,
        last: kept.last,
        now: now_ms(),
    };
    let mut greeting = Vec::new();
    protocol::write(&mut greeting, &Control::Hello(hello));
    greeting.extend_from_slice(&shared.header);
    let beginning = async {
        sink.send(text(greeting)).await.ok()?;
        asked(&mut stream).await
    };
    let Ok(Some(asked)) = timeout(shared.patience.begin, beginning).await else { return };
    let counters = &shared.hub.counters;
    let viewing = asked.and_then(|resume| Viewing::new(resume, shared.hub.epoch()));
    let (last, why, is_final) = match viewing {
        Ok(mut viewing) => {
            Counters::add(&counters.attached, 1);
            Counters::add(&counters.viewers, 1);
            let heard = watch::Sender::new(Instant::now());
            let is_whole = tokio::select! {
                is_whole = viewing.tell(&mut sink, shared, heard.subscribe()) => is_whole,
                () = listen(&mut stream, &heard) => false,
            };
            Counters::take(&counters.viewers);
            if !is_whole {
                return;
            }
            (viewing.after, "the collector stops".to_owned(), false)
        }
        Err(why) => (kept.last, why, true),
    };
    let mut bye = Vec::new();
    protocol::write(&mut bye, &Control::Bye(Bye { last, why, is_final }));
    let _ = timeout(GOODBYE, async {
        sink.send(text(bye)).await?;
        sink.close().await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<(), Error>(())
    })
    .await;
}

/// What a viewer wants, or why it cannot be understood; none: it has left.
async fn asked<Stream>(stream: &mut SplitStream<WebSocketStream<Stream>>) -> Option<Result<Resume, String>>
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let text = match stream.next().await?.ok()? {
            Message::Text(text) => text,
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Binary(_) | Message::Frame(_) => return Some(Err("expected a line of text".to_owned())),
        };
        return Some(match protocol::parse(text.trim_end()) {
            Ok(Line::Control(Control::Resume(resume))) => Ok(resume),
            Ok(_) => Err("expected what the viewer has and wants".to_owned()),
            Err(error) => Err(error.to_string()),
        });
    }
}

/// Notes whenever something is heard of a viewer; ends when it has left.
async fn listen<Stream>(stream: &mut SplitStream<WebSocketStream<Stream>>, heard: &watch::Sender<Instant>)
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = stream.next().await {
        if message.is_close() {
            return;
        }
        heard.send_replace(Instant::now());
    }
}

/// A viewer's place, and what it wants.
struct Viewing {
    /// The last request it was told of.
    after: u64,
    only: Option<Query>,
    packer: Option<Packer>,
    /// Requests that were not asked for, since the last that was sent.
    held_back: Option<Missing>,
}

impl Viewing {
    fn new(resume: Resume, epoch: &str) -> Result<Self, String> {
        let only = resume.only.as_deref().map(only).transpose()?;
        let packer = resume.compress.then(Packer::new).transpose().map_err(|error| error.to_string())?;
        // Of another run it has nothing that is of use here.
        let after = if resume.epoch.as_deref() == Some(epoch) { resume.after } else { 0 };
        Ok(Self { after, only, packer, held_back: None })
    }

    /// Sends what there is and what comes. True: everything that ever will come was sent.
    async fn tell<Stream>(
        &mut self,
        sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
        shared: &Shared,
        heard: watch::Receiver<Instant>,
    ) -> bool
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let patience = shared.patience;
        let mut changes = shared.hub.changes();
        let mut ping_at = Instant::now() + patience.ping;
        let mut pinged_at: Option<Instant> = None;
        loop {
            changes.mark_unchanged();
            let Some(items) = shared.hub.after(self.after, MESSAGE_BYTES as u64, now_ms()) else { return true };
            if items.is_empty() {
                // What was heard before the ping answers nothing.
                let unanswered = || pinged_at.filter(|pinged_at| *heard.borrow() < *pinged_at);
                // One that has not answered yet is not asked again, but given the time it has.
                let wake = unanswered().map_or(ping_at, |pinged_at| pinged_at + patience.answer);
                tokio::select! {
                    _ = changes.changed() => continue,
                    () = sleep_until(wake) => {}
                }
                if unanswered().is_some_and(|pinged_at| Instant::now() >= pinged_at + patience.answer) {
                    return false;
                }
                if unanswered().is_none() && Instant::now() >= ping_at {
                    if !send(sink, Message::Ping(bytes::Bytes::new()), patience.message).await {
                        return false;
                    }
                    (pinged_at, ping_at) = (Some(Instant::now()), Instant::now() + patience.ping);
                }
                continue;
            }
            let Ok(messages) = self.messages(items, shared) else { return false };
            for message in messages {
                if !send(sink, message, patience.message).await {
                    return false;
                }
            }
        }
    }

    /// The messages that tell of some items.
    fn messages(&mut self, items: Vec<Item>, shared: &Shared) -> Result<Vec<Message>, protocol::PackError> {
        let counters = &shared.hub.counters;
        let (mut messages, mut lines) = (Vec::new(), Vec::new());
        let mut line = Vec::new();
        for item in items {
            self.after = self.after.max(item.last());
            match item {
                Item::Missing(missing) => {
                    if missing.cause == Cause::Gone {
                        Counters::add(&counters.gone, missing.to - missing.from + 1);
                    }
                    self.let_go(&mut lines);
                    protocol::write(&mut lines, &Control::Gap(missing));
                }
                Item::Request(envelope) if self.only.as_ref().is_some_and(|only| !matches(only, &envelope)) => {
                    self.hold_back(&envelope);
                }
                Item::Request(envelope) => {
                    self.let_go(&mut lines);
                    // Its copy was taken before anybody looked.
                    let cleaned = write_key::cleaned(&envelope);
                    recording::write_request(&mut line, cleaned.as_ref().unwrap_or(&envelope));
                    if line.len() > MAX_TOLD_BYTES {
                        // Heads are bounded at the endpoint and bodies by the recording's own limit: this is for what
                        // nobody thought of.
                        let (number, t) = (envelope.request, envelope.arrival_ms);
                        line.clear();
                        let missing = Missing { from: number, to: number, t, cause: Cause::Lost };
                        protocol::write(&mut line, &Control::Gap(missing));
                    } else {
                        Counters::add(&counters.sent, 1);
                    }
                    if !lines.is_empty() && lines.len() + line.len() > MESSAGE_BYTES {
                        messages.push(self.message(&mut lines)?);
                    }
                    lines.append(&mut line);
                }
            }
        }
        // A viewer that waits for what it asked for must still know how far the collector is.
        self.let_go(&mut lines);
        if !lines.is_empty() {
            messages.push(self.message(&mut lines)?);
        }
        Ok(messages)
    }

    fn message(&mut self, lines: &mut Vec<u8>) -> Result<Message, protocol::PackError> {
        let lines = std::mem::take(lines);
        match &mut self.packer {
            Some(packer) => Ok(Message::Binary(packer.pack(&lines)?.into())),
            None => Ok(text(lines)),
        }
    }

    fn hold_back(&mut self, envelope: &Envelope) {
        let number = envelope.request;
        match &mut self.held_back {
            Some(missing) if missing.to + 1 == number => missing.to = number,
            _ => {
                let cause = Cause::NotAsked;
                self.held_back = Some(Missing { from: number, to: number, t: envelope.arrival_ms, cause });
            }
        }
    }

    fn let_go(&mut self, lines: &mut Vec<u8>) {
        if let Some(missing) = self.held_back.take() {
            protocol::write(lines, &Control::Gap(missing));
        }
    }
}

/// Sends a message within the time it may take. False: it could not be sent.
async fn send<Stream>(
    sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
    message: Message,
    patience: Duration,
) -> bool
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let more = Duration::from_secs(message.len() as u64 / SLOWEST_BYTES_A_SECOND);
    matches!(timeout(patience + more, sink.send(message)).await, Ok(Ok(())))
}

fn text(lines: Vec<u8>) -> Message {
    // Lines are JSON of strings; what is not UTF-8 stands in base64.
    Message::text(String::from_utf8(lines).unwrap_or_default())
}

/// Reads a filter that a collector can hold against requests.
///
/// # Errors
/// Why it cannot.
pub fn only(expression: &str) -> Result<Query, String> {
    let situation = Situation { now_ms: now_ms(), utc_offset_seconds: 0 };
    let query = Query::parse(expression, situation).map_err(|error| format!("--only {expression}: {error}"))?;
    match query.first_of(&JUDGED) {
        Some(field) => Err(format!(
            "--only {expression}: a collector judges nothing, so it knows no {name}: use kind, key, unit, source, since, \
             until and texts here, and {name} in --filter",
            name = field.name()
        )),
        None => Ok(query),
    }
}

/// Whether a request has an event that matches, or cannot be read, so that nobody can say that it has none.
fn matches(only: &Query, envelope: &Envelope) -> bool {
    let source = intake::sender(envelope);
    let t = envelope.arrival_ms.to_string();
    let Ok(text) = body::text(envelope) else { return true };
    let mut is_match = false;
    let mut check = |event: &Event<'_>| {
        let units: Vec<String> = event.context_keys.iter().map(|(kind, key)| format!("{kind}/{key}")).collect();
        let mut fields = vec![("source", source.as_ref()), ("t", t.as_str())];
        fields.extend(event.kind.name().map(|kind| ("kind", kind)));
        fields.extend(event.key.as_deref().map(|key| ("key", key)));
        fields.extend(units.iter().map(|unit| ("unit", unit.as_str())));
        is_match |= only.matches_text(&fields);
    };
    let mut is_unclear = false;
    body::batch(&text, Route::of(&envelope.path).door, |part| match part {
        Part::Event { event, .. } => check(&event),
        // What Segment's destination makes of an event is the viewer's to find out.
        Part::Segment(_) | Part::Unreadable(_) => is_unclear = true,
    });
    is_match || is_unclear
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn envelope(body: &'static str) -> Envelope {
        let headers = vec![("user-agent".to_owned(), "NodeJSClient/9.13.7".to_owned())];
        let (body, path) = (body.as_bytes().into(), "/bulk".to_owned());
        Envelope { body, path, headers, arrival_ms: 1_000, ..Envelope::default() }
    }

    #[test]
    fn a_request_is_sent_where_any_event_of_it_matches_or_cannot_be_read() {
        let two = envelope(
            r#"[{"kind":"custom","creationDate":1,"key":"checkout","context":{"kind":"user","key":"u-1"}},
                {"kind":"identify","creationDate":1,"context":{"kind":"device","key":"d-9"}}]"#,
        );
        let holds = |expression: &str| matches(&only(expression).unwrap(), &two);
        for expression in [
            "key:checkout",
            "unit:device/d-9",
            "unit:u-1",
            "kind:identify",
            "source:NodeJSClient",
            "checkout",
            "until:1970-01-01T00:00:02Z",
            "not key:refund",
        ] {
            assert!(holds(expression), "{expression}");
        }
        for expression in ["key:refund", "unit:user/u-2", "source:Python", "key:checkout unit:device/d-9"] {
            assert!(!holds(expression), "{expression}");
        }
        assert!(matches(&only("key:refund").unwrap(), &envelope("not json")));
    }

    #[test]
    fn what_only_a_judge_knows_is_refused_with_where_it_can_be_asked() {
        for (expression, field) in
            [("verdict:dropped", "verdict"), ("not (key:a or code:no-exposure)", "code"), ("exp:x", "exp")]
        {
            let why = only(expression).unwrap_err();
            assert!(why.contains(&format!("{field} in --filter")), "{why}");
        }
        assert!(only("kind:").unwrap_err().starts_with("--only kind:: "));
    }
}
