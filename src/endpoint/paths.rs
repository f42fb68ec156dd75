//! Which requests are event traffic.
//!
//! SDKs keep whatever prefix their events URI has, people put `/bulk` into that URI, and proxies double slashes.
//! An SDK that is answered 404 stops sending for the life of its process, so everything that is even half a known
//! path counts as one, and a hint says what is odd about it.

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Events or diagnostics of server, edge and browser SDKs.
    Events,
    /// Events or diagnostics of mobile SDKs.
    MobileEvents,
    /// Events in the query of an image address, as old browser SDKs send them.
    Gif,
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
        match segments.as_slice() {
            ["all" | "flags" | "sdk" | "msdk" | "eval" | "meval" | "ping" | "mping", ..] => Self::FlagData,
            _ => Self::Unknown,
        }
    }

    /// Whether a request to such a path carries events.
    pub fn is_events(self) -> bool {
        matches!(self, Self::Events | Self::MobileEvents | Self::Gif)
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
            "an SDK asks for flag data here: point only its events URI at exptap, and leave its base and stream URIs alone",
        ),
        PathKind::Unknown => Some("this is not a path SDKs send events to"),
        PathKind::Gif | PathKind::Goals | PathKind::Home => None,
    }
}

#[cfg(test)]
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
