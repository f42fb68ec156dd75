//! The smallest set of changes that brings most conversions back.
//!
//! Fixes are not independent: one conversion may fail by two rules, and mending the first shows the second; one change
//! may make another needless. So changes are tried on top of each other. At each step the one that brings most back
//! comes next, and where none does alone, the shortest way that does: a chain whose links only show once the one before
//! is mended. What turns out to be needless is left out again, and of a few changes all subsets are tried, so that the
//! set is the smallest that does as much. Every figure is that of a judgement of all the events; nothing is added up.

use super::change::Change;
use super::difference::Difference;
use super::join;
use super::judgement::{Events, Judgement};
use super::remedy::{Bench, Remedy, effect, may_be_tried, remedies};
use crate::catalog::Catalog;
use crate::reason::ReasonCode;
use crate::report::fixes::{BeforeAfter, Fixes, Step, counted, lost, remains};
use crate::report::{Finding, Report, build};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Events judged for one plan, all judgements together.
const EVENTS_JUDGED: u64 = 2_000_000;
/// Judgements made for one plan at the least, and at the most.
const JUDGEMENTS: (u64, u64) = (12, 96);
/// Changes in a chain of which only the last brings anything back.
const CHAIN: usize = 3;
/// Steps of a plan.
const STEPS: usize = 10;
/// How often more is put on top of a set that turned out leaner, or better.
const ROUNDS: usize = 8;
/// All subsets of so many changes are tried.
const ALL_SUBSETS: usize = 5;

/// The smallest set of changes that brings most conversions back.
pub struct Plan {
    /// What each of them comes to, and what remains.
    pub fixes: Fixes,
    /// All of them, as one change.
    pub change: Change,
}

/// A change that could mend a finding.
struct Candidate {
    remedy: Remedy,
    finding: Finding,
    words: Vec<String>,
}

/// What everything comes to under some changes.
struct Node {
    change: Change,
    catalog: Catalog,
    report: Report,
    counted: u64,
    candidates: OnceCell<Vec<Rc<Candidate>>>,
}

/// Candidates, one on top of the other, with what each comes to.
type Chain = Vec<(Rc<Candidate>, Rc<Node>)>;

struct Search<'b, 'a, E: Events + ?Sized> {
    bench: &'b mut Bench<'a, E>,
    /// Judgements that may still be made.
    left: u64,
    was_cut: bool,
    nodes: HashMap<Vec<String>, Option<Rc<Node>>>,
    /// Every candidate that was met, in the order they were.
    known: Vec<Rc<Candidate>>,
}

/// Finds the smallest set of changes that brings most conversions back. `report` is that of the events as they are
/// judged now.
///
/// # Errors
/// What the events say.
pub fn make<E: Events + ?Sized>(bench: &mut Bench<'_, E>, report: &Report) -> Result<Plan, E::Error> {
    let most = EVENTS_JUDGED / report.totals.events.max(1);
    let root = Rc::new(Node {
        change: Change::default(),
        catalog: bench.base().catalog.clone(),
        report: report.clone(),
        counted: counted(report),
        candidates: OnceCell::new(),
    });
    let nodes = HashMap::from([(Vec::new(), Some(Rc::clone(&root)))]);
    let left = most.clamp(JUDGEMENTS.0, JUDGEMENTS.1);
    let mut search = Search { bench, left, was_cut: false, nodes, known: Vec::new() };
    let mut chosen = Chain::new();
    // Where something was left out, more may go on top that it stood in the way of. That is not for ever: nothing is
    // put on top but what brings more back, and nothing left out that does.
    for _ in 0..ROUNDS {
        search.go_on(&root, &mut chosen)?;
        let is_leaner = search.leave_out_the_needless(&root, &mut chosen)?;
        if !search.try_all_subsets(&root, &mut chosen)? && !is_leaner {
            break;
        }
    }
    let change = chosen.last().map_or_else(Change::default, |(_, node)| node.change.clone());
    Ok(Plan { fixes: search.tell(&root, &chosen)?, change })
}

