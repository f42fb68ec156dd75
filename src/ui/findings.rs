//! Findings: one explained fault each, and what to change.

use super::paint::{Canvas, grouped, time_of_day};
use super::theme::Role;
use super::{frame_pane, mark_selection, nothing, page_with};
use crate::app::Pane;
use crate::reason::Severity;
use crate::report::{Confidence, Finding};
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(list) = app.listing(Pane::Findings) else { return };
    let mut remarks = Vec::new();
    if !list.filter.is_empty() {
        remarks.push((list.filter.clone(), Role::Accent));
    }
    if !list.shown().is_empty() {
        remarks.push((format!("{}, ↵ shows their events", list.shown().len()), Role::Muted));
    }
    let inside = frame_pane(canvas, Pane::Findings, area, &remarks);
    if list.shown().is_empty() {
        let words = match app.report().findings.is_empty() {
            true if app.is_empty() => "what is wrong, why, and what to change will stand here",
            true => "nothing is wrong with what has arrived so far",
            false => "no finding passes the filter",
        };
        nothing(canvas, inside, words);
        return;
    }
    let height = usize::from(inside.height);
    let item = |index: &usize| app.report().findings.get(*index);
    let width = usize::from(inside.width);
    let selected = list.selected();
    let heights = list.shown().iter().enumerate().map(|(position, index)| {
        item(index).map_or(0, |finding| lines(finding, width, position == selected).len() + 1)
    });
    let start = page_with(selected, heights, height);
    let mut y = inside.y;
    for (position, index) in list.shown().iter().enumerate().skip(start) {
        let Some(finding) = item(index) else { continue };
        if y >= inside.bottom() {
            break;
        }
        let first = Rect { y, height: 1, ..inside };
        draw_title(canvas, first, finding);
        if position == selected {
            mark_selection(canvas, Pane::Findings, first);
        }
        y += 1;
        for (text, role) in lines(finding, width, position == selected) {
            if y >= inside.bottom() {
                break;
            }
            canvas.strip(Rect { y, height: 1, ..inside }).gap(4).text(&text, role);
            y += 1;
        }
    }
}

fn draw_title(canvas: &mut Canvas<'_, '_>, area: Rect, finding: &Finding) {
    let (glyph, role) = match finding.severity {
        Severity::Error => ("✗", Role::Dropped),
        Severity::Warning => ("⚠", Role::Warning),
        Severity::Info => ("·", Role::Muted),
    };
    let zone = canvas.app.zone();
    let mut strip = canvas.strip(area);
    strip.gap(1).text(glyph, role).gap(1).right(&grouped(finding.events), 5, Role::Strong);
    strip.text(finding.code.name(), role);
    if let Some(metric) = finding.metric.as_ref().or(finding.experiment.as_ref()) {
        strip.text("  ", Role::Text).text(metric, Role::Text);
    }
    match finding.confidence {
        Confidence::Decided => (),
        Confidence::Likely => _ = strip.text("  (likely)", Role::Muted),
        Confidence::Ask => _ = strip.text("  (ask)", Role::Muted),
    }
    if let Some(source) = finding.sources.first() {
        let more = finding.sources.len() - 1;
        let others = if more > 0 { format!(" +{more}") } else { String::new() };
        strip.text(&format!("  ← {source}{others}"), Role::Muted);
    }
    if let Some(last) = finding.last {
        strip.whole(&format!("  last {}", time_of_day(zone, last, false)), Role::Muted);
    }
}

/// The lines below a finding's title. The selected one tells cause, remedy and what would fail next; of the others
/// the first line of the remedy says enough to choose.
fn lines(finding: &Finding, width: usize, selected: bool) -> Vec<(String, Role)> {
    let width = width.saturating_sub(5);
    if !selected {
        let (text, role) = match finding.fix.is_empty() {
            true => (finding.summary.clone(), Role::Muted),
            false => (format!("→ {}", finding.fix), Role::Muted),
        };
        return vec![(text, role)];
    }
    let mut lines: Vec<(String, Role)> =
        super::paint::wrap(&finding.summary, width).into_iter().map(|line| (line, Role::Text)).collect();
    if !finding.fix.is_empty() {
        let fix = format!("→ {}", finding.fix);
        lines.extend(super::paint::wrap(&fix, width).into_iter().map(|line| (line, Role::Good)));
    }
    if !finding.then.is_empty() {
        let then: Vec<&str> = finding.then.iter().map(|code| code.name()).collect();
        lines.push((format!("then {} would fail next", then.join(", ")), Role::Muted));
    }
    lines
}
