//! Sources: who sends, how much, and how it is answered.

use super::paint::{Canvas, Strip, grouped, plural, short, size, time_of_day};
use super::theme::Role;
use super::{frame_pane, mark_selection, nothing, page_with, rows};
use crate::app::Pane;
use crate::endpoint::Delivery;
use crate::spool::Figures;
use crate::tls::Trust;
use crate::view::SourceRow;
use ratatui::layout::Rect;

/// One row, below the title line of each sender.
const LINES: usize = 2;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(list) = app.listing(Pane::Sources) else { return };
    let mut remarks = Vec::new();
    if !list.filter.is_empty() {
        remarks.push((list.filter.clone(), Role::Accent));
    }
    let inside = frame_pane(canvas, Pane::Sources, area, &remarks);
    let mut lines = rows(inside);
    let Some(summary) = lines.next() else { return };
    draw_summary(canvas, summary);
    let mut rest = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    if let Some(trouble) = &app.health().trouble {
        canvas.strip(rest).gap(1).text("✗ ", Role::Bad).text(trouble, Role::Bad);
        rest = Rect { y: rest.y + 1, height: rest.height.saturating_sub(1), ..rest };
    }
    for line in app.setting().trust.iter().flat_map(trusted) {
        canvas.strip(rest).gap(1).text(&line, Role::Muted);
        rest = Rect { y: rest.y + 1, height: rest.height.saturating_sub(1), ..rest };
    }
    if list.shown().is_empty() {
        let words =
            if app.source_rows().is_empty() { "nobody has sent anything yet" } else { "no sender passes the filter" };
        nothing(canvas, rest, words);
        return;
    }
    let start = page_with(list.selected(), std::iter::repeat_n(LINES, list.shown().len()), rest.height.into());
    let mut y = rest.y;
    for (position, index) in list.shown().iter().enumerate().skip(start) {
        let Some(source) = app.source_rows().get(*index) else { continue };
        if y >= rest.bottom() {
            break;
        }
        let first = Rect { y, height: 1, ..rest };
        draw_source(canvas, first, source);
        if position == list.selected() {
            mark_selection(canvas, Pane::Sources, first);
        }
        if y + 1 < rest.bottom() {
            draw_details(canvas, Rect { y: y + 1, ..first }, source);
        }
        y += u16::try_from(LINES).unwrap_or(2);
    }
}

/// What devices are to trust, where somebody looks who wonders why a phone sends nothing.
fn trusted(trust: &Trust) -> Vec<String> {
    let what = match &trust.authority {
        Some(path) => format!("TLS: devices must trust the CA {}", path.display()),
        None => "TLS: the certificate is your own".to_owned(),
    };
    let pairs: Vec<&str> = trust.fingerprint.split(':').collect();
    let halves = pairs.chunks(16).zip(["SHA-256 ", "        "]);
    std::iter::once(what).chain(halves.map(|(pairs, name)| format!("{name}{}", pairs.join(":")))).collect()
}

/// Everything together: requests, duplicates, losses, how the upstream takes them.
fn draw_summary(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let totals = app.totals();
    let health = app.health();
    let mut strip = canvas.strip(area);
    strip.gap(1).text(&plural(totals.requests, "request"), Role::Text);
    strip.gap(2).text(&plural(totals.duplicate_payloads, "duplicate payload"), Role::Muted);
    let lost = if totals.lost > 0 { Role::Alert } else { Role::Muted };
    strip.gap(2).text(&format!("{} lost", plural(totals.lost, "event")), lost);
    if app.lost_requests() > 0 {
        strip.gap(1).text(&format!("{} lost before judging", plural(app.lost_requests(), "request")), Role::Alert);
    }
    let forward = &app.setting().forward;
    if forward.launchdarkly.is_some() {
        draw_delivery(&mut strip, "upstream", &health.upstream);
    }
    if forward.segment.is_some() {
        draw_delivery(&mut strip, "Segment", &health.segment_upstream);
    }
    if let Some(flags) = &health.flags {
        match flags.latest_ms {
            Some(latest_ms) => {
                let zone = app.zone();
                let seen =
                    format!("{} seen {}", plural(flags.flags as u64, "flag"), time_of_day(zone, latest_ms, false));
                strip.gap(2).text(&seen, Role::Text);
                strip.text(&format!(", {}", plural(flags.experiments as u64, "experiment")), Role::Muted);
            }
            None => _ = strip.gap(2).text("no flags seen yet", Role::Muted),
        }
    }
    if let Some(spool) = &health.spool {
        draw_spool(&mut strip, spool);
    }
}

