//! Addresses: of the pages that were visited, and of the requests themselves.

use super::list::{List, Sort};
use super::plan::{Addresses, Plan};
use super::standin::StandIns;
use crate::attribution::url::CompiledMatcher;
use crate::event::body::Route;
use std::borrow::Cow;

/// What parts an address. A matcher cuts off query and fragment and forgives one slash; all of these stay.
const DELIMITERS: [char; 6] = ['/', '?', '#', '&', '=', ':'];
const SCHEMES: [&str; 5] = ["http", "https", "file", "app", "capacitor"];

/// Words of the paths SDKs send to.
const PATH_WORDS: [&str; 24] = [
    "events",
    "bulk",
    "diagnostic",
    "mobile",
    "a",
    "sdk",
    "msdk",
    "goals",
    "all",
    "flags",
    "eval",
    "meval",
    "evalx",
    "ping",
    "mping",
    "contexts",
    "context",
    "users",
    "user",
    "poll",
    "stream",
    "latest-all",
    "v1",
    "v2",
];

/// Replaces every part of an address.
///
/// The marks between the parts stay, and equal parts have equal stand-ins. So an address, or what comes before its
/// query or fragment, is equal to a matcher's (or to it and a slash) exactly where it was before, provided that the
/// matcher is replaced alike.
fn by_parts<'a>(address: &'a str, mut replace: impl FnMut(&'a str) -> Cow<'a, str>) -> String {
    let mut replaced = String::with_capacity(address.len());
    for piece in address.split_inclusive(DELIMITERS) {
        let part = piece.strip_suffix(DELIMITERS).unwrap_or(piece);
        let is_scheme = replaced.is_empty() && SCHEMES.contains(&part);
        replaced.push_str(&if is_scheme { Cow::Borrowed(part) } else { replace(part) });
        replaced.push_str(piece.get(part.len()..).unwrap_or_default());
    }
    replaced
}

/// The address of a page.
pub(super) fn page<'a>(stand_ins: &StandIns, plan: &Plan, list: &mut List, address: &'a str) -> Cow<'a, str> {
    match &plan.addresses {
        Addresses::Kept => {
            list.kept("page addresses: asked for");
            Cow::Borrowed(address)
        }
        Addresses::ByParts => Cow::Owned(by_parts(address, |part| {
            let stand_in = stand_ins.of(part);
            if stand_in != part {
                list.replaced(Sort::Address);
            }
            stand_in
        })),
        Addresses::ByTrial(matchers) => by_trial(stand_ins, matchers, list, address),
    }
}

/// Which matchers match; none for those that cannot be run.
fn answers(matchers: &[(CompiledMatcher, String)], address: &str) -> Vec<Option<bool>> {
    matchers.iter().map(|(matcher, _)| matcher.matches(address).ok()).collect()
}

/// No rewriting is right for every pattern, so it is tried: the address with the least left in it on which each
/// matcher answers as it does on the whole.
fn by_trial<'a>(
    stand_ins: &StandIns,
    matchers: &[(CompiledMatcher, String)],
    list: &mut List,
    address: &'a str,
) -> Cow<'a, str> {
    let wanted = answers(matchers, address);
    let (path, rest) = address.split_at(address.find(['?', '#']).unwrap_or(address.len()));
    // One letter stands in every pattern.
    let is_named = |part: &str| part.len() > 1 && matchers.iter().any(|(_, text)| text.contains(part));
    let named = |part: &'a str| if is_named(part) { Cow::Borrowed(part) } else { stand_ins.of(part) };
    let digits = |part: &'a str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !part.is_empty() && !is_named(part) => Cow::Owned(stand_ins.digits(part)),
        _ => named(part),
    };
    // A matcher may name the beginning of a part only.
    let words: Vec<&str> = matchers
        .iter()
        .flat_map(|(_, text)| text.split(|letter: char| !letter.is_alphanumeric()))
        .filter(|word| word.len() > 2)
        .collect();
    let related = |part: &'a str| match words.iter().any(|word| part.contains(word)) {
        true => Cow::Borrowed(part),
        false => digits(part),
    };
    const NAMED: &str = "page addresses: parts that stand in a metric's URL";
    let candidates: [(&str, &dyn Fn() -> String); 5] = [
        ("", &|| by_parts(address, |part| stand_ins.of(part))),
        (NAMED, &|| by_parts(address, named)),
        (NAMED, &|| by_parts(address, digits)),
        ("page addresses: parts that hold a word of a metric's URL", &|| by_parts(address, related)),
        ("page addresses up to their query: a metric's URL is compared with them", &|| {
            format!("{path}{}", by_parts(rest, |part| stand_ins.of(part)))
        }),
    ];
    for (why, candidate) in candidates {
        let candidate = candidate();
        if answers(matchers, &candidate) == wanted {
            if !why.is_empty() {
                list.kept(why);
            }
            if candidate != address {
                list.replaced(Sort::Address);
            }
            return Cow::Owned(candidate);
        }
    }
    list.kept("whole page addresses: a metric's URL is compared with all of them");
    Cow::Borrowed(address)
}

/// A client-side id, the same in a path and in the catalog.
pub(super) fn client_side_id<'a>(stand_ins: &StandIns, list: &mut List, id: &'a str) -> Cow<'a, str> {
    if PATH_WORDS.contains(&id) {
        return Cow::Borrowed(id);
    }
    let stand_in = stand_ins.of(id);
    if stand_in != id {
        list.replaced(Sort::ClientSideId);
    }
    stand_in
}

/// The path of a request with its query; what a GIF request carries in it is given in its new form.
pub(super) fn request(stand_ins: &StandIns, list: &mut List, path: &str, gif: Option<&str>) -> String {
    let route = Route::of(path);
    let (segments, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let file = route.client_side_id.zip(route.gif_data).map(|(id, _)| format!("{id}.gif"));
    let is_id = |segment: &str| Some(segment) == file.as_deref().or(route.client_side_id);
    // A door of Segment's is its last words.
    let door = segments.rsplit('/').find(|segment| !segment.is_empty()).filter(|_| route.door.is_some());
    let is_door = |segment: &str| door.is_some_and(|door| segment == door || segment == "v1");
    let mut replaced: Vec<String> = Vec::new();
    for segment in segments.split('/') {
        replaced.push(match (&file, route.client_side_id) {
            _ if PATH_WORDS.contains(&segment) || is_door(segment) => segment.to_owned(),
            (Some(_), Some(id)) if is_id(segment) => format!("{}.gif", client_side_id(stand_ins, list, id)),
            (None, Some(id)) if is_id(segment) => client_side_id(stand_ins, list, id).into_owned(),
            _ => counted(stand_ins, list, Sort::Path, segment).into_owned(),
        });
    }
    let mut replaced = replaced.join("/");
    let Some(query) = query else { return replaced };
    let mut gif = gif;
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match (parameter.strip_prefix("d="), gif) {
            (Some(_), Some(data)) => {
                gif = None;
                format!("d={data}")
            }
            _ => by_parts(parameter, |part| counted(stand_ins, list, Sort::Path, part)),
        })
        .collect();
    replaced.push('?');
    replaced.push_str(&parameters.join("&"));
    replaced
}

pub(super) fn counted<'a>(stand_ins: &StandIns, list: &mut List, sort: Sort, text: &'a str) -> Cow<'a, str> {
    let stand_in = stand_ins.of(text);
    if stand_in != text {
        list.replaced(sort);
    }
    stand_in
}
