//! What `exptap bucket` answers: how a flag deals out, and where keys fall.

use super::find;
use super::payload::{Flag, RuleRollout, rule_name};
use super::words::{edge, number};
use super::{Arithmetic, Bucket};
use crate::catalog::Rule;
use crate::report::table::Table;
use crate::untrusted::Untrusted;
use serde::Serialize;
use std::fmt::{self, Write};

/// Version of the JSON format.
pub const FORMAT_VERSION: u32 = 1;

/// Ranges shown to people.
const RANGES_SHOWN: usize = 20;

/// The answer. Field names are a contract (`docs/bucketing.md`).
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Answer {
    /// Version of this format.
    pub exptap_bucket: u32,
    /// Flag key.
    pub flag: String,
    /// Its version.
    pub version: Option<i64>,
    /// Whether it is on; off, it serves everybody the same.
    pub on: bool,
    /// Its rules that deal out, in their order.
    pub rules: Vec<RuleAnswer>,
}

/// One rule.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RuleAnswer {
    /// `fallthrough`, or the rule's id.
    pub rule: String,
    /// Whether it runs an experiment.
    pub experiment: bool,
    /// The context kind whose keys are dealt out.
    pub context_kind: String,
    /// The seed.
    pub seed: Option<i64>,
    /// The flag's salt.
    pub salt: Option<String>,
    /// Who gets what.
    pub ranges: Vec<RangeAnswer>,
    /// Where keys fall.
    pub units: Vec<UnitAnswer>,
    /// Arms for which fewer keys were found than asked for.
    pub hard_to_hit: Vec<String>,
    #[serde(skip)]
    title: String,
}

/// A range of buckets.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RangeAnswer {
    /// Index of the variation.
    pub variation: i64,
    /// Its name.
    pub name: String,
    /// Where it begins, included.
    pub from: f64,
    /// Where it ends, excluded.
    pub to: f64,
    /// Whether it is in the experiment.
    pub in_experiment: bool,
    #[serde(skip)]
    words: String,
}

/// Where a unit falls.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct UnitAnswer {
    /// `kind/key`.
    pub unit: String,
    /// The bucket, from 0 to 1; null where the unit is of another kind.
    pub bucket: Option<f64>,
    /// The variation served; null where the SDKs differ.
    pub variation: Option<i64>,
    /// Whether it is in the experiment; null where the SDKs differ.
    pub in_experiment: Option<bool>,
    /// The same in words.
    pub lands_in: String,
    /// Where the SDKs differ, each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sdks: Vec<SdkAnswer>,
}

/// What one sort of SDK makes of a key.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SdkAnswer {
    /// Which SDKs.
    pub sdks: &'static str,
    /// The variation served.
    pub variation: i64,
    /// Whether it is in the experiment.
    pub in_experiment: bool,
}

/// Keys to be found.
#[derive(Clone, Copy, Debug)]
pub struct Find<'a> {
    /// How many for each arm.
    pub count: usize,
    /// What they begin with.
    pub prefix: &'a str,
}

/// Where units fall in each rule of a flag that deals out, and keys that are found for each arm.
pub fn answer(key: &str, flag: &Flag, units: &[String], find: Option<Find<'_>>) -> Answer {
    Answer {
        exptap_bucket: FORMAT_VERSION,
        flag: key.to_owned(),
        version: flag.version,
        on: flag.is_on,
        rules: flag.rules.iter().map(|rule| rule_answer(key, flag, rule, units, find)).collect(),
    }
}

