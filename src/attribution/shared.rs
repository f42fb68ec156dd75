//! A list whose clones share what neither of them has changed since.
//!
//! A checkpoint of a state of millions of units must cost what changed since the one before it, not the whole. So
//! items live in leaves of a few, leaves in nodes of [`FAN`], and both are counted references that are copied when,
//! and only when, something in them is written that a clone shares. A clone copies one reference for every
//! `LEAF × FAN` items. Two levels and not one, because leaves must be small (a write copies one whole) and references
//! to all of them would be too many to copy for every clone; two and not a tree of any depth, because every event
//! reads here several times.

use arrayvec::ArrayVec;
use std::fmt;
// Not the standard library's: without weak references, to find that nothing is shared takes a plain read, where
// `std::sync::Arc::make_mut` locks the memory bus, for every event.
use triomphe::Arc;

/// Leaves in a node.
const FAN: usize = 32;

type Leaf<T, const LEAF: usize> = ArrayVec<T, LEAF>;
type Node<T, const LEAF: usize> = ArrayVec<Arc<Leaf<T, LEAF>>, FAN>;

/// A list that grows at the end and can be dropped from the front. `LEAF` is how many items are copied when one of
/// them is written that a clone shares: few where writes fall anywhere, as those to units do, for then nearly every
/// one of them copies a leaf; more where they fall together.
pub(crate) struct SharedVec<T, const LEAF: usize> {
    nodes: Vec<Arc<Node<T, LEAF>>>,
    /// Nodes that were dropped from the front, to know which nodes of two clones are the same.
    released: usize,
    /// Items of the first node that were dropped.
    dropped: usize,
    len: usize,
}

impl<T, const LEAF: usize> SharedVec<T, LEAF> {
    const NODE: usize = {
        assert!(LEAF.is_power_of_two(), "places are found by shifting");
        LEAF * FAN
    };

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// An item.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let at = self.dropped.checked_add(index)?;
        self.nodes.get(at / Self::NODE)?.get(at / LEAF % FAN)?.get(at % LEAF)
    }

    /// The items, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut nodes = self.nodes.iter();
        let mut leaves = nodes.next().and_then(|node| node.get(self.dropped / LEAF..)).unwrap_or_default().iter();
        let mut items = leaves.next().and_then(|leaf| leaf.get(self.dropped % LEAF..)).unwrap_or_default().iter();
        // By hand, because nested iterators are twice as slow here.
        std::iter::from_fn(move || {
            loop {
                if let Some(item) = items.next() {
                    return Some(item);
                }
                match leaves.next() {
                    Some(leaf) => items = leaf.iter(),
                    None => leaves = nodes.next()?.iter(),
                }
            }
        })
    }

    /// Bytes that this list holds and an earlier clone of it does not share. An estimate: what items hold elsewhere
    /// is as `elsewhere` says, and what the allocator adds is left out.
    pub(super) fn unshared_bytes(&self, earlier: &Self, elsewhere: impl Fn(&T) -> usize) -> usize {
        let spine = self.nodes.len() * size_of::<Arc<Node<T, LEAF>>>();
        let nodes = self.nodes.iter().enumerate().map(|(index, node)| {
            // Dropping from the front takes whole nodes, so the same items are in nodes of the same number.
            let before = (index + self.released).checked_sub(earlier.released);
            let before = before.and_then(|index| earlier.nodes.get(index));
            if before.is_some_and(|before| Arc::ptr_eq(before, node)) {
                return 0;
            }
            let leaves = node.iter().enumerate().map(|(index, leaf)| {
                let before = before.and_then(|before| before.get(index));
                if before.is_some_and(|before| Arc::ptr_eq(before, leaf)) {
                    return 0;
                }
                size_of::<Leaf<T, LEAF>>() + leaf.iter().map(&elsewhere).sum::<usize>()
            });
            size_of::<Node<T, LEAF>>() + leaves.sum::<usize>()
        });
        spine + nodes.sum::<usize>()
    }
}

impl<T: Clone, const LEAF: usize> SharedVec<T, LEAF> {
    /// An item, to be written: what a clone shares of it is copied first. To look, and perhaps not write,
    /// [`SharedVec::get`] it before.
    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let at = self.dropped + index;
        let node = Arc::make_mut(self.nodes.get_mut(at / Self::NODE)?);
        Arc::make_mut(node.get_mut(at / LEAF % FAN)?).get_mut(at % LEAF)
    }

    /// Adds an item at the end.
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        let at = self.dropped + self.len;
        if at.is_multiple_of(Self::NODE) {
            self.nodes.push(Arc::new(Node::new()));
        }
        let Some(node) = self.nodes.last_mut() else { return };
        let node = Arc::make_mut(node);
        if at.is_multiple_of(LEAF) {
            node.push(Arc::new(Leaf::new()));
        }
        let Some(leaf) = node.last_mut() else { return };
        Arc::make_mut(leaf).push(item);
        self.len += 1;
    }

    /// Adds items at the end until there are so many.
    pub(super) fn grow(&mut self, len: usize, item: &T) {
        while self.len < len {
            self.push(item.clone());
        }
    }

    /// Takes the first item. The memory of it and its neighbours is given back once all of them are gone.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let item = self.get(0)?.clone();
        self.drop_front();
        Some(item)
    }

    /// Drops the first item, if there is one: [`SharedVec::pop_front`] for who does not need it.
    pub(super) fn drop_front(&mut self) {
        if self.len == 0 {
            return;
        }
        self.dropped += 1;
        self.len -= 1;
        if self.dropped == Self::NODE {
            self.nodes.remove(0);
            self.released += 1;
            self.dropped = 0;
        }
    }
}

