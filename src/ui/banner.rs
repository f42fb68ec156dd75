//! What stays on screen until something is done about it: a recording that stopped, or was moved away; SDKs that send no
//! more; requests that wait.

use super::paint::{Canvas, columns, grouped, harmless, plural, time_of_day};
use super::theme::Role;
use crate::app::Banner;
use crate::silenced::Silenced;
use crate::spool::Refusal;
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
        Some(Banner::Silenced { silenced, others }) => {
            let Silenced { status, who, at_ms } = silenced;
            let (time, who) = (time(*at_ms), harmless(who));
            let more = if others > 0 { format!(", and {} more", grouped(others)) } else { String::new() };
            let variants = [
                format!(
                    " ✗ the upstream answered {status} at {time}: {who} has stopped sending until it is restarted{more} (r: seen) "
                ),
                format!(" ✗ {status}: {who} stopped sending until restarted{more} (r: seen) "),
                format!(" ✗ {status}, stopped sending{more} (r: seen): {who} "),
            ];
            (Role::Alert, variants)
        }
        Some(Banner::Refused { refusal, requests }) => {
            let Refusal { status, who, .. } = refusal;
            let (who, what) = (harmless(who), plural(requests, "request"));
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            let variants = [
                format!(
                    " ✗ the upstream refused {what} from the spool, the latest with {status}: {who}; put aside (r: seen) "
                ),
                format!(" ✗ upstream refused {what} ({status}): {who}; put aside (r: seen) "),
                format!(" ✗ {what} refused with {status}, put aside (r: seen): {who} "),
            ];
            (Role::Alert, variants)
        }
        Some(Banner::Waiting { requests, age_ms, why }) => {
            let (why, what, age) = (harmless(why), plural(requests, "request"), age(age_ms));
            let verb = if requests == 1 { "waits" } else { "wait" };
            let variants = [
                format!(" ! {what} {verb} in the spool, oldest {age}: {why} "),
                format!(" ! {what} {verb}, oldest {age}: {why} "),
                format!(" ! {} {verb}, {age}: {why} ", grouped(requests)),
            ];
            (Role::Warning, variants)
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

/// How long ago, in the largest unit it has one of.
fn age(age_ms: i64) -> String {
    match age_ms / 1000 {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
