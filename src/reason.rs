//! The reason codes: every outcome exptap can give an event, in one table.
//!
//! A code is declared once, here, with the rule it comes from, how well that rule is sourced, what it means and
//! what to change. The screen, the JSON, the documentation and the tests all read this table, so a code cannot
//! mean two things or be spelled two ways.

use std::fmt;

/// How well the rule behind a code is sourced (`docs/attribution.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grade {
    /// A LaunchDarkly documentation page says it.
    Documented,
    /// Read in LaunchDarkly's public source code.
    Code,
    /// Seen only in a public, unofficial artefact.
    Corroborated,
    /// The sources are silent; the rule was chosen by this tool.
    Choice,
}

impl Grade {
    /// The short mark shown beside a rule.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Documented => "DOC",
            Self::Code => "CODE",
            Self::Corroborated => "CORR",
            Self::Choice => "CHOICE",
        }
    }

    /// The mark spelled out for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Documented => "a LaunchDarkly page says so",
            Self::Code => "read in LaunchDarkly's public code",
            Self::Corroborated => "seen in a public, unofficial source",
            Self::Choice => "rule chosen by this tool",
        }
    }
}

/// How much a finding with this code matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Info,
    /// Something may be lost or skewed.
    Warning,
    /// Conversions or exposures are lost.
    Error,
}

impl Severity {
    /// The word used in JSON, on screen and in the check language.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where a code stands among an event's possible outcomes. The order is from best to worst: an event's own
/// outcome is the best of its verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Credited to an arm.
    Counted,
    /// Puts a unit into an arm, or repeats it.
    Exposure,
    /// Not decided yet: an exposure may still arrive.
    Pending,
    /// Cannot be decided from what was observed.
    Unknown,
    /// Does not count, for a reason that is known.
    Dropped,
    /// No experiment asks about this event.
    NotAbout,
    /// A retry of a payload that was received before.
    Duplicate,
    /// Could not be read as an event.
    Undecodable,
}

impl Category {
    /// Every category, best first.
    pub const ALL: [Self; 8] = [
        Self::Counted,
        Self::Exposure,
        Self::Pending,
        Self::Unknown,
        Self::Dropped,
        Self::NotAbout,
        Self::Duplicate,
        Self::Undecodable,
    ];

    /// The name used in the report's `totals.verdicts`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Exposure => "exposure",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Dropped => "dropped",
            Self::NotAbout => "not-about-an-experiment",
            Self::Duplicate => "duplicate-payload",
            Self::Undecodable => "undecodable",
        }
    }

    /// The glyph that says the same without colour.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Counted | Self::Exposure => "✓",
            Self::Pending => "…",
            Self::Unknown => "?",
            Self::Dropped | Self::Undecodable => "✗",
            Self::NotAbout => "·",
            Self::Duplicate => "=",
        }
    }
}

/// What a code is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The verdict of an event, sorted under this category.
    Verdict(Category),
    /// A remark beside a verdict; it does not change what counts.
    Warning,
    /// Only ever the code of a finding, made from several verdicts.
    Finding,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// The code itself.
    pub code: ReasonCode,
    /// Its spelling everywhere: kebab-case.
    pub name: &'static str,
    /// The rule of `docs/attribution.md` that decides it.
    pub rule: &'static str,
    /// How well the rule is sourced.
    pub grade: Grade,
    /// How much it matters.
    pub severity: Severity,
    /// What it is used for.
    pub role: Role,
    /// What happened, in one sentence. `{slots}` are filled in where they are known.
    pub text: &'static str,
    /// What to change, in one sentence; empty where nothing needs changing.
    pub fix: &'static str,
}

impl Reason {
    /// The anchor of this code in `docs/reasons.md`.
    pub fn anchor(&self) -> &'static str {
        self.name
    }
}

