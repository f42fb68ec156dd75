//! A list whose items keep their numbers while the oldest are dropped.

use super::shared::SharedVec;

/// The newest items of a list. Items are numbered from 0 for good; those that were dropped are simply not there.
/// (After 2³² items numbers begin again, long after the items that had them are gone.) Clones share what neither
/// changes.
#[derive(Clone, Debug)]
pub struct Tail<T, const LEAF: usize> {
    first: u32,
    items: SharedVec<T, LEAF>,
}

impl<T, const LEAF: usize> Default for Tail<T, LEAF> {
    fn default() -> Self {
        Self { first: 0, items: SharedVec::default() }
    }
}

impl<T: Clone, const LEAF: usize> Tail<T, LEAF> {
    /// The number the next item will have.
    pub fn next(&self) -> u32 {
        self.first.wrapping_add(self.items.len() as u32)
    }

    /// How many items are held.
    pub fn held(&self) -> usize {
        self.items.len()
    }

    /// Adds an item.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// An item by its number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number.wrapping_sub(self.first) as usize)
    }

    /// An item by its number, to be written: [`SharedVec::get_mut`].
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number.wrapping_sub(self.first) as usize)
    }

    /// Drops the oldest item and gives it, with its number.
    pub fn drop_oldest(&mut self) -> Option<(u32, T)> {
        let item = self.items.pop_front()?;
        let number = self.first;
        self.first = number.wrapping_add(1);
        Some((number, item))
    }

    /// The items held, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// See [`SharedVec::unshared_bytes`].
    pub fn unshared_bytes(&self, earlier: &Self, elsewhere: impl Fn(&T) -> usize) -> usize {
        self.items.unshared_bytes(&earlier.items, elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_when_the_oldest_go() {
        let mut tail = Tail::<_, 2>::default();
        ["a", "b", "c"].into_iter().for_each(|item| tail.push(item));
        assert_eq!(tail.drop_oldest(), Some((0, "a")));
        assert_eq!(
            (tail.get(0), tail.get(1), tail.get(2), tail.next(), tail.held()),
            (None, Some(&"b"), Some(&"c"), 3, 2)
        );
    }
}