impl<E: Events + ?Sized> Search<'_, '_, E> {
    /// What everything comes to under a change; none if it cannot be made, or there is no time for it.
    fn node(&mut self, change: Change) -> Result<Option<Rc<Node>>, E::Error> {
        let mut words = change.words();
        words.sort_unstable();
        if let Some(node) = self.nodes.get(&words) {
            return Ok(node.clone());
        }
        if self.left == 0 {
            self.was_cut = true;
            return Ok(None);
        }
        let node = match change.apply(&self.bench.base().catalog) {
            Ok(catalog) => {
                self.left -= 1;
                let judgement = Judgement::of(self.bench.events, catalog.clone(), self.bench.base().clock)?;
                let report = build::report(&judgement.state, &catalog);
                let counted = counted(&report);
                Some(Rc::new(Node { change, catalog, report, counted, candidates: OnceCell::new() }))
            }
            Err(_) => None,
        };
        self.nodes.insert(words, node.clone());
        Ok(node)
    }

    fn on_top(&mut self, node: &Node, candidate: &Candidate) -> Result<Option<Rc<Node>>, E::Error> {
        self.node(node.change.with(&candidate.remedy.change))
    }

    /// The changes that could mend what is found under a change.
    fn candidates(&mut self, node: &Node) -> Result<Vec<Rc<Candidate>>, E::Error> {
        if let Some(candidates) = node.candidates.get() {
            return Ok(candidates.clone());
        }
        let mut candidates: Vec<Rc<Candidate>> = Vec::new();
        let mut joins = None;
        for finding in &node.report.findings {
            if !may_be_tried(finding, &node.report, &node.catalog) || is_of_senders(finding, &node.report) {
                continue;
            }
            let found = remedies(finding, &node.report, &node.catalog, || {
                let known = match joins.take() {
                    Some(known) => known,
                    None => self.joins(node)?,
                };
                joins = Some(Rc::clone(&known));
                Ok(known)
            })?;
            for remedy in found.into_iter().filter(|remedy| !moves_an_iteration(&remedy.change)) {
                let words = remedy.change.words();
                if candidates.iter().any(|known| known.words == words) {
                    continue;
                }
                let known = self.known.iter().find(|known| known.words == words).cloned();
                let candidate = known.unwrap_or_else(|| {
                    let candidate = Rc::new(Candidate { remedy, finding: finding.clone(), words });
                    self.known.push(Rc::clone(&candidate));
                    candidate
                });
                candidates.push(candidate);
            }
        }
        Ok(node.candidates.get_or_init(|| candidates).clone())
    }

    fn joins(&mut self, node: &Node) -> Result<Rc<super::remedy::Joins>, E::Error> {
        if node.change.is_empty() {
            return self.bench.joins();
        }
        if self.left < 2 {
            self.was_cut = true;
            return Ok(Rc::default());
        }
        self.left -= 2;
        let judgement = Judgement::of(self.bench.events, node.catalog.clone(), self.bench.base().clock)?;
        Ok(Rc::new(join::find(self.bench.events, &judgement)?))
    }

    /// Puts on top what brings most back, until nothing does.
    fn go_on(&mut self, root: &Rc<Node>, chosen: &mut Chain) -> Result<(), E::Error> {
        loop {
            let at = chosen.last().map_or_else(|| Rc::clone(root), |(_, node)| Rc::clone(node));
            match self.next(&at)? {
                Some(chain) if chosen.len() + chain.len() <= STEPS => chosen.extend(chain),
                _ => return Ok(()),
            }
        }
    }

    /// The next change, or chain of changes, by what each of its changes brings back on the average.
    fn next(&mut self, at: &Rc<Node>) -> Result<Option<Chain>, E::Error> {
        let candidates = self.candidates(at)?;
        let mut best = None;
        self.chains(at, &Chain::new(), &candidates, &mut best)?;
        if best.is_none() {
            for (index, one) in candidates.iter().enumerate() {
                for other in candidates.iter().skip(index + 1) {
                    let Some(first) = self.on_top(at, one)? else { continue };
                    let Some(both) = self.on_top(&first, other)? else { continue };
                    consider(&mut best, at, vec![(Rc::clone(one), first), (Rc::clone(other), both)]);
                }
            }
        }
        Ok(best)
    }

