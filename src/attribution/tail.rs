//! A list whose items keep their numbers while the oldest are dropped.

use std::collections::VecDeque;

/// The newest items of a list. Items are numbered from 0 for good; those that were dropped are simply not there.
#[derive(Clone, Debug)]
pub struct Tail<T> {
    first: u32,
    items: VecDeque<T>,
}

impl<T> Default for Tail<T> {
    fn default() -> Self {
        Self { first: 0, items: VecDeque::new() }
    }
}

impl<T> Tail<T> {
    /// The number the next item will have.
    pub fn next(&self) -> u32 {
        self.first + self.items.len() as u32
    }

    /// How many items are held.
    pub fn held(&self) -> usize {
        self.items.len()
    }

    /// Adds an item.
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    /// An item by its number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number.checked_sub(self.first)? as usize)
    }

    /// An item by its number.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number.checked_sub(self.first)? as usize)
    }

    /// Drops the oldest item and gives it, with its number.
    pub fn drop_oldest(&mut self) -> Option<(u32, T)> {
        let item = self.items.pop_front()?;
        self.first += 1;
        Some((self.first - 1, item))
    }

    /// The items held, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_when_the_oldest_go() {
        let mut tail = Tail::default();
        ["a", "b", "c"].into_iter().for_each(|item| tail.push(item));
        assert_eq!(tail.drop_oldest(), Some((0, "a")));
        assert_eq!(
            (tail.get(0), tail.get(1), tail.get(2), tail.next(), tail.held()),
            (None, Some(&"b"), Some(&"c"), 3, 2)
        );
    }
}
