//! Where findings first show.
//!
//! Making the report takes time that grows with the units, so it is not made at every record. Every report that is
//! made for another reason (for a session that is shown, for the end) is a look; where it is asked for the next
//! finding, the stretch between the looks is halved until one record is left.

use super::timeline::FindingAt;
use crate::report::{Finding, Report};

#[derive(Debug, Default)]
pub(super) struct Findings {
    known: Vec<FindingAt>,
    /// Positions that were looked at, in order.
    looked_at: Vec<u64>,
}

/// Positions remembered; past it only what is known is brought closer.
const MAX_LOOKS: usize = 100_000;

fn is(at: &FindingAt, finding: &Finding) -> bool {
    (at.code, &at.experiment, &at.metric) == (finding.code, &finding.experiment, &finding.metric)
}

impl Findings {
    /// Takes in a report. True if something is known now that was not.
    pub(super) fn look(&mut self, position: u64, report: &Report) -> bool {
        let mut is_news = false;
        for at in self.known.iter_mut().filter(|at| at.after < position && position < at.by) {
            let shows = report.findings.iter().any(|finding| is(at, finding));
            *(if shows { &mut at.by } else { &mut at.after }) = position;
            is_news = true;
        }
        let place = self.looked_at.partition_point(|looked_at| *looked_at < position);
        let before = place.checked_sub(1).and_then(|index| self.looked_at.get(index)).copied().unwrap_or_default();
        for finding in &report.findings {
            if !self.known.iter().any(|at| is(at, finding)) {
                self.known.push(FindingAt {
                    code: finding.code,
                    experiment: finding.experiment.clone(),
                    metric: finding.metric.clone(),
                    after: before,
                    by: position,
                    t_ms: None,
                });
                is_news = true;
            }
        }
        if self.looked_at.len() < MAX_LOOKS && self.looked_at.get(place) != Some(&position) {
            self.looked_at.insert(place, position);
        }
        if is_news {
            self.known.sort_by_key(|at| (at.by, at.after));
        }
        is_news
    }

    /// Whether a position was looked at.
    pub(super) fn has_looked_at(&self, position: u64) -> bool {
        self.looked_at.binary_search(&position).is_ok()
    }

    /// Those known, in the order in which they show.
    pub(super) fn known(&self) -> &[FindingAt] {
        &self.known
    }

    /// The first that shows after a position.
    pub(super) fn after(&self, position: u64) -> Option<&FindingAt> {
        self.known.iter().find(|at| at.by > position)
    }

    /// The last that shows before a position.
    pub(super) fn before(&self, position: u64) -> Option<&FindingAt> {
        self.known.iter().rev().find(|at| at.by < position)
    }
}