fn rule_answer(key: &str, flag: &Flag, rule: &RuleRollout, units: &[String], find: Option<Find<'_>>) -> RuleAnswer {
    let RuleRollout { rollout, context_kind, is_experiment, .. } = rule;
    let name = |variation: i64| flag.variation_name(variation);
    let outside = if *is_experiment { ", not in the experiment" } else { "" };
    let words =
        |variation: i64, untracked: bool| format!("{}{}", name(variation), if untracked { outside } else { "" });
    let mut answers: Vec<UnitAnswer> = units
        .iter()
        .map(|unit| match unit.split_once('/').filter(|(kind, key)| !kind.is_empty() && !key.is_empty()) {
            Some((kind, _)) if kind != context_kind => of_another_kind(flag, rule, unit),
            Some((_, unit)) => of_key(key, flag, rule, unit),
            None => of_key(key, flag, rule, unit),
        })
        .collect();
    let mut hard_to_hit = Vec::new();
    if let Some(Find { count, prefix }) = find {
        for found in find::keys(rollout, key, prefix, count) {
            if found.keys.len() < count {
                hard_to_hit.push(words(found.wanted.variation, found.wanted.untracked));
            }
            answers.extend(found.keys.iter().map(|unit| of_key(key, flag, rule, unit)));
        }
    }
    let range = |range: &super::Range| RangeAnswer {
        variation: range.share.variation,
        name: name(range.share.variation),
        from: range.from as f64 / super::WHOLE as f64,
        to: range.to as f64 / super::WHOLE as f64,
        in_experiment: *is_experiment && !range.share.untracked,
        words: format!("{} to {}", edge(range.from), edge(range.to)),
    };
    let what = if *is_experiment { "an experiment" } else { "a rollout, not an experiment," };
    RuleAnswer {
        rule: match &rule.rule {
            Rule::Fallthrough => "fallthrough".to_owned(),
            Rule::Id(id) => id.clone(),
        },
        experiment: *is_experiment,
        context_kind: context_kind.clone(),
        seed: rollout.seed,
        salt: rollout.salt.clone(),
        ranges: rollout.ranges().iter().map(range).collect(),
        units: answers,
        hard_to_hit,
        title: format!("{}: {what} by {context_kind}, {}", rule_name(&rule.rule), rollout.hashed_with()),
    }
}

fn of_key(key: &str, flag: &Flag, rule: &RuleRollout, unit: &str) -> UnitAnswer {
    let RuleRollout { rollout, is_experiment, .. } = rule;
    let bucket: Bucket = rollout.bucket(key, unit);
    let share = bucket.share().and_then(|index| rollout.share(index));
    let by_sdk = |arithmetic: &Arithmetic| {
        let share = rollout.share(bucket.share_by(*arithmetic)?)?;
        let in_experiment = *is_experiment && !share.untracked;
        Some(SdkAnswer { sdks: arithmetic.sdks(), variation: share.variation, in_experiment })
    };
    UnitAnswer {
        unit: format!("{}/{unit}", rule.context_kind),
        bucket: Some(bucket.value()),
        variation: share.map(|share| share.variation),
        in_experiment: share.map(|share| *is_experiment && !share.untracked),
        lands_in: rollout.lands_in(&bucket, |variation| flag.variation_name(variation)),
        sdks: if share.is_some() { Vec::new() } else { Arithmetic::ALL.iter().filter_map(by_sdk).collect() },
    }
}

/// Without the kind that is dealt out SDKs take the bucket 0, and nobody is in the experiment.
fn of_another_kind(flag: &Flag, rule: &RuleRollout, unit: &str) -> UnitAnswer {
    let first = rule.rollout.ranges().first().map(|range| range.share.variation);
    let outside = if rule.is_experiment { ", not in the experiment" } else { "" };
    let served = first.map_or_else(|| "nothing".to_owned(), |variation| flag.variation_name(variation));
    UnitAnswer {
        unit: unit.to_owned(),
        bucket: None,
        variation: first,
        in_experiment: Some(false),
        lands_in: format!("no {} key: {served}{outside}", rule.context_kind),
        sdks: Vec::new(),
    }
}

fn safe(text: &str) -> String {
    Untrusted::from(text).escaped().to_string()
}

impl Answer {
    /// The answer for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "{}", safe(&self.flag))?;
        if let Some(version) = self.version {
            write!(out, ", version {version}")?;
        }
        writeln!(out, "{}", if self.on { "" } else { ": it is off, so everybody is served the same" })?;
        for rule in &self.rules {
            writeln!(out, "\n{}", safe(&rule.title))?;
            let mut table = Table::default();
            for range in rule.ranges.iter().take(RANGES_SHOWN) {
                let outside = if rule.experiment && !range.in_experiment { "not in the experiment" } else { "" };
                table.row([safe(&range.name), range.words.clone(), outside.to_owned()]);
            }
            table.write(out, "  ", 3)?;
            if rule.ranges.len() > RANGES_SHOWN {
                writeln!(out, "  … {} more", rule.ranges.len() - RANGES_SHOWN)?;
            }
            if !rule.units.is_empty() {
                out.push('\n');
                let mut table = Table::default();
                table.row(["UNIT", "BUCKET", "LANDS IN"].map(str::to_owned));
                for unit in &rule.units {
                    let bucket = unit.bucket.map_or_else(|| "-".to_owned(), number);
                    table.row([safe(&unit.unit), bucket, safe(&unit.lands_in)]);
                }
                table.write(out, "  ", 3)?;
            }
            for arm in &rule.hard_to_hit {
                writeln!(out, "  fewer keys than asked for land in {}: its share is too small", safe(arm))?;
            }
        }
        Ok(())
    }
}