macro_rules! reasons {
    ($( $variant:ident $name:literal $rule:literal $grade:ident $severity:ident $role:expr; $text:literal; $fix:literal )*) => {
        /// A reason code. Its facts are in [`Reason`]; see [`ReasonCode::reason`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReasonCode {
            $( #[doc = concat!("`", $name, "`: ", $text)] $variant, )*
        }

        /// Every reason code, in the order of the rules.
        pub static REASONS: &[Reason] = &[
            $( Reason {
                code: ReasonCode::$variant, name: $name, rule: $rule, grade: Grade::$grade,
                severity: Severity::$severity, role: $role, text: $text, fix: $fix,
            }, )*
        ];

        impl ReasonCode {
            /// The code's row in the table.
            pub fn reason(self) -> &'static Reason {
                match self {
                    $( Self::$variant => const {
                        &Reason {
                            code: ReasonCode::$variant, name: $name, rule: $rule, grade: Grade::$grade,
                            severity: Severity::$severity, role: $role, text: $text, fix: $fix,
                        }
                    }, )*
                }
            }
        }
    };
}

use Category::{Counted, Dropped, Duplicate, Exposure, NotAbout, Pending, Undecodable, Unknown};
use Role::{Finding, Verdict, Warning};

reasons! {
    // Exposures (rules E and the summary of what passes).
    Exposure "exposure" "E1-E10" Documented Info Verdict(Exposure);
        "First exposure of {unit} {key} in this iteration: it is in {arm}."; ""
    RepeatExposure "repeat-exposure" "E10" Documented Info Verdict(Exposure);
        "{unit} {key} was exposed to the same arm before. A unit is one exposure per iteration, however often it evaluates; repeats keep the 90-day window open."; ""
    CrossoverExposure "crossover-exposure" "E10" Documented Warning Verdict(Exposure);
        "{unit} {key} saw another arm before; conversions credit the earliest exposure of the last 90 days.";
        "Look for a changed rollout, an identify() that is not awaited, or a device shared by two people."
    DebugNotExposure "debug-not-exposure" "E1" Documented Info Verdict(Dropped);
        "A debug event is a copy for debugging; it is never an exposure."; ""
    ExposureLacksUnit "exposure-lacks-unit" "E3" Code Error Verdict(Dropped);
        "The flag was evaluated without a {unit} context, so the unit was not in the experiment.";
        "Evaluate {flag} with a context that has a {unit} key."
    NoReason "no-reason" "E4" Choice Warning Verdict(Dropped);
        "The evaluation carries no reason, so it cannot be shown to be in the experiment.";
        "Upgrade this SDK: current ones always send the reason of an experiment's evaluation."
    FlagOff "flag-off" "E5" Documented Error Verdict(Dropped);
        "The flag was off here, so nobody was in the experiment.";
        "Turn {flag} on in this environment."
    IndividuallyTargeted "individually-targeted" "E5" Code Info Verdict(Dropped);
        "{unit} {key} is individually targeted, so it is outside the experiment.";
        "Use a key that is not individually targeted to test."
    PrerequisiteFailed "prerequisite-failed" "E5" Code Warning Verdict(Dropped);
        "A prerequisite flag failed, so the unit never reached the experiment. A holdout looks the same.";
        "Check the prerequisites of {flag}, and whether a holdout covers the experiment."
    EvalError "eval-error" "E5" Documented Error Verdict(Dropped);
        "The SDK served the code default because the evaluation failed.";
        "Wait for the SDK to initialize before evaluating, and check the flag key."
    NotInExperiment "not-in-experiment" "E5" Documented Info Verdict(Dropped);
        "The evaluation was not part of an experiment: traffic not allocated, another rule, a layer or a holdout.";
        "If this unit should be in, check the experiment's allocation, its rule and its layer."
    OtherRule "other-rule" "E6" Choice Warning Verdict(Dropped);
        "The variation was served by another rule than the one the experiment runs on.";
        "Check the order of the flag's rules, or the rule named in the catalog."
    VariationNotATreatment "variation-not-a-treatment" "E7" Code Warning Verdict(Dropped);
        "The variation served is not an arm of this iteration.";
        "Compare the experiment's variations with those of the flag."
    ArmUnknown "arm-unknown" "E7" Choice Warning Verdict(Unknown);
        "The row is an exposure, but names its variation by an id that no variation of the catalog has, so its arm is not known.";
        "Give the experiment's variations their id in the catalog: it is what variation_id says (see the flag_variations table)."
    BootstrapWithoutMetadata "bootstrap-without-metadata" "E13" Code Error Verdict(Dropped);
        "The page was bootstrapped with bare values, so no exposure could be sent.";
        "Bootstrap with allFlagsState(), so that $flagsState comes along."
    NoFeatureEvent "no-feature-event" "E13" Code Warning Verdict(Dropped);
        "A summary counts evaluations of {flag}, but no exposure was sent for them: traffic not allocated, a holdout, allFlags, or tracking off.";
        "Call variation() where the person meets the feature, and check that the traffic is allocated."

    ReasonNotExported "reason-not-exported" "O1d" Choice Info Verdict(Unknown);
        "The export does not say why the flag came out as it did, so whether it was in the experiment is not known.";
        "Watch the SDK's own events, or an export that has reasonKind and inExperiment."
    UnitNotExported "unit-not-exported" "O1d" Choice Info Verdict(Unknown);
        "The export has the user's key and no other, so whether the event had a {unit} key is not known.";
        "Watch the SDK's own events, or an export that has contextKeys."

    // Conversions (rules A), in the order they are judged.
    WrongEnvironment "wrong-environment" "A1 E2" Documented Error Verdict(Dropped);
        "The event is of another environment than the experiment's, by its credential or by what its export names.";
        "Configure the SDK with the key of the environment {environment}."
    MetricUnitMismatch "metric-unit-mismatch" "A2" Documented Error Verdict(Dropped);
        "The experiment randomizes by {unit}; the metric {metric} analyses {units}.";
        "Add {unit} to the metric's analysis units and start a new iteration (a running one may keep the metric's old version), or change the experiment's randomization unit."
    EventLacksUnit "event-lacks-unit" "A3" Documented Error Verdict(Dropped);
        "The event has no {unit} key (it has {kinds}).";
        "SDK: track with a context that includes {unit}. Segment: add {unit} under Additional Context Keys, from a field whose values are the exposed keys."
    NumericValueMissing "numeric-value-missing" "A4" Documented Error Verdict(Dropped);
        "The metric {metric} is numeric and the event has no metricValue.";
        "Pass the number as metricValue (the last argument of track), not inside data. Segment fills it from properties.revenue, else properties.value."
    NumericValueInvalid "numeric-value-invalid" "A5" Choice Error Verdict(Dropped);
        "The metricValue is not a finite number.";
        "Send metricValue as a JSON number, not as text."
    FilterMismatch "filter-mismatch" "A6" Documented Warning Verdict(Dropped);
        "The event does not pass the filter of the metric {metric}.";
        "If it should, compare the filter's attribute and values with the event's."
    FilterAttrRedacted "filter-attr-redacted" "A6" Code Error Verdict(Dropped);
        "The filter of {metric} reads an attribute that the SDK redacted (private, or anonymous context).";
        "Filter on event data instead, or stop redacting the attribute."
    FilterUnsupported "filter-unsupported" "A6" Choice Warning Verdict(Unknown);
        "The filter of {metric} asks something exptap does not model or this event cannot answer, so it is not judged.";
        "Judge this metric in LaunchDarkly, or describe it in the catalog without the filter."
    IterationNotStarted "iteration-not-started" "A7 E8" Documented Error Verdict(Dropped);
        "The iteration has not been started; nothing before Start counts.";
        "Start the experiment, or give started_at in the catalog."
    BeforeIterationStart "before-iteration-start" "A7 E9" Documented Warning Verdict(Dropped);
        "It happened before the iteration started."; ""
    AfterIterationEnd "after-iteration-end" "A7 E10" Documented Warning Verdict(Dropped);
        "It happened after the iteration had stopped.";
        "Start a new iteration if the experiment should still measure."
    UnitNotAllocated "unit-not-allocated" "A8 B1" Code Info Verdict(Dropped);
        "{unit} {key} falls in the part of {flag}'s rollout that is not in the experiment, so it cannot have been exposed in this iteration, observed or not.";
        "If it should be in, give the experiment more of the traffic; to test, use a key that lands in an arm (exptap bucket finds some)."
    NoExposure "no-exposure" "A8" Documented Error Verdict(Dropped);
        "{unit} {key} never received {flag} in this iteration.";
        "Evaluate {flag} for this very context (call variation()) before the conversion."
    ConversionBeforeExposure "conversion-before-exposure" "A9" Corroborated Error Verdict(Dropped);
        "{unit} {key} converted before any exposure.";
        "Evaluate {flag} before calling track()."
    AttributionWindowExpired "attribution-window-expired" "A10" Documented Warning Verdict(Dropped);
        "The last exposure of {unit} {key} was more than 90 days before.";
        "Evaluate {flag} again nearer to the action: a repeat opens a new window (our reading)."
    UnknownNotObserved "unknown-not-observed" "O1" Choice Info Verdict(Unknown);
        "No exposure of {unit} {key} was seen since observation began; it may have been exposed before.";
        "Import earlier exposures, or watch from the start of the iteration."
    Pending "pending" "O2" Choice Info Verdict(Pending);
        "No exposure yet; one may still be on its way (SDKs send in batches)."; ""
    Counted "counted" "A11" Documented Info Verdict(Counted);
        "Credited to {arm}."; ""
    CountedNoEffect "counted-no-effect" "A12" Documented Info Verdict(Counted);
        "Credited to {arm}, but the unit had converted already: an occurrence metric counts a unit once."; ""

    // Events no iteration is about.
    NoMetricForKey "no-metric-for-key" "M3" Code Warning Verdict(Dropped);
        "No metric uses the event key {event}.";
        "Create a metric for it, or ignore it if it is for analytics only."
    MetricNotInExperiment "metric-not-in-experiment" "M3" Documented Warning Verdict(Dropped);
        "The metric {metric} is in no experiment of the catalog.";
        "Attach {metric} to the experiment (adding a metric keeps the iteration)."
    NotAnExperimentEvent "not-an-experiment-event" "M3" Choice Info Verdict(NotAbout);
        "No experiment asks about this event."; ""
    OtherContextKind "other-context-kind" "O1d" Choice Info Verdict(NotAbout);
        "The row is of a {kinds} context; the experiment randomizes by {unit}. A warehouse has one row per context of an event, and only the row of the {unit} is judged.";
        "If no row of the same event_id is of a {unit}, the event lacks it: evaluate and track with a context that has a {unit} key."
    SegmentRejected "segment-rejected" "F64" Code Error Verdict(Dropped);
        "Segment has the event and LaunchDarkly never gets it: {detail}";
        "Mend the field in the event, or its line in the mapping; Segment shows the same words under the destination's Event Delivery."
    SegmentRefused "segment-refused" "F64" Corroborated Error Verdict(Dropped);
        "Segment itself delivers the event to nobody: {detail}.";
        "Give the event a userId or an anonymousId, and keep to Segment's limits: JSON, 32 KiB an event, 500 KiB and 2,500 events a batch. It answers other requests 400, and takes nothing of them."
    SegmentNotSubscribed "segment-not-subscribed" "F64" Code Info Verdict(NotAbout);
        "Segment sends LaunchDarkly nothing of the event: {detail}.";
        "If it should count, give a mapping of the destination a trigger that matches it, and let the event's integrations leave the destination on."
    SegmentNotModelled "segment-not-modelled" "F64" Choice Warning Verdict(Unknown);
        "What Segment's destination makes of the event is not known to exptap: {detail}";
        "Look at what the destination sent under Event Delivery in Segment, or map the field without what is not modelled."
    DuplicatePayload "duplicate-payload" "R4" Code Info Verdict(Duplicate);
        "A retry of a payload that was already received; its events are not counted twice."; ""
    Undecodable "undecodable" "R1" Choice Error Verdict(Undecodable);
        "This could not be read as an event: {detail}.";
        "Send what LaunchDarkly's event schema asks for; the raw bytes are kept."

    // Remarks beside a verdict.
    UrlRematchFailed "url-rematch-failed" "M2" Choice Info Warning;
        "The SDK matched this page, but its URL or selector does not match the metric any more (an eventUrlTransformer may have rewritten it)."; ""
    RegexUnsupported "regex-unsupported" "M2" Choice Warning Warning;
        "The metric's URL pattern is not a regular expression exptap can run."; "Check the pattern of {metric}."
    StaleFlagConfig "stale-flag-config" "E12" Choice Info Warning;
        "The SDK evaluated an older version of the flag than the iteration's."; "Check that this SDK still receives updates."
    TimestampUnitSuspect "timestamp-unit-suspect" "R6" Choice Warning Warning;
        "creationDate is not in milliseconds."; "Send creationDate as milliseconds since 1970."
    Sampled "sampled" "R7" Code Info Warning;
        "The SDK sends a sample of these events only."; ""
    UnknownIteration "unknown-iteration" "O1d" Choice Info Warning;
        "The row names an iteration the catalog does not know, so it was judged by the rules, as far as a row can be."; "Give the iteration LaunchDarkly's own id in the catalog."
    FirstSeenHere "first-seen-here" "O1b" Choice Info Warning;
        "The arm is the first that was seen here; an earlier exposure, before observation began, could own this conversion."; ""
    ClockSkew "clock-skew" "O3" Choice Warning Warning;
        "The event's own clock and its arrival differ by more than five minutes."; "Check the clock of the device that sent it."
    ClockDependent "clock-dependent" "O3" Choice Warning Warning;
        "The verdict differs between the creation clock and the received clock."; "Evaluate the flag well before tracking, and check the device's clock."
    PayloadIdReused "payload-id-reused" "R4" Choice Warning Warning;
        "The payload id, or the messageId of a Segment event, was seen before, with something else in it; only one of the two counts."; "Send a new id with everything that is new."

    // Findings made from several verdicts.
    EventKeyCase "event-key-case" "M3" Code Error Finding;
        "The event key {event} is not {near}: they differ by {how}. Keys are compared byte for byte.";
        "Send {near}, or change the metric's event key."
    MetricKeyUsed "metric-key-used" "M3" Documented Error Finding;
        "{event} is the key of a metric, not its event key.";
        "Track {near}, the event key of the metric {metric}."
    PlaceholderKey "placeholder-key" "F56" Corroborated Error Finding;
        "The {unit} key {key} looks like a placeholder: every such event lands on one unit.";
        "Send a real key."
    KeyNearMiss "key-near-miss" "F4" Documented Error Finding;
        "{key} converted, {near} was exposed: they differ by {how}.";
        "Use the same key for the evaluation and for the conversion."
    ThrowawayKeys "throwaway-keys" "F63" Choice Warning Finding;
        "{count} of {total} anonymous {unit} contexts{share} were in one payload only, all of one sender; none of those that were exposed by {flag} converts, and none of those that convert was exposed: a new key seems to be made up for every request.";
        "Keep the key where it outlives the request, in a cookie or on the device, and use it for the evaluation and for the conversion."
    LoginSplit "login-split" "F6" Documented Warning Finding;
        "{count} {conversions} of {metric} {are} of a {unit} that was exposed under another key before it logged in: exposed as anonymous {near}, converted as {key}. LaunchDarkly does not join the two.";
        "Evaluate {flag} again after the login, or let a multi-context carry a key that stays the same and randomize by that."
    IdentifyRace "identify-race" "F51" Corroborated Warning Finding;
        "{count} {exposures} of {experiment} {are} of a {unit} that identify() had replaced already: {key} was still evaluated after {near} was identified.";
        "Await identify() before the flag is read."
    SampleRatioMismatch "sample-ratio-mismatch" "F52" Documented Error Finding;
        "The arms of {experiment} are not filled as allocated: {observed} against {expected}.";
        "Check the SDK's version, identify() races, redirects and deduplication before reading any result."
    BucketMismatch "bucket-mismatch" "B1" Code Warning Finding;
        "{count} of {total} exposures of {experiment} are not what the rollout of {flag} gives: {detail}.";
        "Compare its seed, salt and weights with the flag's. Many such exposures mean another seed, that of an earlier iteration (a restart reshuffles) or of another environment; a few mean SDKs with older flag data, or an override."
    NoMetricEvents "no-metric-events" "F67" Corroborated Warning Finding;
        "Nothing named {event} has arrived for the metric {metric}, though other events did.";
        "Track {event}, or compare it with the event keys that were seen."
    QueueOverflow "queue-overflow" "F38" Code Error Finding;
        "An SDK dropped {count} {events} because its queue was full.";
        "Raise the SDK's event capacity, or flush more often."
    DoubleSource "double-source" "F42" Code Warning Finding;
        "{count} {conversions} of {metric} {arrive} twice, within two seconds of each other: from {senders}.";
        "Track each action from one place only; where Segment is one of them, disconnect it for this event, or the classic destination where both LaunchDarkly destinations are on."
    SegmentBothDestinations "segment-both-destinations" "F42" Code Warning Finding;
        "{count} {events} for {metric} {arrive} in both shapes that Segment has for LaunchDarkly, with userKey (the classic destination) and with contextKeys (the Actions one): both destinations are on.";
        "Disconnect the classic LaunchDarkly destination in Segment: it sends no other context kind than user, and every action arrives twice."
    SegmentLoop "segment-loop" "F68" Code Warning Finding;
        "{count} custom {events} {are} of LaunchDarkly's own exports, come back: in Segment the LaunchDarkly source is connected to the LaunchDarkly destination.";
        "In Segment, disconnect the LaunchDarkly destination from the LaunchDarkly source."
    SegmentIdMismatch "segment-id-mismatch" "F5" Documented Error Finding;
        "Of {count} {conversions} of {metric} whose {unit} key is Segment's {sent}, none has the key of an exposed {unit}; the {other} beside it is that of one in {share}.";
        "Evaluate {flag} for the {sent}, or let the mapping take the {unit} key from $.{other}: a unit has one key, where it is exposed and where it converts."
    SegmentCustomOnly "segment-custom-only" "F33" Documented Error Finding;
        "{count} Segment {events} {look} meant for {metric}, a {kind} metric, and Segment can send LaunchDarkly custom events only.";
        "Measure it by a custom metric with the event key that the mapping sends, or with one of LaunchDarkly's browser SDKs."
    SegmentDeliveryRate "segment-delivery-rate" "F69" Choice Warning Finding;
        "LaunchDarkly gets {share} of the events that a trigger in Segment matches, which is under {threshold} %. The commonest error, {times}: {detail}";
        "Mend the field the error names, in the event or in its line of the mapping; --segment-delivery says from which percentage on all is well."
    IterationRestarted "iteration-restarted" "F17" Documented Warning Finding;
        "{count} {conversions} of {metric} {are} of units that were exposed in an earlier iteration of {experiment} only: since it was restarted they have not been exposed again.";
        "Evaluate {flag} again for them: what a unit saw before the restart does not carry over."
    OutdatedSdk "outdated-sdk" "F25" Documented Warning Finding;
        "{senders} is older than {minimum}, {why}.";
        "Upgrade this SDK."
    SdkNoGoals "sdk-no-goals" "F33" Documented Error Finding;
        "{metric} is a {kind} metric, and all events come from SDKs that cannot send such events: {senders}.";
        "Measure it by a custom metric, or with one of LaunchDarkly's browser SDKs on the page."
    SdkGoalsBug "sdk-goals-bug" "F34" Corroborated Warning Finding;
        "No event of the {kind} metric {metric} has arrived, and {senders} is of the versions reported to drop such events (js-client-sdk issue 275).";
        "Upgrade this SDK, or measure it by a custom metric."
    UrlNoMatch "url-no-match" "F31" Code Warning Finding;
        "{near} was visited, and nothing has arrived for {metric}: the page is not the {kind} {detail}, by its {how}.";
        "Match the page that is visited: in exact, the query and the hash count; in a simple match, neither may stand in the pattern; substrings and regular expressions never see the query. Case and scheme count everywhere, and a slash at the end is forgiven on the page only."
    AllflagsOverexposure "allflags-overexposure" "F62" Corroborated Warning Finding;
        "{count} {evaluations} of three or more flags within five milliseconds for one context: allFlags() exposes it to every experiment at once, whether or not anything of them is seen.";
        "Set sendEventsOnlyForVariation in the JavaScript SDK, and call variation() where the feature is shown."
    SourceLacksHeaders "source-lacks-headers" "O1d" Choice Info Finding;
        "{count} {events} {come} from a debug session of ldcli, which keeps no headers: whether one is a retry (duplicate-payload) or of another environment (wrong-environment) is unknown, and neither is judged.";
        "Point the SDK at exptap itself to judge these too."
    SegmentSignature "segment-signature" "F64" Code Warning Finding;
        "{count} {requests} that came as Segment's webhook {carry} no signature by the secret given, or a wrong one; their events are judged all the same.";
        "Give exptap the secret that the webhook destination has, or find out who else posts there."
    RelayEventsOff "relay-events-off" "F65" Code Error Finding;
        "The Relay Proxy answered {count} {batches} of events with “Event proxy is not enabled for this environment”: it forwards no events, and LaunchDarkly gets none of them.";
        "Set USE_EVENTS=true for the Relay Proxy (sendEvents in its configuration file), or let the SDK send its events to LaunchDarkly directly."
    HttpRejected "http-rejected" "F37" Code Error Finding;
        "Upstream answered {count} {batches} of events with an error.";
        "Look at the statuses under Sources and check the credential; after a 401, 403 or 404 an SDK sends nothing until it is restarted."
}

