//! The header: where exptap listens (or which recording is played), how fast events come, and what became of each of them.

use super::paint::{Canvas, Strip, columns, fixed, grouped, short, zone_name};
use super::replay::file_within;
use super::theme::Role;
use crate::app::{App, Pane, Rate, View};
use crate::attach::{Link, LinkState};
use crate::endpoint::Delivery;
use crate::reason::Category;
use crate::recorder::{Snapshot, State, size};
use crate::report::Totals;
use ratatui::layout::Rect;

/// Pieces of the header: text and role. A longer variant is taken where it fits.
type Pieces = Vec<(String, Role)>;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    if area.height >= 2 {
        let identity = fitting(area.width, [identity(app, true, true), identity(app, false, true)]);
        fill(canvas.strip(area), identity);
        let second = Rect { y: area.y + 1, height: 1, ..area };
        let counters = fitting(
            area.width,
            [Words::All, Words::AllShort, Words::Glyphs, Words::Short].map(|words| counters(app, words)),
        );
        fill(canvas.strip(second), counters);
        let zone = format!("times in {} ", zone_name(app.zone(), app.now_ms()));
        canvas.strip(area).at_end(&zone, Role::Muted);
        return;
    }
    let variant = |full, name, words| {
        let mut pieces = identity(app, full, name);
        pieces.extend(counters(app, words));
        pieces
    };
    let pieces = fitting(
        area.width,
        [
            variant(true, true, Words::All),
            variant(true, true, Words::Glyphs),
            variant(true, true, Words::Short),
            variant(false, true, Words::Short),
            variant(false, false, Words::Short),
        ],
    );
    fill(canvas.strip(area), pieces);
}

/// The first variant that fits, or the last one.
fn fitting<const N: usize>(width: u16, variants: [Pieces; N]) -> Pieces {
    let wide = |pieces: &Pieces| pieces.iter().map(|(text, _)| columns(text)).sum::<usize>();
    let mut last = Pieces::new();
    for pieces in variants {
        if wide(&pieces) <= usize::from(width) {
            return pieces;
        }
        last = pieces;
    }
    last
}

fn fill(mut strip: Strip<'_>, pieces: Pieces) {
    for (text, role) in pieces {
        strip.text(&text, role);
    }
}

/// Name, address, where requests go on to, rate.
fn identity(app: &App<'_>, full: bool, name: bool) -> Pieces {
    let mut pieces = Pieces::new();
    if name {
        pieces.push((" exptap ".into(), Role::Strong));
    }
    let setting = app.setting();
    if let Some(replay) = app.replay() {
        pieces.push((" replay ".into(), Role::Accent));
        let file = if full { &replay.file } else { replay.file.rsplit('/').next().unwrap_or_default() };
        pieces.push((format!("{} ", file_within(file, if full { 48 } else { 16 })), Role::Text));
        if let Some(rate) = app.recorded_rate() {
            if full {
                pieces.push((format!("  {}", curve(&rate)), Role::Accent));
            }
            pieces.push((format!(" {}/s ", grouped(rate.per_second())), Role::Text));
        }
        return pieces;
    }
    match setting.addresses.first() {
        Some(address) if full => {
            pieces.push((" ● ".into(), Role::Good));
            let scheme = if setting.trust.is_some() { "https://" } else { "" };
            pieces.push((format!("{scheme}{address}"), Role::Text));
            let others = setting.addresses.iter().skip(1);
            pieces.extend(others.map(|other| (format!(" {other}"), Role::Muted)));
        }
        Some(address) => {
            pieces.push((" ● ".into(), Role::Good));
            let tls = if setting.trust.is_some() { " TLS" } else { "" };
            pieces.push((format!(":{}{tls}", address.port()), Role::Text));
        }
        None if let Some(link) = app.link() => attached(&mut pieces, link, setting.reading.as_deref(), full),
        None => match &setting.reading {
            Some(name) => pieces
                .push((format!(" reading {}", fixed(name, columns(name).min(if full { 40 } else { 16 }))), Role::Text)),
            None => pieces.push((" not listening".into(), Role::Muted)),
        },
    }
    let health = app.health();
    if let Some(forward) = &setting.forward.launchdarkly {
        pieces.push((if full { format!(" → {} ", host(forward)) } else { " → ".into() }, Role::Text));
        pieces.push(launchdarkly(&health.upstream, full));
    }
    if let Some(forward) = &setting.forward.segment {
        pieces.push((if full { format!(" → {} ", host(forward)) } else { " Segment → ".into() }, Role::Text));
        pieces.push(delivery(&health.segment_upstream));
    }
    if let Some(spool) = health.spool.as_ref().filter(|spool| spool.waiting_requests > 0) {
        // A request that is on its way waits too, and is nobody's trouble.
        let role = if spool.trouble.is_some() { Role::Warning } else { Role::Muted };
        let waiting = short(spool.waiting_requests);
        pieces.push((if full { format!("  {waiting} in the spool ") } else { format!(" {waiting} wait ") }, role));
    }
    if full {
        pieces.push((format!("  {}", curve(app.rate())), Role::Accent));
    }
    pieces.push((format!(" {}/s ", grouped(app.rate().per_second())), Role::Text));
    if let Some(recording) = app.recording() {
        pieces.push(recorded(recording, full, name));
    }
    if app.live().is_frozen() {
        pieces.push((if full { " PAUSED, still counting " } else { " PAUSED " }.into(), Role::Warning));
    }
    pieces
}