impl<T, const LEAF: usize> Default for SharedVec<T, LEAF> {
    fn default() -> Self {
        Self { nodes: Vec::new(), released: 0, dropped: 0, len: 0 }
    }
}

impl<T, const LEAF: usize> Clone for SharedVec<T, LEAF> {
    fn clone(&self) -> Self {
        Self { nodes: self.nodes.clone(), ..*self }
    }
}

impl<T: fmt::Debug, const LEAF: usize> fmt::Debug for SharedVec<T, LEAF> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    type Small = SharedVec<Box<u32>, 2>;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u32, u8),
        Write(prop::sample::Index, u32),
        PopFront(u8),
        Clone,
        /// Goes on with the clone taken so many clones ago, and keeps the list it had in its place.
        Exchange(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<u32>(), 1..100_u8).prop_map(|(item, times)| Step::Push(item, times)),
            6 => (any::<prop::sample::Index>(), any::<u32>()).prop_map(|(at, item)| Step::Write(at, item)),
            3 => (1..90_u8).prop_map(Step::PopFront),
            3 => Just(Step::Clone),
            2 => any::<prop::sample::Index>().prop_map(Step::Exchange),
        ];
        proptest::collection::vec(step, 0..60)
    }

    fn assert_same(shared: &Small, plain: &VecDeque<u32>) {
        assert_eq!(shared.len(), plain.len());
        assert!(shared.iter().map(|item| **item).eq(plain.iter().copied()));
        for index in [0, 1, plain.len() / 2, plain.len().saturating_sub(1), plain.len(), plain.len() + 200, usize::MAX]
        {
            assert_eq!(shared.get(index).map(|item| **item), plain.get(index).copied(), "at {index}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn it_is_a_plain_list_and_no_clone_sees_what_another_writes(steps in steps()) {
            let (mut shared, mut plain) = (Small::default(), VecDeque::new());
            let mut clones: Vec<(Small, VecDeque<u32>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(item, times) => (0..u32::from(times)).for_each(|n| {
                        shared.push(Box::new(item.wrapping_add(n)));
                        plain.push_back(item.wrapping_add(n));
                    }),
                    Step::Write(at, item) => {
                        let at = at.index(plain.len() + 1);
                        let (there, here) = (shared.get_mut(at), plain.get_mut(at));
                        assert_eq!(there.is_some(), here.is_some());
                        if let (Some(there), Some(here)) = (there, here) {
                            **there = item;
                            *here = item;
                        }
                    }
                    Step::PopFront(times) => (0..times).for_each(|_| {
                        assert_eq!(shared.pop_front().map(|item| *item), plain.pop_front());
                    }),
                    Step::Clone => clones.push((shared.clone(), plain.clone())),
                    Step::Exchange(which) => {
                        if !clones.is_empty() {
                            let at = which.index(clones.len());
                            let (other, model) = clones.get_mut(at).unwrap();
                            std::mem::swap(&mut shared, other);
                            std::mem::swap(&mut plain, model);
                        }
                    }
                }
            }
            assert_same(&shared, &plain);
            for (clone, model) in &clones {
                assert_same(clone, model);
            }
        }
    }

    #[test]
    fn a_clone_costs_what_is_written_after_it() {
        let mut list = SharedVec::<u64, 16>::default();
        list.grow(10 * 16 * FAN, &7);
        let spine = 10 * size_of::<usize>();
        let (leaf, node) = (size_of::<Leaf<u64, 16>>(), size_of::<Node<u64, 16>>());
        let none = |_: &u64| 0;
        let clone = list.clone();
        assert_eq!(list.unshared_bytes(&clone, none), spine);
        *list.get_mut(0).unwrap() = 8;
        *list.get_mut(1).unwrap() = 8;
        assert_eq!(list.unshared_bytes(&clone, none), spine + node + leaf, "neighbours are copied together, once");
        *list.get_mut(16).unwrap() = 8;
        assert_eq!(list.unshared_bytes(&clone, none), spine + node + 2 * leaf);
        *list.get_mut(16 * FAN).unwrap() = 8;
        assert_eq!(list.unshared_bytes(&clone, none), spine + 2 * node + 3 * leaf);
        let whole = 10 * (node + FAN * (leaf + 16 * 3));
        assert_eq!(list.unshared_bytes(&SharedVec::default(), |_| 3), spine + whole);
        assert_eq!(clone.get(0), Some(&7));
    }

    #[test]
    fn dropping_from_the_front_copies_nothing_and_gives_memory_back() {
        let mut list = SharedVec::<u64, 16>::default();
        list.grow(3 * 16 * FAN, &7);
        let clone = list.clone();
        for _ in 0..2 * 16 * FAN {
            assert_eq!(list.pop_front(), Some(7));
        }
        assert_eq!((list.len(), clone.len()), (16 * FAN, 3 * 16 * FAN));
        assert_eq!(list.unshared_bytes(&clone, |_| 0), size_of::<usize>(), "what is left is still shared");
        // Nor does a list that dropped less than the earlier one take its nodes for others.
        assert_eq!(
            clone.unshared_bytes(&list, |_| 0),
            3 * size_of::<usize>() + 2 * (size_of::<Node<u64, 16>>() + FAN * size_of::<Leaf<u64, 16>>())
        );
    }
}
