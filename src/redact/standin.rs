//! Stand-ins: what is written in the place of a value.
//!
//! A stand-in is a keyed hash of the value (HMAC-SHA256) and of nothing else: not of where the value stands, nor of
//! what it means there. So equal values have equal stand-ins wherever they are, and all that compares values for
//! equality comes out as before. Whoever has not the key can neither turn one round nor try out guesses.

use crate::envelope::Credential;
use crate::near_miss;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;

/// The key of one run. It is thrown away after the run, so that nothing can be matched against another one.
pub type Key = [u8; 32];

/// Made up for a value: four pronounceable words, as in `lusab-babad-gutih-tugad`, 64 bits.
const WORDS: usize = 4;
const CONSONANTS: [u8; 16] = *b"bdfghjklmnprstvz";
const VOWELS: [u8; 4] = *b"aiou";

/// Makes stand-ins.
#[derive(Clone)]
pub struct StandIns(Hmac<Sha256>);

impl std::fmt::Debug for StandIns {
    /// The key is nobody's business.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("StandIns")
    }
}

impl StandIns {
    /// Stand-ins under a key.
    pub fn new(key: &Key) -> Self {
        // HMAC fills a key that is shorter than its block with zeros; written out, nothing can fail.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block = *key);
        Self(<Hmac<Sha256> as KeyInit>::new(&block.into()))
    }

    fn digest(&self, domain: &str, text: &str) -> [u8; 8] {
        let mut mac = self.0.clone();
        mac.update(domain.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().first_chunk::<8>().copied().unwrap_or_default()
    }

    /// The stand-in of a value.
    ///
    /// Attribution compares keys byte for byte; findings also look for keys that differ by case, or by white space at
    /// the ends, and for what programs print for "nothing". All three survive, by construction:
    ///
    /// * what looks like a placeholder says nothing of anybody and stays;
    /// * white space at the ends stays as it is, and the words are made from the value without it, in lower case: two
    ///   values are equal but for case and space exactly where their stand-ins are;
    /// * where the value has capitals, so has the stand-in: twenty of them or none, by the hash of the exact spelling.
    ///
    /// A replacement character stays one, because bytes that are not text all read as the same.
    pub fn of<'a>(&self, value: &'a str) -> Cow<'a, str> {
        if near_miss::is_placeholder_key(value) {
            return Cow::Borrowed(value);
        }
        let trimmed = value.trim();
        let before = value.len() - value.trim_start().len();
        let (lead, trail) =
            (value.get(..before).unwrap_or_default(), value.get(before + trimmed.len()..).unwrap_or_default());
        let folded = trimmed.to_lowercase();
        let mut words = words(self.digest("value", &folded));
        if folded != trimmed {
            capitalise(&mut words, self.digest("spelling", trimmed));
        }
        let damage = if value.contains(char::REPLACEMENT_CHARACTER) { "\u{fffd}" } else { "" };
        Cow::Owned(format!("{lead}{words}{damage}{trail}"))
    }

    /// The stand-in of a masked credential, of the same form and of the same kind of key.
    pub fn credential(&self, credential: &Credential) -> Credential {
        let masked = credential.as_str();
        let kind = ["sdk-", "mob-", "api-"].into_iter().find(|kind| masked.starts_with(kind)).unwrap_or_default();
        let [a, b, c, d, ..] = self.digest("credential", masked);
        Credential::masked(&format!("{kind}…{a:02x}{b:02x}#{c:02x}{d:02x}"))
    }

    /// Digits for digits, as many: what a pattern may ask of a part of an address.
    pub(super) fn digits(&self, digits: &str) -> String {
        let mut number = self.number(digits);
        let mut digit = || {
            // Of a number of any length the last digits repeat; they need not tell it from others.
            number = number.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            char::from(b'0' + (number >> 32) as u8 % 10)
        };
        digits.chars().map(|_| digit()).collect()
    }

    /// A number for a text, to tell it from others by.
    pub(super) fn number(&self, text: &str) -> u64 {
        u64::from_be_bytes(self.digest("number", text))
    }
}