/// What waits on the disk.
fn draw_spool(strip: &mut Strip<'_>, spool: &Figures) {
    let role = if spool.trouble.is_some() { Role::Bad } else { Role::Text };
    strip.gap(2).text(&format!("spool {} ({})", grouped(spool.waiting_requests), size(spool.waiting_bytes)), role);
    strip.gap(1).text(&format!("{} delivered", grouped(spool.delivered)), Role::Muted);
    let bad = [(spool.refused, "refused"), (spool.turned_away, "not kept"), (spool.damaged, "places damaged")];
    for (count, what) in bad.into_iter().filter(|(count, _)| *count > 0) {
        strip.gap(1).text(&format!("✗ {} {what}", grouped(count)), Role::Bad);
    }
}

/// How an upstream takes what is forwarded to it.
fn draw_delivery(strip: &mut Strip<'_>, name: &str, delivery: &Delivery) {
    let all = delivery.answered() + delivery.unanswered;
    if let Some(share) = (delivery.delivered() * 1_000).checked_div(all) {
        // Below 99.5 % somebody should look.
        let role = if share < 995 { Role::Bad } else { Role::Good };
        let word = if share < 995 { "✗" } else { "✓" };
        strip.gap(2).text(&format!("{word} {name} took {}.{} %", share / 10, share % 10), role);
    }
    for (status, count) in delivery.refused() {
        strip.gap(2).text(&format!("{status} ×{}", short(count)), Role::Bad);
    }
    if delivery.unanswered > 0 {
        strip.gap(2).text(&format!("{} unanswered", grouped(delivery.unanswered)), Role::Bad);
    }
}

fn draw_source(canvas: &mut Canvas<'_, '_>, area: Rect, source: &SourceRow) {
    let zone = canvas.app.zone();
    let width = usize::from(area.width);
    let mut strip = canvas.strip(area);
    strip.gap(1).cell(
        if source.sdk.is_empty() { "unnamed sender" } else { &source.sdk },
        width * 36 / 100,
        Role::Strong,
    );
    strip.cell(source.environment.as_deref().unwrap_or("no credential"), width * 22 / 100, Role::Text);
    strip
        .right(&short(source.requests), 5, Role::Text)
        .text(if source.requests == 1 { "request " } else { "requests" }, Role::Muted)
        .gap(1);
    strip
        .right(&short(source.events), 6, Role::Text)
        .text(if source.events == 1 { "event " } else { "events" }, Role::Muted);
    strip.whole(&format!("  last {}", time_of_day(zone, source.last_seen_ms, false)), Role::Muted);
}

fn draw_details(canvas: &mut Canvas<'_, '_>, area: Rect, source: &SourceRow) {
    let mut strip = canvas.strip(area);
    strip.gap(4);
    let mut part = |text: String, role| _ = strip.text(&text, role).gap(2);
    if source.undecodable > 0 {
        part(format!("✗ {} unreadable", grouped(source.undecodable)), Role::Undecodable);
    }
    if source.dropped_by_sdk > 0 {
        part(format!("⚠ the SDK dropped {}", grouped(source.dropped_by_sdk)), Role::Warning);
    }
    if source.duplicates > 0 {
        part(format!("= {} duplicate", grouped(source.duplicates)), Role::Duplicate);
    }
    for (status, count) in &source.statuses {
        let (mark, role) = if *status < 300 { ("", Role::Muted) } else { ("✗ ", Role::Bad) };
        part(format!("{mark}{status} ×{}", short(*count)), role);
    }
    if !source.schemas.is_empty() {
        part(format!("schema {}", source.schemas.join(", ")), Role::Muted);
    }
    if source.instances > 0 {
        part(plural(source.instances, "instance"), Role::Muted);
    }
    let mean = source.wire_bytes.checked_div(source.requests).unwrap_or(0);
    part(format!("{} ({} a request)", size(source.wire_bytes), size(mean)), Role::Muted);
    part(
        if source.compressed > 0 { format!("gzip {}", short(source.compressed)) } else { "no gzip".into() },
        Role::Muted,
    );
    if let Some(wrapper) = &source.wrapper {
        part(wrapper.clone(), Role::Muted);
    }
}
