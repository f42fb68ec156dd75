//! Near misses: what a name that fits nothing was probably meant to be.

/// The name among `names` that was probably meant by `wrong`: equal but for case and separators, or within two
/// edits. None where nothing is near.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = bare(wrong);
    let distance = |name: &&'a str| edits(&wrong, &bare(name));
    names
        .into_iter()
        .filter_map(|name| Some((distance(&name)?, name)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// A name without case and separators.
fn bare(name: &str) -> String {
    name.chars().filter(|character| !SEPARATORS.contains(character)).flat_map(char::to_lowercase).collect()
}

/// What people mistake for one another, or leave out, between the words of a name.
const SEPARATORS: [char; 4] = ['-', '_', '.', ' '];

/// Most edits between two names that are still called near.
const MAX_EDITS: usize = 2;

/// How many edits (insert, delete, replace, or swap two neighbours) lie between two names; none where they are too
/// many. In names of up to four characters an edit weighs more: one per three characters is the most, so that a
/// name of two is never another.
fn edits(one: &str, other: &str) -> Option<usize> {
    let (one_length, other_length) = (one.chars().count(), other.chars().count());
    // Keys come from events and may be huge; the lengths alone rule those out before the table is laid out.
    if one_length.abs_diff(other_length) > MAX_EDITS {
        return None;
    }
    let shorter = one_length.min(other_length);
    let most = if shorter > 4 { MAX_EDITS } else { (shorter / 3).min(MAX_EDITS) };
    Some(strsim::osa_distance(one, other)).filter(|edits| *edits <= most)
}
