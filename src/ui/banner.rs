//! What stays on screen until something is done about it: a recording that stopped, or was moved away.

use super::paint::{Canvas, columns, grouped, time_of_day};
use super::theme::Role;
use crate::app::Banner;
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let time = |at_ms| time_of_day(app.zone(), at_ms, false);
    let (role, variants) = match app.banner() {
        None => return,
        Some(Banner::Stopped { since_ms, why, not_kept }) => {
            let (time, not_kept) = (time(since_ms), grouped(not_kept));
            let variants = [
                format!(" ✗ recording stopped {time}: {why}; {not_kept} requests not kept; r tries again "),
                format!(" ✗ REC stopped {time}: {why}; {not_kept} not kept; r tries again "),
                // The key and the count are what can be acted on; why it stopped is cut where it must be.
                format!(" ✗ REC stopped, {not_kept} not kept, r tries again: {why} "),
            ];
            (Role::Alert, variants)
        }
        Some(Banner::Moved { name, at_ms, was_removed }) => {
            let (time, what) = (time(at_ms), if was_removed { "removed" } else { "moved away" });
            let variants = [
                format!(" ! the recording {name} was {what} at {time}; a new one was begun in its place (r: seen) "),
                format!(" ! {name} was {what} {time}; a new one was begun (r: seen) "),
                format!(" ! recording {what} {time}, new one begun (r: seen): {name} "),
            ];
            (Role::Warning, variants)
        }
    };
    let fits = |text: &&String| columns(text) <= usize::from(area.width);
    let [.., shortest] = &variants;
    let text = variants.iter().find(fits).unwrap_or(shortest);
    canvas.paint(area, role);
    canvas.strip(area).text(text, role);
}
