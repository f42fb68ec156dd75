//! A list that is plain, or whose clones share what neither changes.
//!
//! [`SharedVec`] makes clones cheap and everything else a little dearer: its items lie in many small pieces, each a
//! step away, where a plain list is one piece. Reading a file to its end takes no clone and does not pay for them.

use super::shared::SharedVec;
use std::collections::VecDeque;

/// A list that grows at the end and can be dropped from the front.
#[derive(Clone, Debug)]
pub(crate) enum List<T, const LEAF: usize> {
    /// In one piece. A clone copies everything.
    Plain(VecDeque<T>),
    /// In pieces. A clone copies next to nothing.
    Shared(SharedVec<T, LEAF>),
}

impl<T, const LEAF: usize> List<T, LEAF> {
    /// An empty list.
    pub(crate) fn new(shares_clones: bool) -> Self {
        if shares_clones { Self::Shared(SharedVec::default()) } else { Self::Plain(VecDeque::new()) }
    }

    /// An empty list of the same sort.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(matches!(self, Self::Shared(_)))
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(items) => items.len(),
            Self::Shared(items) => items.len(),
        }
    }

    /// An item.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self {
            Self::Plain(items) => items.get(index),
            Self::Shared(items) => items.get(index),
        }
    }

    /// The items, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (plain, shared) = match self {
            Self::Plain(items) => (Some(items), None),
            Self::Shared(items) => (None, Some(items)),
        };
        plain.into_iter().flatten().chain(shared.into_iter().flat_map(SharedVec::iter))
    }

    /// See [`SharedVec::unshared_bytes`]. A plain list shares nothing.
    pub(super) fn unshared_bytes(&self, earlier: &Self, elsewhere: impl Fn(&T) -> usize) -> usize {
        match (self, earlier) {
            (Self::Shared(items), Self::Shared(earlier)) => items.unshared_bytes(earlier, elsewhere),
            (Self::Shared(items), Self::Plain(_)) => items.unshared_bytes(&SharedVec::default(), elsewhere),
            (Self::Plain(items), _) => size_of::<T>() * items.len() + items.iter().map(elsewhere).sum::<usize>(),
        }
    }
}

impl<T: Clone, const LEAF: usize> List<T, LEAF> {
    /// An item, to be written: see [`SharedVec::get_mut`].
    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self {
            Self::Plain(items) => items.get_mut(index),
            Self::Shared(items) => items.get_mut(index),
        }
    }

    /// Adds an item at the end.
    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        match self {
            Self::Plain(items) => items.push_back(item),
            Self::Shared(items) => items.push(item),
        }
    }

    /// Adds items at the end until there are so many.
    pub(super) fn grow(&mut self, len: usize, item: &T) {
        match self {
            Self::Plain(items) => items.resize(len.max(items.len()), item.clone()),
            Self::Shared(items) => items.grow(len, item),
        }
    }

    /// Takes the first item.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::Plain(items) => items.pop_front(),
            Self::Shared(items) => items.pop_front(),
        }
    }

    /// Drops the first item, if there is one.
    pub(crate) fn drop_front(&mut self) {
        match self {
            Self::Plain(items) => drop(items.pop_front()),
            Self::Shared(items) => items.drop_front(),
        }
    }
}