impl ReasonCode {
    /// The kebab-case spelling.
    pub fn name(self) -> &'static str {
        self.reason().name
    }

    /// The category of a verdict; a remark or a finding's code has none of its own and sorts as not about.
    pub fn category(self) -> Category {
        match self.reason().role {
            Role::Verdict(category) => category,
            Role::Warning | Role::Finding => Category::NotAbout,
        }
    }

    /// The code with this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        REASONS.iter().find(|reason| reason.name == name).map(|reason| reason.code)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl serde::Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Words of the texts that agree with their count: as they stand, and of one.
const SINGULAR: [(&str, &str); 11] = [
    ("are", "is"),
    ("arrive", "arrives"),
    ("batches", "batch"),
    ("carry", "carries"),
    ("come", "comes"),
    ("conversions", "conversion"),
    ("evaluations", "evaluation"),
    ("events", "event"),
    ("exposures", "exposure"),
    ("look", "looks"),
    ("requests", "request"),
];

/// Fills the `{slots}` of a text. A slot without a value keeps its name, without braces, so that the sentence
/// still reads. Of one (`count` is 1) a word in the plural that is a slot without a value is put in the singular.
pub fn fill(text: &str, slots: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    let is_one = slots.contains(&("count", "1"));
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        let value = slots.iter().find(|(slot, _)| *slot == name).map(|(_, value)| *value);
        let value = value.or_else(|| SINGULAR.iter().find(|(plural, _)| is_one && *plural == name).map(|(_, it)| *it));
        let value = value.unwrap_or(name);
        filled.push_str(value);
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_spelled_once_in_kebab_case_and_says_what_to_do_when_something_is_lost() {
        let mut names = HashSet::new();
        for reason in REASONS {
            assert!(names.insert(reason.name), "{} is declared twice", reason.name);
            assert!(reason.name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{}", reason.name);
            assert_eq!(ReasonCode::from_name(reason.name), Some(reason.code));
            assert_eq!(reason.code.reason().name, reason.name);
            if reason.severity == Severity::Error {
                assert!(!reason.fix.is_empty(), "{} is an error without a fix", reason.name);
            }
        }
    }

    #[test]
    fn slots_are_filled_and_unknown_slots_keep_their_name() {
        let counted = |count| fill("{count} {conversions} {are} late", &[("count", count)]);
        assert_eq!(
            (counted("1").as_str(), counted("21").as_str()),
            ("1 conversion is late", "21 conversions are late")
        );
        assert_eq!(fill("{unit} {key} has {x}", &[("unit", "user"), ("key", "{u}")]), "user {u} has x");
    }
}
