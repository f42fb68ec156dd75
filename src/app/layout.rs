//! Where things are on a screen of a given size. Drawing and moving (how long is a page?) share it.

use super::action::Pane;
use ratatui::layout::{Constraint, Layout, Rect};

/// Below this the screen says how much room it needs.
pub const SMALLEST: (u16, u16) = (60, 15);
/// From here on four panes stand side by side.
pub const OVERVIEW: (u16, u16) = (118, 24);
/// From this height on, the header has a second line with every counter's word.
const TWO_LINE_HEADER_ROWS: u16 = 30;

/// The parts of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Address, rate, counters.
    pub header: Rect,
    /// Names of the panes, where only one is shown.
    pub tabs: Option<Rect>,
    /// Everything between header and footer, tabs left out.
    pub body: Rect,
    /// The panes shown, each with its border.
    pub panes: Vec<(Pane, Rect)>,
    /// What stays on screen until something is done about it. Where there is no row to spare, it lies over the keys.
    pub banner: Option<Rect>,
    /// Keys.
    pub footer: Rect,
}

/// Divides a screen; none where it is too small.
pub fn divide(screen: Rect, focus: Pane, zoomed: bool, has_banner: bool) -> Option<Parts> {
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        return None;
    }
    let banner_rows = u16::from(has_banner && screen.height > SMALLEST.1);
    let overview = screen.width >= OVERVIEW.0 && screen.height >= OVERVIEW.1 && !zoomed && focus != Pane::Sources;
    let header_rows = if screen.height >= TWO_LINE_HEADER_ROWS { 2 } else { 1 };
    let [header, tabs, body, banner, footer] = Layout::vertical([
        Constraint::Length(header_rows),
        Constraint::Length(u16::from(!overview)),
        Constraint::Fill(1),
        Constraint::Length(banner_rows),
        Constraint::Length(1),
    ])
    .areas(screen);
    let banner = has_banner.then_some(if banner_rows > 0 { banner } else { footer });
    let panes = if overview {
        let [left, right] = Layout::horizontal([Constraint::Percentage(57), Constraint::Fill(1)]).areas(body);
        let [live, contexts] = Layout::vertical([Constraint::Percentage(62), Constraint::Fill(1)]).areas(left);
        let [experiments, findings] = Layout::vertical([Constraint::Percentage(50), Constraint::Fill(1)]).areas(right);
        vec![
            (Pane::Live, live),
            (Pane::Contexts, contexts),
            (Pane::Experiments, experiments),
            (Pane::Findings, findings),
        ]
    } else {
        vec![(focus, body)]
    };
    Some(Parts { header, tabs: (!overview).then_some(tabs), body, panes, banner, footer })
}

/// The rows inside a pane's border, and below a heading where it has one.
pub fn rows_inside(pane: Pane, area: Rect) -> usize {
    let heading = match pane {
        Pane::Live | Pane::Experiments | Pane::Findings => 0,
        Pane::Contexts | Pane::Sources => 1,
    };
    usize::from(area.height.saturating_sub(2 + heading))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn four_panes_from_120_columns_one_below_and_none_when_too_small() {
        let panes = |width, height, zoomed| {
            divide(Rect::new(0, 0, width, height), Pane::Live, zoomed, false).map_or(0, |parts| parts.panes.len())
        };
        assert_eq!(panes(200, 60, false), 4);
        assert_eq!(panes(120, 40, false), 4);
        assert_eq!(panes(120, 40, true), 1);
        assert_eq!(panes(80, 24, false), 1);
        assert_eq!(panes(60, 15, false), 1);
        assert_eq!(panes(59, 15, false), 0);
        assert_eq!(panes(1, 1, false), 0);
    }

    #[test]
    fn a_banner_has_a_row_of_its_own_unless_none_can_be_spared() {
        let parts = |height| divide(Rect::new(0, 0, 80, height), Pane::Live, false, true).unwrap();
        assert_eq!((parts(24).banner, parts(24).footer.y), (Some(Rect::new(0, 22, 80, 1)), 23));
        assert_eq!(parts(24).body.bottom(), 22);
        assert_eq!(parts(15).banner, Some(parts(15).footer));
    }
}
