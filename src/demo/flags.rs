//! The shop's flags, and what an SDK gets when it evaluates one.
//!
//! The faults of the demo are not painted on: a context without the randomization unit falls in the first
//! variation and outside the experiment here for the same reason as in a real SDK.

use super::context::Context;
use super::random::spread;

/// Randomized by user.
pub(super) const CHECKOUT_BUTTON: &str = "checkout-button";
/// Randomized by device.
pub(super) const FREE_SHIPPING_BANNER: &str = "free-shipping-banner";
/// Randomized by organization.
pub(super) const VOLUME_PRICING: &str = "volume-pricing";
/// Randomized by user, its evaluation events sampled.
pub(super) const SEARCH_RANKING: &str = "search-ranking";
/// No experiment.
pub(super) const CURRENCY_PICKER: &str = "currency-picker";
/// No experiment.
pub(super) const NEW_FOOTER: &str = "new-footer";

/// Keys of testers start with this; the flags target them individually.
pub(super) const TESTER_PREFIX: &str = "tester-";

/// Why a variation was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The default rule.
    Fallthrough,
    /// The rule with this id, the first of the flag.
    Rule(&'static str),
    /// The key is individually targeted.
    TargetMatch,
    /// The flag is off.
    Off,
    /// The SDK has no flags yet: it serves the code default.
    ClientNotReady,
}

/// One evaluation's result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// Flag key.
    pub(super) flag: &'static str,
    /// The value.
    pub(super) value: &'static str,
    /// The code default.
    pub(super) default: &'static str,
    /// Variation and flag version; none where the SDK knows no such flag.
    pub(super) found: Option<(usize, u32)>,
    /// Why.
    pub(super) reason: Reason,
    /// Whether it is part of an experiment.
    pub(super) in_experiment: bool,
    /// Every evaluation is sent, experiment or not.
    pub(super) track_events: bool,
    /// Every evaluation is copied as a `debug` event.
    pub(super) debugged: bool,
    /// One in so many evaluation events is sent.
    pub(super) sampling_ratio: u64,
}

/// A flag as the SDKs of this environment know it.
#[derive(Clone, Debug)]
struct Flag {
    key: &'static str,
    /// The values, which in this shop name themselves; the first is the control.
    values: &'static [&'static str],
    /// Context kind the experiment randomizes; none: every context gets the first value.
    unit: Option<&'static str>,
    /// The experiment runs on this rule, which asks for an organization; none: on the default rule.
    rule: Option<&'static str>,
    version: u32,
    seed: u64,
    track_events: bool,
    debugged: bool,
    sampling_ratio: u64,
}

/// All flags of the shop.
#[derive(Clone, Debug)]
pub(super) struct Flags(Vec<Flag>);

impl Flags {
    /// The flags as they stand when the shop opens.
    pub(super) fn new() -> Self {
        let plain = |key, values| Flag {
            key,
            values,
            unit: None,
            rule: None,
            version: 3,
            seed: 0,
            track_events: false,
            debugged: false,
            sampling_ratio: 1,
        };
        let experiment = |key, values, unit, seed| Flag { unit: Some(unit), seed, version: 12, ..plain(key, values) };
        Self(vec![
            Flag {
                track_events: true,
                ..experiment(CHECKOUT_BUTTON, super::measured::CHECKOUT_BUTTON_ARMS, "user", 61_013)
            },
            experiment(FREE_SHIPPING_BANNER, super::measured::BANNER_ARMS, "device", 40_902),
            Flag {
                rule: Some(super::measured::BUSINESS_RULE),
                debugged: true,
                ..experiment(VOLUME_PRICING, super::measured::PRICING_ARMS, "organization", 77_170)
            },
            Flag { sampling_ratio: 2, ..experiment(SEARCH_RANKING, super::measured::RANKING_ARMS, "user", 15_511) },
            plain(CURRENCY_PICKER, &["hidden", "shown"]),
            plain(NEW_FOOTER, &["on", "off"]),
        ])
    }

    /// What an SDK that knows these flags serves.
    pub(super) fn serve(&self, key: &'static str, context: &Context) -> Served {
        let Some(flag) = self.0.iter().find(|flag| flag.key == key) else { return not_ready(key, "") };
        let organization = context.key("organization").is_some();
        let (variation, reason, in_experiment) =
            if context.key("user").is_some_and(|key| key.starts_with(TESTER_PREFIX)) && flag.unit.is_some() {
                (1, Reason::TargetMatch, false)
            } else {
                let reason = match flag.rule {
                    Some(rule) if organization => Reason::Rule(rule),
                    _ => Reason::Fallthrough,
                };
                let on_its_rule = flag.rule.is_none() || organization;
                match flag.unit.and_then(|unit| context.key(unit)) {
                    Some(unit) if on_its_rule => (arm(flag, unit), reason, true),
                    // Without the unit the bucket is 0, which is the first variation, and the experiment is not marked.
                    _ => (0, reason, false),
                }
            };
        flag.served(variation, reason, in_experiment)
    }

    /// What a service serves whose copy of the flag is switched off.
    pub(super) fn serve_off(&self, key: &'static str) -> Served {
        self.0
            .iter()
            .find(|flag| flag.key == key)
            .map_or_else(|| not_ready(key, ""), |flag| flag.served(0, Reason::Off, false))
    }

    /// Somebody edits the banner's rollout: devices are dealt out anew, so that those that come back may cross over.
    pub(super) fn change_banner_rollout(&mut self) {
        if let Some(flag) = self.0.iter_mut().find(|flag| flag.key == FREE_SHIPPING_BANNER) {
            flag.seed = flag.seed.wrapping_add(1);
            flag.version += 1;
        }
    }
}

/// What an SDK serves before it has any flags.
pub(super) fn not_ready(key: &'static str, default: &'static str) -> Served {
    Served {
        flag: key,
        value: default,
        default,
        found: None,
        reason: Reason::ClientNotReady,
        in_experiment: false,
        track_events: false,
        debugged: false,
        sampling_ratio: 1,
    }
}

fn arm(flag: &Flag, unit_key: &str) -> usize {
    let arms = flag.values.len() as u64;
    usize::try_from(spread(flag.seed, unit_key).checked_rem(arms).unwrap_or(0)).unwrap_or(0)
}

impl Flag {
    fn served(&self, variation: usize, reason: Reason, in_experiment: bool) -> Served {
        let control = self.values.first().copied().unwrap_or_default();
        Served {
            flag: self.key,
            value: self.values.get(variation).copied().unwrap_or(control),
            default: control,
            found: Some((variation, self.version)),
            reason,
            in_experiment,
            track_events: self.track_events,
            debugged: self.debugged,
            sampling_ratio: self.sampling_ratio,
        }
    }
}