/// Which collector it is attached to, whether it is at this moment, and what it does not send.
fn attached(pieces: &mut Pieces, link: &Link, target: Option<&str>, full: bool) {
    let target = target.unwrap_or_default();
    // Of a path the end tells most.
    let short_name = target.rsplit('/').next().unwrap_or_default();
    // Where it is not attached, why not says more than the whole of a path.
    let name = if full && link.state == LinkState::Attached {
        fixed(target, columns(target).min(48))
    } else {
        fixed(short_name, columns(short_name).min(16))
    };
    let (mark, role) = match &link.state {
        LinkState::Attached => (" ● ", Role::Good),
        LinkState::Waiting { .. } | LinkState::Connecting { .. } => (" ○ ", Role::Warning),
        LinkState::Ended { .. } => (" ✗ ", Role::Alert),
    };
    pieces.push((mark.to_owned(), role));
    pieces.push((name, Role::Text));
    let why = |why: &str| if full { format!(": {}", fixed(why, columns(why).min(60))) } else { String::new() };
    match &link.state {
        LinkState::Attached if full => pieces.push((" attached".to_owned(), Role::Good)),
        LinkState::Attached => {}
        LinkState::Waiting { seconds, why: reason } => {
            pieces.push((format!(" reconnecting in {seconds} s{} ", why(reason)), Role::Warning));
        }
        LinkState::Connecting { why: reason } => {
            pieces.push((format!(" reconnecting…{} ", why(reason)), Role::Warning));
        }
        LinkState::Ended { why: reason } => pieces.push((format!(" not attached{} ", why(reason)), Role::Alert)),
    }
    if let Some(only) = &link.only {
        let what = if full { format!(": {only}") } else { String::new() };
        pieces.push((format!(" PART ONLY{what}, {} not sent ", grouped(link.not_asked)), Role::Warning));
    }
}

/// An upstream's address without its scheme.
fn host(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, host)| host).trim_end_matches('/')
}

/// How forwarding to LaunchDarkly is doing. Some answers are the last an SDK ever asks for.
fn launchdarkly(upstream: &Delivery, full: bool) -> (String, Role) {
    match upstream.refused().find(|(status, _)| matches!(status, 401 | 403 | 404)) {
        Some((status, _)) if full => (format!("✗ {status}: that SDK stops sending"), Role::Alert),
        Some((status, _)) => (format!("✗ {status}"), Role::Alert),
        None => delivery(upstream),
    }
}

/// How forwarding is doing: a glyph, and a word where it is not well.
fn delivery(upstream: &Delivery) -> (String, Role) {
    match upstream.refused().next_back() {
        _ if upstream.unanswered > 0 => (format!("✗ {} unanswered", short(upstream.unanswered)), Role::Bad),
        Some((status, count)) => (format!("! {status} ×{}", short(count)), Role::Warning),
        None if upstream.delivered() > 0 => ("✓".into(), Role::Good),
        None => ("…".into(), Role::Muted),
    }
}

/// Whether it is recorded what comes, and how much it has come to. The word stays where there is room for nothing else.
fn recorded(recording: &Snapshot, full: bool, sized: bool) -> (String, Role) {
    let text = match (&recording.state, full, sized) {
        (State::Stopped { .. }, true, _) => return (format!(" ✗ REC {} stopped ", recording.name()), Role::Alert),
        (State::Stopped { .. }, ..) => return (" ✗ REC ".to_owned(), Role::Alert),
        (_, true, _) => format!(" ● REC {} {} ", recording.name(), size(recording.bytes)),
        (_, false, true) => format!(" ● REC {} ", size(recording.bytes)),
        (_, false, false) => " ● REC ".to_owned(),
    };
    (text, Role::Bad)
}

