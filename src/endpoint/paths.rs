//! Which requests are event traffic.
//!
//! SDKs keep whatever prefix their events URI has, people put `/bulk` into that URI, and proxies double slashes.
//! An SDK that is answered 404 stops sending for the life of its process, so everything that is even half a known
//! path counts as one, and a hint says what is odd about it. Segment's doors come after LaunchDarkly's event paths, and
//! are recognised elsewhere ([`Door`]).

use crate::segment::door::{Call, Door};

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Events or diagnostics of server, edge and browser SDKs.
    Events,
    /// Events or diagnostics of mobile SDKs.
    MobileEvents,
    /// Events in the query of an image address, as old browser SDKs send them.
    Gif,
    /// One of Segment's doors.
    Segment(Door),
    /// The click and page view goals a browser SDK asks for. Not events.
    Goals,
    /// The page that says what this is.
    Home,
    /// Flag data, which exptap does not serve: a base or stream URI points here.
    FlagData,
    /// None of these.
    Unknown,
}

impl PathKind {
    /// Recognises a path, given without its query.
    pub fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let [.., last] = segments.as_slice() else { return Self::Home };
        if let [.., "a", _] = segments.as_slice()
            && last.len() > ".gif".len()
            && last.ends_with(".gif")
        {
            return Self::Gif;
        }
        if segments.contains(&"mobile") {
            return Self::MobileEvents;
        }
        if segments.iter().any(|segment| matches!(*segment, "bulk" | "diagnostic")) {
            return Self::Events;
        }
        if let [.., "sdk", "goals", _] = segments.as_slice() {
            return Self::Goals;
        }
        if let Some(door) = Door::of(path) {
            return Self::Segment(door);
        }
        match segments.as_slice() {
            ["all" | "flags" | "sdk" | "msdk" | "eval" | "meval" | "ping" | "mping", ..] => Self::FlagData,
            _ => Self::Unknown,
        }
    }

    /// Whether a request to such a path carries events.
    pub fn is_events(self) -> bool {
        match self {
            Self::Events | Self::MobileEvents | Self::Gif => true,
            Self::Segment(door) => door.has_events(),
            Self::Goals | Self::Home | Self::FlagData | Self::Unknown => false,
        }
    }
}

/// What is odd about a path, as a sentence with the remedy; `None` for the paths SDKs use, with any prefix.
pub fn hint(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match PathKind::of(path) {
        PathKind::Events | PathKind::MobileEvents => match segments.as_slice() {
            [.., "bulk" | "mobile", "bulk" | "diagnostic" | "mobile"]
            | [.., "bulk" | "mobile", "mobile", "events"]
            | [.., "bulk" | "mobile", "mobile", "events", "bulk" | "diagnostic"]
            | [.., "bulk", _, "events", "bulk" | "diagnostic", _] => Some(
                "the events URI of this SDK probably ends in an event path such as /bulk: leave that off, the SDK adds it",
            ),
            [.., "bulk" | "diagnostic"] | [.., "mobile"] | [.., "mobile", "events"] => None,
            [.., "events", "bulk" | "diagnostic", _] => None,
            _ => Some("this is only half of an event path: it is answered like one, but no SDK is known to send it"),
        },
        PathKind::FlagData => Some(
            "an SDK asks for flag data here: point only its events URI at exptap, and leave its base and stream URIs alone, or \
             have such requests passed on with --forward-flags",
        ),
        PathKind::Segment(_) => {
            let is_doubled = segments.iter().filter(|segment| **segment == "v1").count() > 1;
            is_doubled.then_some(
                "the host given to this Segment library probably ends in /v1 or an API path: leave that off, server \
                 libraries add it",
            )
        }
        PathKind::Unknown if is_without_version(&segments) => Some(
            "this is a path of Segment's without its /v1: the apiHost of analytics.js ends in /v1, and so does a path \
             that is written by hand",
        ),
        PathKind::Unknown => Some("this is not a path SDKs send events to"),
        PathKind::Gif | PathKind::Goals | PathKind::Home => None,
    }
}

