//! The doors Segment's libraries and webhooks knock at: what a path says about the body that comes with it.

/// A call of Segment's Tracking API, which is what an event's `type` says too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Somebody did something.
    Track,
    /// Who somebody is.
    Identify,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Somebody belongs to a group.
    Group,
    /// Two ids are one person.
    Alias,
    /// A person asked to be forgotten; it comes by webhook only.
    Delete,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 7] =
        [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias, Self::Delete];

    /// Its name: an event's `type`, and the end of its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
            Self::Delete => "delete",
        }
    }

    /// The call with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == name)
    }

    /// The call analytics.js means by a letter.
    fn from_letter(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().filter(|call| *call != Self::Delete).find(|call| call.name().get(..1) == Some(letter))
    }
}

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// One event: `/v1/track`, or `/v1/t` as analytics.js spells it.
    Call(Call),
    /// Several: `/v1/batch`, `/v1/b`, `/v1/import`.
    Batch,
    /// A library's figures about itself, which are no events: `/v1/m`.
    Metrics,
    /// What analytics.js asks for before it sends anything: `/v1/projects/{write key}/settings`.
    Settings,
    /// What Segment's webhook destinations post: `/webhook`, `/segment`, with anything before it.
    Webhook,
}

impl Door {
    /// Recognises a path, with or without its query, under any prefix and with doubled slashes; none: it is not
    /// Segment's.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.split(['?', '#']).next().unwrap_or("");
        let mut segments = path.rsplit('/').filter(|segment| !segment.is_empty());
        let (last, before) = (segments.next()?, segments.next());
        match (before, last) {
            (Some("v1"), "batch" | "b" | "import") => Some(Self::Batch),
            (Some("v1"), "m") => Some(Self::Metrics),
            (Some("v1"), call) => Call::from_name(call)
                .filter(|call| *call != Call::Delete)
                .or_else(|| Call::from_letter(call))
                .map(Self::Call),
            (Some(_), "settings") if segments.next() == Some("projects") && segments.next() == Some("v1") => {
                Some(Self::Settings)
            }
            (_, "webhook" | "webhooks" | "segment") => Some(Self::Webhook),
            _ => None,
        }
    }

    /// Whether what comes in there are events.
    pub fn has_events(self) -> bool {
        matches!(self, Self::Call(_) | Self::Batch | Self::Webhook)
    }

    /// Whether it belongs to the Tracking API, whose limits then hold.
    pub fn is_tracking(self) -> bool {
        matches!(self, Self::Call(_) | Self::Batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_segment_s_libraries_are_recognised_under_any_prefix() {
        for (path, door) in [
            ("/v1/track", Door::Call(Call::Track)),
            ("/v1/identify", Door::Call(Call::Identify)),
            ("/v1/t", Door::Call(Call::Track)),
            ("/v1/i", Door::Call(Call::Identify)),
            ("/v1/p", Door::Call(Call::Page)),
            ("/v1/s", Door::Call(Call::Screen)),
            ("/v1/g", Door::Call(Call::Group)),
            ("/v1/a", Door::Call(Call::Alias)),
            ("/v1/batch", Door::Batch),
            ("/v1/b", Door::Batch),
            ("/v1/import", Door::Batch),
            ("/v1/m", Door::Metrics),
            ("/v1/projects/WRITE_KEY/settings", Door::Settings),
            ("/webhook", Door::Webhook),
            ("/segment", Door::Webhook),
        ] {
            for prefix in ["", "/proxy", "/a/b", "/"] {
                assert_eq!(Door::of(&format!("{prefix}{path}")), Some(door), "{prefix}{path}");
                assert_eq!(Door::of(&format!("{prefix}{path}?x=/y")), Some(door), "{prefix}{path}?x=/y");
            }
        }
    }

    #[test]
    fn the_paths_of_launchdarkly_and_others_are_not() {
        for path in [
            "/bulk",
            "/events/bulk/64b0c0ffee",
            "/mobile",
            "/",
            "/v1",
            "/v1/delete",
            "/v1/d",
            "/settings",
            "/a/x.gif",
            "/track",
        ] {
            assert_eq!(Door::of(path), None, "{path}");
        }
    }
}
