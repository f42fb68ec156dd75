//! A set of reason codes in the order of the rules.

use crate::reason::{REASONS, ReasonCode};

/// A set of reason codes. It iterates in the order of the table, which is the order the rules are judged in, so the
/// first of a set of failures is the verdict and the others are what would fail next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeSet(u128);

const _: () = assert!(REASONS.len() <= 128);

impl CodeSet {
    /// Adds a code.
    pub fn insert(&mut self, code: ReasonCode) {
        self.0 |= 1 << (code as u8);
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this one.
    pub fn contains(self, code: ReasonCode) -> bool {
        self.0 >> (code as u8) & 1 == 1
    }

    /// The codes, in the order of the rules.
    pub fn iter(self) -> impl Iterator<Item = ReasonCode> {
        REASONS.iter().map(|reason| reason.code).filter(move |code| self.contains(*code))
    }

    /// The first code in the order of the rules.
    pub fn first(self) -> Option<ReasonCode> {
        REASONS.get(self.0.trailing_zeros() as usize).map(|reason| reason.code)
    }
}

impl Extend<ReasonCode> for CodeSet {
    fn extend<T: IntoIterator<Item = ReasonCode>>(&mut self, codes: T) {
        codes.into_iter().for_each(|code| self.insert(code));
    }
}

impl FromIterator<ReasonCode> for CodeSet {
    fn from_iter<T: IntoIterator<Item = ReasonCode>>(codes: T) -> Self {
        let mut set = Self::default();
        set.extend(codes);
        set
    }
}