/// Whether a path would be one of the Tracking API's behind `/v1`.
fn is_without_version(segments: &[&str]) -> bool {
    match segments {
        [.., "projects", _, "settings"] => true,
        // A letter is what analytics.js sends, and alone it is not much to go by.
        [.., last] => {
            let named = Call::from_name(last).is_some() || matches!(*last, "batch" | "import");
            named || segments.len() == 1 && matches!(Door::of(&format!("/v1/{last}")), Some(door) if door.has_events())
        }
        [] => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_event_path_is_recognised_under_any_prefix_and_with_doubled_slashes() {
        let paths = [
            ("/bulk", PathKind::Events),
            ("/diagnostic", PathKind::Events),
            ("/mobile", PathKind::MobileEvents),
            ("/mobile/events", PathKind::MobileEvents),
            ("/mobile/events/bulk", PathKind::MobileEvents),
            ("/mobile/events/diagnostic", PathKind::MobileEvents),
            ("/events/bulk/64b0c0ffee", PathKind::Events),
            ("/events/diagnostic/64b0c0ffee", PathKind::Events),
            ("/a/64b0c0ffee.gif", PathKind::Gif),
            ("/events/bulk/64b0c0ffee/a/64b0c0ffee.gif", PathKind::Gif),
        ];
        for (path, kind) in paths {
            for prefix in ["", "/proxy", "/a/b/c", "/sdk", "/api-gateway/launchdarkly", "/"] {
                let path = format!("{prefix}{path}");
                assert_eq!(PathKind::of(&path), kind, "{path}");
                assert_eq!(hint(&path), None, "{path}");
                let doubled = path.replace('/', "//");
                assert_eq!(PathKind::of(&doubled), kind, "{doubled}");
            }
        }
    }

    #[test]
    fn half_recognised_paths_are_event_paths_with_a_hint() {
        for path in [
            "/bulk/bulk",
            "/bulk/diagnostic",
            "/mobile/mobile",
            "/bulk/mobile",
            "/mobile/mobile/events/bulk",
            "/events/bulk/64b0c0ffee/events/bulk/64b0c0ffee",
            "/events/bulk/64b0c0ffee/extra",
            "/bulk/64b0c0ffee",
        ] {
            assert!(PathKind::of(path).is_events(), "{path}");
            assert!(hint(path).is_some(), "{path}");
        }
    }

    #[test]
    fn segment_s_doors_are_told_apart_and_an_event_path_of_launchdarkly_comes_first() {
        let track = PathKind::Segment(Door::Call(Call::Track));
        for path in ["/v1/track", "/v1/t", "/a/b/v1/track", "//v1//track", "/sdk/v1/track", "/all/v1/track"] {
            assert_eq!((PathKind::of(path), hint(path)), (track, None), "{path}");
        }
        assert_eq!(PathKind::of("/v1/batch"), PathKind::Segment(Door::Batch));
        assert_eq!(PathKind::of("/v1/projects/k/settings"), PathKind::Segment(Door::Settings));
        assert_eq!(PathKind::of("/any/webhook"), PathKind::Segment(Door::Webhook));
        assert!(PathKind::of("/segment").is_events() && !PathKind::of("/v1/m").is_events());
        assert_eq!(PathKind::of("/bulk/v1/track"), PathKind::Events);
        assert_eq!(PathKind::of("/mobile/webhook"), PathKind::MobileEvents);
        assert_eq!(PathKind::of("/v1/track/a/64b0c0ffee.gif"), PathKind::Gif);
    }

    #[test]
    fn paths_of_segment_s_that_went_wrong_have_a_hint_that_says_what_to_change() {
        for path in ["/v1/v1/track", "/v1/batch/v1/batch", "/x/v1/v1/projects/k/settings"] {
            assert!(hint(path).unwrap().contains("leave that off"), "{path}");
        }
        for path in ["/track", "/x/identify", "/batch", "/t", "/b", "/projects/k/settings", "/import"] {
            assert!(hint(path).unwrap().contains("without its /v1"), "{path}");
        }
        for path in ["/m", "/x/t", "/tracks", "/hook"] {
            assert!(hint(path).unwrap().contains("not a path SDKs send events to"), "{path}");
        }
        for path in ["/v1/track", "/webhook", "/v1/m", "/v1/projects/k/settings"] {
            assert_eq!(hint(path), None, "{path}");
        }
    }

    #[test]
    fn other_paths_are_told_apart() {
        assert_eq!(PathKind::of("/"), PathKind::Home);
        assert_eq!(PathKind::of("//"), PathKind::Home);
        assert_eq!(PathKind::of("/sdk/goals/64b0c0ffee"), PathKind::Goals);
        assert_eq!(PathKind::of("/sdk/latest-all"), PathKind::FlagData);
        assert_eq!(PathKind::of("/all"), PathKind::FlagData);
        assert_eq!(PathKind::of("/favicon.ico"), PathKind::Unknown);
        assert_eq!(PathKind::of("/a/.gif"), PathKind::Unknown);
        assert_eq!(PathKind::of("/images/cat.gif"), PathKind::Unknown);
        assert_eq!(PathKind::of("/bulky"), PathKind::Unknown);
    }
}