/// Sixteen bits are a word: consonant, vowel, consonant, vowel, consonant.
fn words(bits: [u8; 8]) -> String {
    let letter = |alphabet: &[u8], bits: u32| {
        char::from(alphabet.get(bits as usize % alphabet.len()).copied().unwrap_or_default())
    };
    let mut text = String::with_capacity(WORDS * 6);
    for pair in bits.chunks_exact(2) {
        let bits = pair.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        if !text.is_empty() {
            text.push('-');
        }
        text.push(letter(&CONSONANTS, bits >> 12));
        text.push(letter(&VOWELS, (bits >> 10) & 3));
        text.push(letter(&CONSONANTS, (bits >> 6) & 15));
        text.push(letter(&VOWELS, (bits >> 4) & 3));
        text.push(letter(&CONSONANTS, bits & 15));
    }
    text
}

/// Makes some of the letters capitals, one at least.
fn capitalise(words: &mut String, bits: [u8; 8]) {
    let letters = WORDS * 5;
    let bits = u64::from_be_bytes(bits) % (1 << letters);
    let mut bits = bits.max(1);
    *words = words
        .chars()
        .map(|letter| {
            if !letter.is_ascii_lowercase() {
                return letter;
            }
            let capital = bits & 1 == 1;
            bits >>= 1;
            if capital { letter.to_ascii_uppercase() } else { letter }
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::near_miss::units_differ_by;
    use proptest::prelude::*;

    fn stand_ins() -> StandIns {
        StandIns::new(&[7; 32])
    }

    #[test]
    fn a_stand_in_is_four_words_and_another_key_makes_others() {
        let made = stand_ins().of("ann@shop.example").into_owned();
        assert_eq!(made.len(), 23);
        assert!(made.split('-').all(|word| word.len() == 5), "{made}");
        assert_ne!(made, StandIns::new(&[8; 32]).of("ann@shop.example"));
    }

    #[test]
    fn placeholders_stay_and_damage_stays_damage() {
        for kept in ["null", "Anonymous ", "undefined", "", "  ", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(stand_ins().of(kept), kept);
        }
        assert!(stand_ins().of("a\u{fffd}").ends_with('\u{fffd}'));
    }

    #[test]
    fn a_credential_keeps_its_form_and_kind() {
        let made = stand_ins().credential(&Credential::mask("sdk-11111111-2222-3333-4444-55555555aaaa"));
        assert!(made.as_str().starts_with("sdk-…") && !made.as_str().contains("aaaa"), "{made}");
        assert_eq!(made.as_str().chars().count(), "sdk-…aaaa#0000".chars().count());
    }

    /// Values that are often equal, often look alike, and are sometimes anything.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => ("[ \t\u{3000}]{0,2}", "[aAbB]{1,3}", "[ \t]{0,2}").prop_map(|(a, b, c)| a + &b + &c),
            1 => "[ΣσςİIıiß ]{0,4}",
            1 => "null|NULL| null",
            1 => "\\PC{0,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn stand_ins_are_equal_or_alike_exactly_where_the_values_are(one in value(), other in value()) {
            let stand_ins = stand_ins();
            let (a, b) = (stand_ins.of(&one), stand_ins.of(&other));
            prop_assert_eq!(a == b, one == other, "{:?} {:?}", a, b);
            prop_assert_eq!(units_differ_by(&a, &b), units_differ_by(&one, &other), "{:?} {:?}", a, b);
            let folded = |text: &str| text.trim().to_lowercase();
            prop_assert_eq!(folded(&a) == folded(&b), folded(&one) == folded(&other));
            prop_assert_eq!(near_miss::is_placeholder_key(&a), near_miss::is_placeholder_key(&one));
        }
    }
}
