//! Events that come out of LaunchDarkly's own exports: what they settle, and what they cannot tell (O1d, R5).

use super::judge::{Circumstances, EnvironmentMatch, Judge};
use crate::catalog::{Environment, Iteration};
use crate::event::Event;
use crate::event::wrapped::Wrapping;
use crate::reason::ReasonCode;

impl Judge {
    /// The iteration a row names, if the catalog knows it: one of those on the row's flag.
    pub(super) fn settled(&self, row: &Wrapping<'_>, iterations: &[u32]) -> Option<u32> {
        let id = row.iteration_id.as_deref()?;
        let is_named = |index: &&u32| self.iterations.get(**index as usize).is_some_and(|it| it.iteration.id == id);
        iterations.iter().find(is_named).copied()
    }

    /// R5 for what Segment's destination sends: it names the environment by its client-side id.
    pub fn environment_of_destination(&self) -> EnvironmentMatch {
        match (&self.environment.client_side_id, self.destination().client_side_id()) {
            (Some(expected), Some(id)) if expected != id => EnvironmentMatch::Other,
            _ => EnvironmentMatch::Same,
        }
    }

    /// R5 for an event that names its environment itself, as Data Export's do: by the environment's id, which is the
    /// client-side id. What the catalog does not say is not judged; its project is a key where the export's is an id,
    /// so that the two cannot be compared.
    pub fn environment_of(&self, event: &Event<'_>) -> EnvironmentMatch {
        let Some(named) = event.wrapping.as_ref().and_then(|wrapping| wrapping.environment.as_deref()) else {
            return EnvironmentMatch::Same;
        };
        let Environment { key, client_side_id, .. } = &self.environment;
        // Somebody's own pipeline may have put the key where LaunchDarkly puts the id.
        let is_an_id = named.len() == 24 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
        let can_be_told = client_side_id.is_some() || (key.is_some() && !is_an_id);
        if !can_be_told || client_side_id.as_deref() == Some(named) || key.as_deref() == Some(named) {
            EnvironmentMatch::Same
        } else {
            EnvironmentMatch::Other
        }
    }
}

/// The arm with the variation id a row carries.
pub(super) fn arm_of_row(event: &Event<'_>, iteration: &Iteration) -> Result<i64, ReasonCode> {
    let id = event.row().and_then(|row| row.variation_id.as_deref()).ok_or(ReasonCode::ArmUnknown)?;
    let arm = iteration.arms.iter().flatten().find(|arm| arm.id.as_deref() == Some(id));
    arm.map(|arm| arm.variation).ok_or(ReasonCode::ArmUnknown)
}

/// An exposure LaunchDarkly itself attributed to this iteration: E4–E10 are settled by that, and only the environment
/// and the unit are the event's own.
pub(super) fn settled_exposure<'e>(
    event: &'e Event<'_>,
    iteration: &Iteration,
    circumstances: Circumstances,
) -> Result<(&'e str, i64), ReasonCode> {
    if circumstances.environment == EnvironmentMatch::Other {
        return Err(ReasonCode::WrongEnvironment);
    }
    let key = event.context_keys.key(&iteration.randomization_unit).ok_or(ReasonCode::ExposureLacksUnit)?;
    Ok((key, arm_of_row(event, iteration)?))
}

/// Warehouses have a row for every context of an event. A row of another kind than the iteration's unit does not show
/// that the event lacks it (E3 and A3 are not verifiable on one row, O1d), and judged beside its fellow row it would
/// count one event twice.
pub(super) fn is_other_context(event: &Event<'_>, iteration: &Iteration) -> bool {
    event.row().is_some() && event.context_keys.key(&iteration.randomization_unit).is_none()
}