    fn chains(
        &mut self,
        start: &Rc<Node>,
        so_far: &Chain,
        candidates: &[Rc<Candidate>],
        best: &mut Option<Chain>,
    ) -> Result<(), E::Error> {
        let at = so_far.last().map_or_else(|| Rc::clone(start), |(_, node)| Rc::clone(node));
        let mut links = Vec::new();
        for candidate in candidates {
            let Some(node) = self.on_top(&at, candidate)? else { continue };
            let mut chain = so_far.clone();
            chain.push((Rc::clone(candidate), Rc::clone(&node)));
            consider(best, start, chain.clone());
            links.push((chain, node));
        }
        // What only shows once this is mended.
        for (chain, node) in links {
            if chain.len() == CHAIN || node.counted < at.counted || node.report.findings == at.report.findings {
                continue;
            }
            let known = self.candidates(&at)?;
            let mut new = self.candidates(&node)?;
            new.retain(|candidate| !known.iter().any(|it| it.words == candidate.words));
            if !new.is_empty() {
                self.chains(start, &chain, &new, best)?;
            }
        }
        Ok(())
    }

    /// Leaves out what others made needless. Whether there was any.
    fn leave_out_the_needless(&mut self, root: &Rc<Node>, chosen: &mut Chain) -> Result<bool, E::Error> {
        let (mut index, size) = (0, chosen.len());
        while chosen.len() > 1 && index < chosen.len() {
            let Some(all) = chosen.last().map(|(_, node)| node.counted) else { break };
            let others: Vec<_> =
                chosen.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, (it, _))| Rc::clone(it)).collect();
            match self.chain_of(root, &others)? {
                Some(without) if without.last().is_some_and(|(_, node)| node.counted >= all) => {
                    *chosen = without;
                    index = 0;
                }
                _ => index += 1,
            }
        }
        Ok(chosen.len() < size)
    }

    /// Candidates, one on top of the other.
    fn chain_of(&mut self, root: &Rc<Node>, candidates: &[Rc<Candidate>]) -> Result<Option<Chain>, E::Error> {
        let mut chain = Chain::new();
        for candidate in candidates {
            let at = chain.last().map_or_else(|| Rc::clone(root), |(_, node)| Rc::clone(node));
            let Some(node) = self.on_top(&at, candidate)? else { return Ok(None) };
            chain.push((Rc::clone(candidate), node));
        }
        Ok(Some(chain))
    }

    /// Of a few candidates, every subset that can be made: what is smaller and brings as much back, or as large and
    /// more, is better. Whether there was a better one.
    fn try_all_subsets(&mut self, root: &Rc<Node>, chosen: &mut Chain) -> Result<bool, E::Error> {
        let known = self.known.clone();
        if known.len() < 2 || known.len() > ALL_SUBSETS {
            return Ok(false);
        }
        let mut subsets: Vec<Vec<Rc<Candidate>>> = (1..1_usize << known.len())
            .map(|bits| {
                let members = known.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
                members.map(|(_, candidate)| Rc::clone(candidate)).collect()
            })
            .collect();
        subsets.sort_by_key(Vec::len);
        subsets.retain(|subset| {
            let change = |index: usize| subset.get(index).map(|it| &it.remedy.change);
            let pairs = (0..subset.len()).flat_map(|one| (one + 1..subset.len()).map(move |other| (one, other)));
            !pairs.filter_map(|(one, other)| change(one).zip(change(other))).any(|(one, other)| one.excludes(other))
        });
        let now = |chain: &Chain| chain.last().map_or(root.counted, |(_, node)| node.counted);
        let mut best: Option<Vec<Rc<Candidate>>> = None;
        let (mut most, mut size) = (now(chosen), chosen.len());
        for subset in subsets {
            let all = subset.iter().fold(Change::default(), |change, it| change.with(&it.remedy.change));
            let Some(node) = self.node(all)? else { continue };
            if (node.counted, size) > (most, subset.len()) {
                (most, size) = (node.counted, subset.len());
                best = Some(subset);
            }
        }
        let Some(mut left) = best else { return Ok(false) };
        let mut ordered = Chain::new();
        while !left.is_empty() {
            let at = ordered.last().map_or_else(|| Rc::clone(root), |(_, node)| Rc::clone(node));
            let mut next: Option<(usize, Rc<Node>)> = None;
            for (index, candidate) in left.iter().enumerate() {
                let Some(node) = self.on_top(&at, candidate)? else { return Ok(false) };
                if next.as_ref().is_none_or(|(_, best)| node.counted > best.counted) {
                    next = Some((index, node));
                }
            }
            let Some((index, node)) = next else { return Ok(false) };
            ordered.push((left.remove(index), node));
        }
        *chosen = ordered;
        Ok(true)
    }

    /// Puts it into figures: what each step comes to after those before it, and what it would alone.
    fn tell(mut self, root: &Rc<Node>, chosen: &Chain) -> Result<Fixes, E::Error> {
        let mut steps = Vec::new();
        let mut last: Option<Judgement> = None;
        let mut before = Rc::clone(root);
        for (candidate, node) in chosen {
            let after = Judgement::of(self.bench.events, node.catalog.clone(), self.bench.base().clock)?;
            let difference =
                Difference::between(last.as_ref().unwrap_or(&self.bench.base), &after, candidate.words.clone());
            let effect = effect(&difference, &candidate.finding);
            let alone = self.on_top(root, candidate)?.map(|alone| more(root, &alone));
            let finding = &candidate.finding;
            steps.push(Step {
                set: candidate.remedy.change.set.iter().map(ToString::to_string).collect(),
                map_try: candidate.remedy.change.map_try.iter().map(ToString::to_string).collect(),
                code: finding.code,
                experiment: finding.experiment.clone(),
                metric: finding.metric.clone(),
                fix: candidate.remedy.advice(finding, &effect),
                alone,
                gained: more(&before, node),
                loses: effect.lost,
                then: effect.then.iter().map(|(code, events)| (code.name(), *events)).collect(),
            });
            (last, before) = (Some(after), Rc::clone(node));
        }
        let tried = self.candidates(&before)?;
        let subject = |finding: &Finding| (finding.code, finding.experiment.clone(), finding.metric.clone());
        let was_tried = |finding: &Finding| tried.iter().any(|it| subject(&it.finding) == subject(finding));
        let note = self.was_cut.then(|| {
            "There is more that could be tried; it was left at this many judgements, and a smaller set may do"
                .to_owned()
        });
        Ok(Fixes {
            tried: true,
            note,
            counted: BeforeAfter { before: root.counted, after: before.counted },
            lost: BeforeAfter { before: lost(&root.report), after: lost(&before.report) },
            steps,
            remains: remains(&before.report, was_tried),
        })
    }
}

