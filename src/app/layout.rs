//! Where things are on a screen of a given size. Drawing and moving (how long is a page?) share it.

use super::action::Pane;
use ratatui::layout::{Constraint, Layout, Rect};

/// Below this the screen says how much room it needs.
pub const SMALLEST: (u16, u16) = (60, 15);
/// From here on four panes stand side by side.
pub const OVERVIEW: (u16, u16) = (118, 24);
/// From this height on, the header has a second line with every counter's word.
const TWO_LINE_HEADER_ROWS: u16 = 30;

/// From here on the bar of a recording has a line of words above its cells.
const TWO_LINE_BAR: (u16, u16) = (100, 30);
/// On one line: columns of the words before the cells, and of the figures behind them.
const BAR_STATE: u16 = 16;
const BAR_FIGURES: u16 = 31;

/// The parts of the bar of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What it does, and how fast.
    pub state: Rect,
    /// Time, from left to right.
    pub cells: Rect,
    /// Where it stands.
    pub figures: Rect,
}

/// Divides the bar. A key moves by its cells, so their number depends on the size of the screen and on nothing else.
pub fn divide_bar(bar: Rect) -> Bar {
    if bar.height >= 2 {
        let words = Rect { height: 1, ..bar };
        let [state, figures] = Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(words);
        let cells = Rect { x: bar.x + 1, y: bar.y + 1, width: bar.width.saturating_sub(2), height: 1 };
        return Bar { state, cells: cells.intersection(bar), figures };
    }
    let [state, cells, figures] =
        Layout::horizontal([Constraint::Length(BAR_STATE), Constraint::Fill(1), Constraint::Length(BAR_FIGURES)])
            .areas(bar);
    Bar { state, cells, figures }
}

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
    /// The bar of the recording that is played.
    pub bar: Option<Rect>,
    /// What stays on screen until something is done about it. Where there is no row to spare, it lies over the keys.
    pub banner: Option<Rect>,
    /// Keys.
    pub footer: Rect,
}

/// Divides a screen; none where it is too small.
pub fn divide(screen: Rect, focus: Pane, zoomed: bool, replaying: bool, has_banner: bool) -> Option<Parts> {
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        return None;
    }
    let banner_rows = u16::from(has_banner && screen.height > SMALLEST.1);
    let overview = screen.width >= OVERVIEW.0 && screen.height >= OVERVIEW.1 && !zoomed && focus != Pane::Sources;
    let header_rows = if screen.height >= TWO_LINE_HEADER_ROWS { 2 } else { 1 };
    let bar_rows = match replaying {
        false => 0,
        true if screen.width >= TWO_LINE_BAR.0 && screen.height >= TWO_LINE_BAR.1 => 2,
        true => 1,
    };
    let [header, tabs, body, bar, banner, footer] = Layout::vertical([
        Constraint::Length(header_rows),
        Constraint::Length(u16::from(!overview)),
        Constraint::Fill(1),
        Constraint::Length(bar_rows),
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
    let bar = replaying.then_some(bar);
    Some(Parts { header, tabs: (!overview).then_some(tabs), body, panes, bar, banner, footer })
}

/// The rows inside a pane's border, and below a heading where it has one.
pub fn rows_inside(pane: Pane, area: Rect) -> usize {
    let heading = match pane {
        Pane::Live | Pane::Experiments | Pane::Findings => 0,
        Pane::Sources => 1,
        // Below its list it says how many contexts there are of each sort.
        Pane::Contexts => 2,
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
            divide(Rect::new(0, 0, width, height), Pane::Live, zoomed, false, false)
                .map_or(0, |parts| parts.panes.len())
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
    fn a_replay_has_a_bar_of_one_line_or_two_above_the_footer() {
        for (width, height, rows, cells) in
            [(60, 15, 1, 13), (80, 24, 1, 33), (120, 29, 1, 73), (120, 40, 2, 118), (200, 60, 2, 198)]
        {
            let parts = divide(Rect::new(0, 0, width, height), Pane::Live, false, true, false).unwrap();
            let bar = parts.bar.unwrap();
            assert_eq!((bar.height, bar.bottom()), (rows, parts.footer.y));
            assert_eq!(divide_bar(bar).cells.width, cells, "{width}x{height}");
            let body: u16 =
                parts.body.height + parts.header.height + rows + 1 + parts.tabs.map_or(0, |tabs| tabs.height);
            assert_eq!(body, height);
        }
    }

    #[test]
    fn a_banner_has_a_row_of_its_own_unless_none_can_be_spared() {
        let parts = |height| divide(Rect::new(0, 0, 80, height), Pane::Live, false, false, true).unwrap();
        assert_eq!((parts(24).banner, parts(24).footer.y), (Some(Rect::new(0, 22, 80, 1)), 23));
        assert_eq!(parts(24).body.bottom(), 22);
        assert_eq!(parts(15).banner, Some(parts(15).footer));
    }
}
