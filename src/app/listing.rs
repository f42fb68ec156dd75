//! A list that can be filtered and moved through, whatever it lists.

use crate::query::Query;
use std::cell::Cell;

/// An item as a list sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What stays with it when the list changes.
    pub key: String,
    /// What a filter is matched with: fields of the filter language, any other name for plain text.
    pub fields: Vec<(&'static str, String)>,
}

/// Which items of a list are shown, and which one is selected. The selection follows its item when the list is
/// put in another order under it.
#[derive(Debug, Default)]
pub struct Listing {
    /// The filter as it was typed; empty: none.
    pub filter: String,
    query: Option<Query>,
    shown: Vec<usize>,
    keys: Vec<String>,
    selected: usize,
    /// The user chose the selected item. Until then the first one is selected, whatever it is.
    chosen: bool,
}

impl Listing {
    /// Takes a filter.
    pub fn set_filter(&mut self, text: String, query: Option<Query>) {
        self.filter = text;
        self.query = query;
    }

    /// What is filtered by; none: everything is shown.
    pub fn query(&self) -> Option<&Query> {
        self.query.as_ref()
    }

    /// Looks at the list again.
    pub fn refresh(&mut self, items: impl Iterator<Item = Item>) {
        let selected_key = self.keys.get(self.selected).filter(|_| self.chosen).cloned();
        self.shown.clear();
        self.keys.clear();
        for (index, item) in items.enumerate() {
            let passes = self.query.as_ref().is_none_or(|query| {
                let fields: Vec<(&str, &str)> =
                    item.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                query.matches_text(&fields)
            });
            if passes {
                self.shown.push(index);
                self.keys.push(item.key);
            }
        }
        let moved = selected_key.and_then(|key| self.keys.iter().position(|other| *other == key));
        self.selected = moved.unwrap_or(self.selected).min(self.shown.len().saturating_sub(1));
    }

    /// Indexes of the items shown, in order.
    pub fn shown(&self) -> &[usize] {
        &self.shown
    }

    /// Position of the selected item among those shown.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// Index of the selected item; none in an empty list.
    pub fn selected_index(&self) -> Option<usize> {
        self.shown.get(self.selected).copied()
    }

    /// Moves the selection by so many items, and stops at the ends.
    pub fn step(&mut self, items: isize) {
        self.chosen = true;
        self.selected = self.selected.saturating_add_signed(items).min(self.shown.len().saturating_sub(1));
    }

    /// Selects the first item, and whatever becomes the first.
    pub fn first(&mut self) {
        self.chosen = false;
        self.selected = 0;
    }

    /// Selects the last item.
    pub fn last(&mut self) {
        self.chosen = true;
        self.selected = self.shown.len().saturating_sub(1);
    }
}

/// How far a text is scrolled. Only drawing knows how many lines the text wraps to, so drawing leaves the limit
/// here; without it, scrolling past the end would have to be undone key by key.
#[derive(Debug, Default)]
pub struct Scroll {
    offset: usize,
    limit: Cell<usize>,
}

impl Scroll {
    /// Moves by so many lines.
    pub fn step(&mut self, lines: isize) {
        self.offset = self.offset.min(self.limit.get()).saturating_add_signed(lines).min(self.limit.get());
    }

    /// To the start.
    pub fn first(&mut self) {
        self.offset = 0;
    }

    /// To the end.
    pub fn last(&mut self) {
        self.offset = self.limit.get();
    }

    /// The first line to draw of `lines`, where `height` fit.
    pub fn place(&self, lines: usize, height: usize) -> usize {
        self.limit.set(lines.saturating_sub(height));
        self.offset.min(self.limit.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items<'a>(keys: &'a [&str]) -> impl Iterator<Item = Item> + 'a {
        keys.iter().map(|key| Item { key: (*key).to_owned(), fields: vec![("key", (*key).to_owned())] })
    }

    #[test]
    fn the_selection_stays_on_its_item_when_the_order_changes() {
        let mut listing = Listing::default();
        listing.refresh(items(&["a", "b", "c"]));
        listing.step(1);
        listing.refresh(items(&["c", "a", "b"]));
        assert_eq!(listing.selected_index(), Some(2));
        listing.refresh(items(&["c"]));
        assert_eq!(listing.selected_index(), Some(0));
        listing.refresh(items(&[]));
        assert_eq!(listing.selected_index(), None);
    }

    #[test]
    fn until_something_is_chosen_the_top_of_the_list_stays_selected() {
        let mut listing = Listing::default();
        listing.refresh(items(&["a", "b"]));
        listing.refresh(items(&["worse", "a", "b"]));
        assert_eq!(listing.selected_index(), Some(0));
        listing.step(1);
        listing.refresh(items(&["worst", "worse", "a", "b"]));
        assert_eq!(listing.selected_index(), Some(2));
    }

    #[test]
    fn scrolling_past_the_end_is_undone_by_one_step_back() {
        let mut scroll = Scroll::default();
        assert_eq!(scroll.place(30, 10), 0);
        scroll.step(100);
        assert_eq!(scroll.place(30, 10), 20);
        scroll.step(-1);
        assert_eq!(scroll.place(30, 10), 19);
    }
}
