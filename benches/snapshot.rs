//! What checkpoints of the state of attribution cost: a clone every 25,000 events, over a file of events.
//!
//! `cargo bench --bench snapshot -- FILE.ndjson CATALOG.toml [EVERY]` prints medians and ratios, and asserts nothing.
//! Without a file it does nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use exptap::attribution::judge::Judge;
use exptap::attribution::state::{Options, State};
use exptap::headless;
use exptap::intake;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let mut out = std::io::stdout().lock();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [file, catalog, rest @ ..] = arguments.as_slice() else {
        writeln!(out, "nothing measured: give a file of events and a catalog").unwrap();
        return;
    };
    let every: usize = rest.first().map_or(25_000, |every| every.parse().expect("a number of events"));
    let text = std::fs::read_to_string(file).unwrap();
    let catalog = headless::read_catalog(Path::new(catalog)).unwrap();
    let judge = Arc::new(Judge::new(&catalog));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let batches: Vec<String> = lines.chunks(every).map(<[&str]>::concat).collect();
    assert!(!batches.is_empty(), "{file} holds no events");
    // One to touch every page of the file and the heap; then in turn.
    run(&judge, &batches, false, false);
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    for round in 1..=3 {
        let plain = run(&judge, &batches, false, false);
        let shared = run(&judge, &batches, true, false);
        let kept = run(&judge, &batches, true, true);
        let ratio = |run: &Run| run.judging.as_secs_f64() / plain.judging.as_secs_f64();
        writeln!(out, "round {round}: judging, plain {:.0} ms; clones shared, none taken x {:.2}; one kept every {every} events x {:.2}",
            plain.judging.as_secs_f64() * 1e3, ratio(&shared), ratio(&kept)).unwrap();
        let mut clones = kept.clones.clone();
        clones.sort_unstable();
        writeln!(
            out,
            "  {} clones: median {:.3} ms, longest {:.3} ms, last {:.3} ms; measuring one: {:.3} ms at the end",
            clones.len(),
            clones[clones.len() / 2].as_secs_f64() * 1e3,
            clones[clones.len() - 1].as_secs_f64() * 1e3,
            kept.clones[kept.clones.len() - 1].as_secs_f64() * 1e3,
            kept.measuring.as_secs_f64() * 1e3,
        )
        .unwrap();
        let own: usize = kept.own_bytes.iter().sum();
        writeln!(
            out,
            "  by its own count: the state alone {:.1} MB, all checkpoints {:.1} MB (x {:.1}); the first {:.2} MB, the last {:.2} MB",
            megabytes(kept.whole_bytes),
            megabytes(own),
            own as f64 / kept.whole_bytes as f64,
            megabytes(kept.own_bytes[0]),
            megabytes(kept.own_bytes[kept.own_bytes.len() - 1]),
        )
        .unwrap();
        if let (Some(plain), Some(shared), Some(kept)) = (plain.resident, shared.resident, kept.resident) {
            writeln!(
                out,
                "  by the system's: plain {:.1} MB, shared {:.1} MB, with all checkpoints {:.1} MB",
                megabytes(plain),
                megabytes(shared),
                megabytes(kept)
            )
            .unwrap();
        }
        writeln!(out, "  {} units, {} states, {} conversions", kept.units, kept.states, kept.conversions).unwrap();
    }
}

struct Run {
    judging: Duration,
    clones: Vec<Duration>,
    own_bytes: Vec<usize>,
    whole_bytes: usize,
    measuring: Duration,
    resident: Option<usize>,
    units: usize,
    states: usize,
    conversions: usize,
}

fn run(judge: &Arc<Judge>, batches: &[String], shares_clones: bool, keeps: bool) -> Run {
    let before = resident();
    let options = Options { shares_clones, ..Options::default() };
    let empty = State::new(Arc::clone(judge), options);
    let mut state = empty.clone();
    let (mut kept, mut clones, mut judging) = (Vec::new(), Vec::new(), Duration::ZERO);
    for batch in batches {
        let started = Instant::now();
        intake::plain(&mut state, "bench", batch, |_, _| {});
        judging += started.elapsed();
        if keeps {
            let started = Instant::now();
            let clone = state.clone();
            clones.push(started.elapsed());
            kept.push(clone);
        }
    }
    let resident = resident().zip(before).map(|(now, before)| now.saturating_sub(before));
    let earlier = std::iter::once(&empty).chain(&kept);
    let own_bytes: Vec<usize> =
        kept.iter().zip(earlier).map(|(clone, earlier)| clone.unshared_bytes(earlier)).collect();
    let started = Instant::now();
    if let [.., one, other] = kept.as_slice() {
        other.unshared_bytes(one);
    }
    let measuring = started.elapsed();
    Run {
        judging,
        clones,
        own_bytes,
        whole_bytes: state.unshared_bytes(&empty),
        measuring,
        resident,
        units: state.units().len(),
        states: state.states().count(),
        conversions: state.conversions().count(),
    }
}

/// Bytes of memory this process has, where the system says so.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}