fn curve(rate: &Rate) -> String {
    const BARS: [char; 9] = ['▁', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    rate.curve(12).into_iter().map(|level| BARS.get(usize::from(level)).copied().unwrap_or('█')).collect()
}

/// How a counter says what it counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Glyph and word.
    All,
    /// Glyph and word, numbers shortened.
    AllShort,
    /// Glyph only, numbers in full.
    Glyphs,
    /// Glyph only, numbers shortened.
    Short,
}

/// Every event once, by what became of it: the numbers add up to the first.
fn counters(app: &App<'_>, words: Words) -> Pieces {
    let totals = app.totals();
    let number = |number| if matches!(words, Words::Short | Words::AllShort) { short(number) } else { grouped(number) };
    let noun = if totals.events == 1 { "event" } else { "events" };
    let mut pieces = vec![(format!(" {} {noun} ", number(totals.events)), Role::Strong)];
    // Losses come before what may be cut off at the end.
    if totals.lost > 0 {
        pieces.push((format!(" {} lost ", number(totals.lost)), Role::Alert));
    }
    let lost_requests = app.lost_requests();
    if lost_requests > 0 {
        pieces.push((format!(" {} requests lost ", number(lost_requests)), Role::Alert));
    }
    if matches!(words, Words::All | Words::AllShort) {
        for category in Category::ALL {
            let count = totals.verdicts.get(category.name()).copied().unwrap_or(0);
            if count > 0 || matches!(category, Category::Counted | Category::Dropped) {
                let text = format!("  {} {} {}", category.glyph(), number(count), word(category));
                pieces.push((text, role_of(category)));
            }
        }
    } else {
        for (glyph, count, role) in by_glyph(totals) {
            pieces.push((format!(" {}{}{glyph} ", number(count), if words == Words::Short { "" } else { " " }), role));
        }
    }
    pieces
}

/// The counters with categories of one glyph added up. Narrow screens show glyphs without words, and two numbers
/// under one glyph could not be told apart.
fn by_glyph(totals: &Totals) -> Vec<(&'static str, u64, Role)> {
    let mut counts: Vec<(&'static str, u64, Role)> = Vec::new();
    for category in Category::ALL {
        let count = totals.verdicts.get(category.name()).copied().unwrap_or(0);
        match counts.iter_mut().find(|(glyph, ..)| *glyph == category.glyph()) {
            Some((_, sum, _)) => *sum += count,
            None => counts.push((category.glyph(), count, role_of(category))),
        }
    }
    counts.retain(|(glyph, count, _)| *count > 0 || matches!(*glyph, "✓" | "✗"));
    counts
}

/// The same as plain text.
pub(super) fn glyph_counts(totals: &Totals) -> Vec<String> {
    by_glyph(totals).into_iter().map(|(glyph, count, _)| format!("{}{glyph}", short(count))).collect()
}

/// The word for a category in the header.
fn word(category: Category) -> &'static str {
    match category {
        Category::Counted => "counted",
        Category::Exposure => "exposures",
        Category::Pending => "pending",
        Category::Unknown => "unknown",
        Category::Dropped => "dropped",
        Category::NotAbout => "other",
        Category::Duplicate => "duplicate",
        Category::Undecodable => "unreadable",
    }
}

/// The role of a category's colour.
pub(super) fn role_of(category: Category) -> Role {
    match category {
        Category::Counted => Role::Counted,
        Category::Exposure => Role::Exposure,
        Category::Pending => Role::Pending,
        Category::Unknown => Role::Unknown,
        Category::Dropped => Role::Dropped,
        Category::NotAbout => Role::NotAbout,
        Category::Duplicate => Role::Duplicate,
        Category::Undecodable => Role::Undecodable,
    }
}

/// The names of the panes, where one is shown at a time.
pub(super) fn draw_tabs(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let findings = app.report().findings.len();
    let mut strip = canvas.strip(area);
    for pane in Pane::ALL {
        let active = app.focus() == pane && matches!(app.view(), View::Panes);
        let mut name = format!(" {} {} ", pane.number(), pane.title());
        if pane == Pane::Findings && findings > 0 {
            name = format!(" {} {} ({findings}) ", pane.number(), pane.title());
        }
        strip.text(&name, if active { Role::Selection } else { Role::Muted }).gap(1);
    }
}
