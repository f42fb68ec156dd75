//! B1: what a unit's bucket proves. A unit that the iteration's rollout leaves out cannot have been exposed, whether
//! anybody was looking or not.

use super::judge::Judge;
use super::state::{NO_SHARE, State, UnitState};
use super::units::UnitId;
use crate::bucketing::Share;

impl State {
    /// The share of the rollout a unit's key falls in. Computed once per unit and iteration, when it is first seen: a
    /// hash takes longer than judging an event.
    pub(super) fn share_of_key(&self, unit: UnitId, iteration: u32) -> u16 {
        let found = || {
            let judged = self.judge.iterations().get(iteration as usize)?;
            judged.iteration.rollout.as_ref()?;
            let (_, bucket) = judged.bucket(self.units.name(unit)?.1)?;
            u16::try_from(bucket.share()?).ok()
        };
        found().unwrap_or(NO_SHARE)
    }

    /// The share of the rollout a unit falls in, where that is proven.
    pub fn share_of(&self, state: &UnitState) -> Option<Share> {
        share(&self.judge, state)
    }

    /// Whether it is proven that a unit cannot have been exposed: its share is not in the experiment, and nothing says
    /// that the rollout is another one.
    pub fn could_not_be(&self, state: &UnitState) -> bool {
        could_not_be(&self.judge, &self.refuted, state)
    }

    /// Whether exposures were seen of units that the rollout of an iteration leaves out, so that it proves nothing.
    pub fn is_rollout_refuted(&self, iteration: u32) -> bool {
        self.refuted.get(iteration as usize).copied().unwrap_or_default()
    }
}

fn share(judge: &Judge, state: &UnitState) -> Option<Share> {
    if state.share == NO_SHARE {
        return None;
    }
    judge.iterations().get(state.iteration as usize)?.iteration.rollout.as_ref()?.share(usize::from(state.share))
}

/// Whether the rollout leaves a unit out.
pub(super) fn is_left_out(judge: &Judge, state: &UnitState) -> bool {
    share(judge, state).is_some_and(|share| share.untracked)
}

/// See [`State::could_not_be`], which this is where the state is being changed.
pub(super) fn could_not_be(judge: &Judge, refuted: &[bool], state: &UnitState) -> bool {
    is_left_out(judge, state) && !refuted.get(state.iteration as usize).copied().unwrap_or_default()
}
