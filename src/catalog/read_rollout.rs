//! Reading how a flag deals units out.

use super::fields::{Reader, Section};
use crate::bucketing::{Rollout, Share, WHOLE};

const KEYS: &[&str] = &["seed", "salt", "variations"];
const SHARE_KEYS: &[&str] = &["variation", "weight", "untracked"];

/// The rollout of an experiment or an iteration; what is wrong with it is noted.
pub(super) fn read_rollout(reader: &mut Reader, section: &Section<'_>) -> Option<Rollout> {
    let node = section.get("rollout")?;
    let rollout = reader.section(node, format!("{}: rollout", section.name), KEYS)?;
    let faults_before = reader.faults.len();
    if rollout.get("variations").is_none() {
        reader.fault(
            rollout.at,
            format!(
                "{}: variations is missing; expected the shares of the traffic, as the flag has them",
                rollout.name
            ),
        );
    }
    let shares = reader.sections(&rollout, "variations", "variation", "", SHARE_KEYS).unwrap_or_default();
    let read = Rollout {
        seed: reader.integer(&rollout, "seed"),
        // An empty one is a salt, too.
        salt: reader.any_text(&rollout, "salt"),
        variations: shares.iter().map(|share| read_share(reader, share)).collect(),
    };
    // Judged as a whole only if its parts are right: what is wrong with one would be said twice.
    if reader.faults.len() == faults_before
        && let Some(fault) = read.fault()
    {
        reader.fault(rollout.at, format!("{}: {fault}", rollout.name));
    }
    Some(read)
}

fn read_share(reader: &mut Reader, share: &Section<'_>) -> Share {
    let mut whole = |key: &str, expected: &str, most: i64| {
        let number = reader.integer(share, key);
        match number {
            None if share.get(key).is_none() => {
                reader.fault(share.at, format!("{}: {key} is missing; expected {expected}", share.name));
            }
            Some(number) if !(0..=most).contains(&number) => {
                reader.fault(share.at, format!("{}: {key} is {number}; expected {expected}", share.name));
            }
            _ => {}
        }
        number.unwrap_or_default()
    };
    let variation = whole("variation", "the variation's index in the flag, from 0", i64::MAX);
    let weight = whole("weight", "a whole number from 0 to 100000, where 50000 is half of the traffic", WHOLE as i64);
    Share {
        variation,
        weight: u32::try_from(weight).unwrap_or_default(),
        untracked: reader.boolean(share, "untracked").unwrap_or_default(),
    }
}
