//! The last line: the keys that work here, or a remark.

use super::paint::{Canvas, columns};
use super::theme::Role;
use crate::app::keymap;
use ratatui::layout::Rect;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    if let Some(notice) = app.notice() {
        let role = if notice.bad { Role::Bad } else { Role::Good };
        canvas.strip(area).text(if notice.bad { " ✗ " } else { " ✓ " }, role).text(&notice.text, role);
        return;
    }
    let hints: Vec<(String, &str)> = keymap::active(app.scopes())
        .filter(|binding| !binding.footer.is_empty())
        .filter_map(|binding| Some((binding.keys.first()?.label(), binding.footer)))
        .collect();
    // Help and quit are what a lost user looks for: they keep their place, the others fill what is left.
    let essential = |footer: &str| matches!(footer, "help" | "quit" | "back");
    let width_of = |(key, footer): &(String, &str)| columns(key) + columns(footer) + 3;
    let reserved: usize = hints.iter().filter(|hint| essential(hint.1)).map(width_of).sum();
    let mut left = usize::from(area.width).saturating_sub(reserved);
    let mut strip = canvas.strip(area);
    strip.gap(1);
    for hint in &hints {
        if !essential(hint.1) {
            match left.checked_sub(width_of(hint)) {
                Some(rest) => left = rest,
                None => continue,
            }
        }
        strip.text(&hint.0, Role::Accent).gap(1).text(hint.1, Role::Muted).gap(2);
    }
}
