//! A list whose items keep their numbers while the oldest are dropped.

use super::list::List;

/// The newest items of a list. Items are numbered from 0 for good; those that were dropped are simply not there.
/// (After 2³² items numbers begin again, long after the items that had them are gone.)
#[derive(Clone, Debug)]
pub(super) struct Tail<T, const LEAF: usize> {
    first: u32,
    items: List<T, LEAF>,
}

impl<T: Clone, const LEAF: usize> Tail<T, LEAF> {
    /// An empty list.
    pub(super) fn new(shares_clones: bool) -> Self {
        Self { first: 0, items: List::new(shares_clones) }
    }

    /// The number the next item will have.
    pub(super) fn next(&self) -> u32 {
        self.first.wrapping_add(self.items.len() as u32)
    }

    /// How many items are held.
    pub(super) fn held(&self) -> usize {
        self.items.len()
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// An item by its number.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number.wrapping_sub(self.first) as usize)
    }

    /// An item by its number, to be written: [`super::shared::SharedVec::get_mut`].
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number.wrapping_sub(self.first) as usize)
    }

    /// Drops the oldest item and gives it, with its number.
    pub(super) fn drop_oldest(&mut self) -> Option<(u32, T)> {
        let item = self.items.pop_front()?;
        let number = self.first;
        self.first = number.wrapping_add(1);
        Some((number, item))
    }

    /// The items held, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// See [`super::state::State::unshared_bytes`].
    pub(super) fn unshared_bytes(&self, earlier: &Self, elsewhere: impl Fn(&T) -> usize) -> usize {
        self.items.unshared_bytes(&earlier.items, elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_when_the_oldest_go() {
        for shares_clones in [false, true] {
            let mut tail = Tail::<_, 2>::new(shares_clones);
            ["a", "b", "c"].into_iter().for_each(|item| tail.push(item));
            assert_eq!(tail.drop_oldest(), Some((0, "a")));
            assert_eq!(
                (tail.get(0), tail.get(1), tail.get(2), tail.next(), tail.held()),
                (None, Some(&"b"), Some(&"c"), 3, 2)
            );
            assert!(tail.iter().eq(&["b", "c"]));
        }
    }

    #[test]
    fn numbers_begin_again_after_the_last() {
        let mut tail = Tail::<_, 2> { first: u32::MAX, items: List::new(true) };
        ["a", "b"].into_iter().for_each(|item| tail.push(item));
        assert_eq!((tail.get(u32::MAX), tail.get(0), tail.get(1), tail.next()), (Some(&"a"), Some(&"b"), None, 1));
        assert_eq!(tail.drop_oldest(), Some((u32::MAX, "a")));
        assert_eq!((tail.get(u32::MAX), tail.get(0)), (None, Some(&"b")));
    }
}