/// Whether some senders have the event key right: then what the others send is theirs to change, and another event key of
/// the metric would only swap the one for the other.
fn is_of_senders(finding: &Finding, report: &Report) -> bool {
    let metrics = || report.experiments.iter().flat_map(|experiment| &experiment.metrics);
    matches!(finding.code, ReasonCode::EventKeyCase | ReasonCode::MetricKeyUsed)
        && metrics().any(|metric| Some(&metric.metric) == finding.metric.as_ref() && metric.received > 0)
}

/// Whether a change moves an iteration's start or end, which nobody can in LaunchDarkly: what happened before a start or
/// after an end, no new iteration brings back.
fn moves_an_iteration(change: &Change) -> bool {
    change.set.iter().any(|edit| edit.is_of("started_at") || edit.is_of("ended_at"))
}

/// Conversions that count more.
fn more(before: &Node, after: &Node) -> i64 {
    i64::try_from(after.counted).unwrap_or(i64::MAX) - i64::try_from(before.counted).unwrap_or(i64::MAX)
}

/// Takes a chain if each of its changes brings more back than each of the best so far, on the average.
fn consider(best: &mut Option<Chain>, start: &Node, chain: Chain) {
    let gained = |chain: &Chain| chain.last().map_or(0, |(_, node)| node.counted.saturating_sub(start.counted));
    let gain = gained(&chain);
    let is_better = best.as_ref().is_none_or(|best| {
        let (ours, theirs) = (gain * best.len() as u64, gained(best) * chain.len() as u64);
        (ours, gain) > (theirs, gained(best))
    });
    if gain > 0 && is_better {
        *best = Some(chain);
    }
}
