//! Near misses: what a name that fits nothing was probably meant to be.
//!
//! LaunchDarkly compares keys byte for byte. Most keys that fit nothing are one habit away from one that would:
//! another case, a stray space, another separator, the metric's key for its event key, a typing error.

use crate::catalog::{Metric, MetricKind};
use crate::report::NearMiss;

/// Most edits between two names that are still called near.
const MAX_EDITS: usize = 2;

/// What people mistake for one another, or leave out, between the words of a name.
const SEPARATORS: [char; 4] = ['-', '_', '.', ' '];

/// The metric that was probably meant by the key of a custom event no metric uses (rule M3). The kinds of near miss
/// are tried in this order, each over all metrics, and each folds away what the ones before it do:
///
/// * `case`: equal in lower case;
/// * `space`: equal once white space at both ends is gone, too;
/// * `separator`: equal once `-`, `_`, `.` and spaces are gone, too;
/// * `metric-key`: the key of a metric instead of its event key, byte for byte;
/// * `edit-distance`: trimmed and in lower case, at most two edits apart (insert, delete, replace, or swap two
///   neighbours), the nearest first. In keys of up to four characters at most one edit per three characters, because
///   two edits would turn any of them into any other.
///
/// Lower case is Unicode's, as Rust's standard library has it. Where two metrics fit alike, the first in the catalog
/// is named.
pub fn near_miss(event_key: &str, metrics: &[Metric]) -> Option<NearMiss> {
    let custom = || metrics.iter().filter(|metric| metric.kind == MetricKind::Custom);
    let candidates = || custom().filter_map(|metric| Some((metric, metric.event_key.as_deref()?)));
    let named = |(metric, event_key): (&Metric, &str), how| NearMiss {
        metric: metric.key.clone(),
        event_key: event_key.to_owned(),
        how,
    };
    type Fold = fn(&str) -> String;
    let folds: [(&'static str, Fold); 3] = [("case", lower), ("space", trimmed), ("separator", bare)];
    for (how, fold) in folds {
        let folded = fold(event_key);
        // A key of nothing but separators would be equal to every other such key.
        if folded.is_empty() {
            continue;
        }
        if let Some(found) = candidates().find(|(_, candidate)| fold(candidate) == folded) {
            return Some(named(found, how));
        }
    }
    if let Some(found) = candidates().find(|(metric, _)| metric.key == event_key) {
        return Some(named(found, "metric-key"));
    }
    let folded = trimmed(event_key);
    let distance = |candidate: &str| edits(&folded, &trimmed(candidate));
    let (_, found) =
        candidates().filter_map(|found| Some((distance(found.1)?, found))).min_by_key(|(edits, _)| *edits)?;
    Some(named(found, "edit-distance"))
}

/// How two context keys that are not equal would be: but for `case`, or but for `space` at their ends (and case).
/// None where they are equal, or differ by more.
pub fn units_differ_by(one: &str, other: &str) -> Option<&'static str> {
    if one == other {
        None
    } else if lower(one) == lower(other) {
        Some("case")
    } else if trimmed(one) == trimmed(other) {
        Some("space")
    } else {
        None
    }
}

/// Whether two names are one but for case, separators and white space at the ends.
pub fn is_spelled_like(one: &str, other: &str) -> bool {
    let one = bare(one);
    !one.is_empty() && one == bare(other)
}

/// Whether an event's name says that a page was viewed: `Page Viewed`, `viewed_page`, `Viewed Home Page`.
pub fn is_page_view(name: &str) -> bool {
    let name = bare(name);
    name == "page" || (name.contains("page") && name.contains("view"))
}

/// Whether a context key is what a program prints for "nothing" rather than anybody's key (failure F56): every event
/// that carries it lands on one unit. Case and white space at the ends do not save it.
pub fn is_placeholder_key(key: &str) -> bool {
    const WORDS: [&str; 5] = ["undefined", "null", "nan", "[object object]", "anonymous"];
    const UUID_CHARACTERS: usize = 36;
    let key = key.trim();
    let zero_uuid = || {
        key.len() == UUID_CHARACTERS
            && key
                .bytes()
                .enumerate()
                .all(|(index, byte)| byte == if matches!(index, 8 | 13 | 18 | 23) { b'-' } else { b'0' })
    };
    key.is_empty() || WORDS.iter().any(|word| key.eq_ignore_ascii_case(word)) || zero_uuid()
}

/// The name among `names` that was probably meant by `wrong`: equal but for case and separators, or within two
/// edits of it. None where nothing is near.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = bare(wrong);
    let near = names.into_iter().filter_map(|name| Some((edits(&wrong, &bare(name))?, name)));
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

fn lower(name: &str) -> String {
    name.to_lowercase()
}

fn trimmed(name: &str) -> String {
    lower(name.trim())
}

/// A name without case and separators.
fn bare(name: &str) -> String {
    let mut name = trimmed(name);
    name.retain(|character| !SEPARATORS.contains(&character));
    name
}

/// How many edits lie between two names; none where they are too many.
fn edits(one: &str, other: &str) -> Option<usize> {
    let (one_length, other_length) = (one.chars().count(), other.chars().count());
    // Keys come from events and may be huge; the lengths alone rule those out before the table is laid out.
    if one_length.abs_diff(other_length) > MAX_EDITS {
        return None;
    }
    let shorter = one_length.min(other_length);
    let most = if shorter > 4 { MAX_EDITS } else { shorter / 3 };
    Some(strsim::osa_distance(one, other)).filter(|edits| *edits <= most)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn metrics(pairs: &[(&str, &str)]) -> Vec<Metric> {
        pairs.iter().map(|(key, event_key)| Metric::custom(key, event_key)).collect()
    }

    /// The metric named for an event key, and how it differs.
    fn miss(event_key: &str, pairs: &[(&str, &str)]) -> Option<(String, &'static str)> {
        near_miss(event_key, &metrics(pairs)).map(|near| (near.metric, near.how))
    }

    fn how(event_key: &str, candidate: &str) -> Option<&'static str> {
        miss(event_key, &[("m", candidate)]).map(|(_, how)| how)
    }

    #[test]
    fn a_key_is_near_by_the_first_way_that_fits() {
        assert_eq!(how("Checkout", "checkout"), Some("case"));
        assert_eq!(how("checkout ", "checkout"), Some("space"));
        assert_eq!(how("\tCHECKOUT", "checkout"), Some("space"), "space takes case along");
        assert_eq!(how("Add_To.Cart ", "add-to-cart"), Some("separator"));
        assert_eq!(how("addtocart", "add to cart"), Some("separator"));
        assert_eq!(how("chekout", "checkout"), Some("edit-distance"));
        assert_eq!(how("hceckuot", "checkout"), Some("edit-distance"), "two swaps are two edits");
        assert_eq!(how("Chekcout", "checkout"), Some("edit-distance"));
        assert_eq!(how("purchase", "checkout"), None);
        assert_eq!(how("check", "checkout"), None, "three edits");
        assert_eq!(how("ÉTAPE", "étape"), Some("case"), "case is Unicode's");
    }

    #[test]
    fn a_metrics_key_is_recognised_before_a_typing_error_is_suspected() {
        let pairs = [("other", "checkout-conversiom"), ("checkout-conversion", "checkout")];
        assert_eq!(miss("checkout-conversion", &pairs), Some(("checkout-conversion".to_owned(), "metric-key")));
        let near = near_miss("checkout-conversion", &metrics(&pairs)).unwrap();
        assert_eq!(near.event_key, "checkout");
    }

    #[test]
    fn a_better_way_beats_an_earlier_metric_and_the_fewest_edits_win() {
        let pairs = [("typing", "checkouts"), ("case", "CHECKOUT")];
        assert_eq!(miss("checkout", &pairs), Some(("case".to_owned(), "case")));
        let pairs = [("two", "checkoutab"), ("one", "checkouta"), ("one-too", "checkoutb")];
        assert_eq!(miss("checkout", &pairs), Some(("one".to_owned(), "edit-distance")));
    }

    #[test]
    fn short_keys_are_not_rewritten_into_one_another() {
        assert_eq!(how("ab", "cd"), None);
        assert_eq!(how("a", "b"), None);
        assert_eq!(how("buy", "bug"), Some("edit-distance"));
        assert_eq!(how("view", "vote"), None, "two edits of four characters");
        assert_eq!(how("views", "viwse"), Some("edit-distance"));
        assert_eq!(how("", "a"), None);
        assert_eq!(how("--", "_"), None, "nothing is left of either");
    }

    #[test]
    fn only_custom_metrics_have_event_keys_to_miss() {
        let mut click = Metric::custom("click", "checkout");
        click.kind = MetricKind::Click;
        assert_eq!(near_miss("Checkout", &[click]), None);
        assert_eq!(near_miss("Checkout", &[]), None);
    }

    #[test]
    fn a_huge_key_is_ruled_out_by_its_length() {
        assert_eq!(how(&"x".repeat(5_000_000), "checkout"), None);
    }

    #[test]
    fn context_keys_look_alike_by_case_or_by_space() {
        assert_eq!(units_differ_by("User-1", "user-1"), Some("case"));
        assert_eq!(units_differ_by("user-1 ", "user-1"), Some("space"));
        assert_eq!(units_differ_by(" USER-1", "user-1"), Some("space"));
        assert_eq!(units_differ_by("user-1", "user-1"), None);
        assert_eq!(units_differ_by("user-1", "user_1"), None, "other keys, not other spellings");
    }

    #[test]
    fn placeholders_are_told_from_keys() {
        let placeholders = [
            "undefined",
            "null",
            "NaN",
            "[object Object]",
            "anonymous",
            "",
            "  ",
            "NULL",
            " null\n",
            "00000000-0000-0000-0000-000000000000",
        ];
        for key in placeholders {
            assert!(is_placeholder_key(key), "{key:?}");
        }
        for key in [
            "0",
            "u-1",
            "nullable",
            "anonymous-7",
            "00000000-0000-0000-0000-000000000001",
            "0-000000000000000000000000000000000",
        ] {
            assert!(!is_placeholder_key(key), "{key:?}");
        }
    }

    #[test]
    fn a_mistyped_word_leads_to_the_nearest_known_one() {
        let words = ["event_key", "selector", "id"];
        assert_eq!(nearest("eventKey", words), Some("event_key"));
        assert_eq!(nearest("evnt_key", words), Some("event_key"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("ix", words), None);
    }
}
