//! `exptap what-if`.

use super::{BAD_INPUT, given, judged, say};
use crate::attribution::state::SEGMENT_DELIVERY_PERCENT;
use crate::catalog::{Given, Origin};
use crate::cli::{self, DifferenceFormat};
use crate::headless::{Failure, Passes, Read, Request};
use crate::report::build;
use crate::what_if::plan::{self, Plan};
use crate::what_if::remedy::Bench;
use crate::what_if::{CatalogEdit, Change, Difference, Judgement, MappingEdit, Refusal, markdown, text};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Judges the same events twice, and prints the difference.
pub(super) fn run(options: &cli::WhatIf) -> ExitCode {
    let change = match change(options) {
        Ok(change) => change,
        Err(code) => return code,
    };
    let before = cli::Judging {
        catalog: options.base_catalog.clone(),
        mapping: options.base_mapping.clone(),
        flags: options.flags.clone(),
        clock: options.base_clock,
        segment_delivery: SEGMENT_DELIVERY_PERCENT,
    };
    judged(&before, options.sources.clone(), options.observed_from, |request| {
        if options.fixes { try_fixes(request, options.format) } else { try_change(request, &change, options.format) }
    })
}

/// What is to be different, or every mistake in it.
fn change(options: &cli::WhatIf) -> Result<Change, ExitCode> {
    let then = cli::Judging {
        catalog: options.catalog.clone(),
        mapping: options.mapping.clone(),
        // They give rollouts to a catalog; without another one that is the one before.
        flags: options.flags.clone().filter(|_| options.catalog.is_some()),
        clock: options.base_clock,
        segment_delivery: SEGMENT_DELIVERY_PERCENT,
    };
    let mut is_right = true;
    let mut mistake = |option: &str, refusal: &Refusal| {
        say(format_args!("{option} {refusal}"));
        is_right = false;
    };
    let mut change = Change { clock: options.clock.map(Into::into), ..Change::default() };
    for edit in &options.set {
        match CatalogEdit::parse(edit) {
            Ok(edit) => change.set.push(edit),
            Err(refusal) => mistake("--set", &refusal),
        }
    }
    for edit in &options.map_try {
        match MappingEdit::parse(edit) {
            Ok(edit) => change.map_try.push(edit),
            Err(refusal) => mistake("--map-try", &refusal),
        }
    }
    let (Given { catalog, destination, .. }, _) = given(&then)?;
    let name = |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|name| name.to_string());
    change.catalog = name(&options.catalog).zip(catalog);
    change.mapping = name(&options.mapping).zip(destination);
    if !is_right {
        return Err(ExitCode::from(BAD_INPUT));
    }
    if change.is_empty() && !options.fixes {
        say(
            "nothing is to be different: give --set, --map-try, --catalog, --mapping, --clock or --fixes (exptap what-if --help)",
        );
        return Err(ExitCode::from(BAD_INPUT));
    }
    Ok(change)
}

fn refused(change: &Change, refusal: &Refusal) -> Failure {
    let is_line = change.map_try.iter().any(|edit| edit.to_string() == refusal.edit);
    Failure::Change(format!("{} {refusal}", if is_line { "--map-try" } else { "--set" }))
}

fn try_change(request: &Request, change: &Change, format: DifferenceFormat) -> Result<Read, Failure> {
    let passes = Passes::open(request)?;
    let clock = change.clock.unwrap_or(request.clock);
    if clock == crate::attribution::state::Clock::Received {
        passes.need_arrivals()?;
    }
    // Before anything is judged: a mistake need not wait for a gigabyte.
    let catalog = change.apply(passes.catalog()).map_err(|refusal| refused(change, &refusal))?;
    if change.catalog.is_some() && passes.catalog().origin == Origin::Inferred {
        say("before, the events are judged by a catalog that is inferred from them; --base-catalog FILE names another");
    }
    let before = Judgement::of(&passes, passes.catalog().clone(), request.clock)?;
    let after = Judgement::of(&passes, catalog, clock)?;
    let difference = Difference::between(&before, &after, change.words());
    print(&difference, format)?;
    Ok(passes.read(before))
}

/// Tries the smallest set of changes that brings most conversions back, however many events there are.
fn try_fixes(request: &Request, format: DifferenceFormat) -> Result<Read, Failure> {
    let passes = Passes::open(request)?;
    let base = Judgement::of(&passes, passes.catalog().clone(), request.clock)?;
    let report = build::report(&base.state, &base.catalog);
    let mut bench = Bench::new(&passes, base);
    let Plan { fixes, change } = plan::make(&mut bench, &report)?;
    let catalog = change.apply(passes.catalog()).map_err(|refusal| refused(&change, &refusal))?;
    let after = Judgement::of(&passes, catalog, request.clock)?;
    let mut difference = Difference::between(bench.base(), &after, change.words());
    difference.fixes = Some(fixes);
    print(&difference, format)?;
    Ok(passes.read(bench.into_base()))
}

fn print(difference: &Difference, format: DifferenceFormat) -> Result<(), Failure> {
    let mut output = BufWriter::new(io::stdout().lock());
    match format {
        DifferenceFormat::Json => {
            serde_json::to_writer(&mut output, difference).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
        }
        DifferenceFormat::Text => output.write_all(text::text(difference).as_bytes())?,
        DifferenceFormat::Markdown => output.write_all(markdown::text(difference).as_bytes())?,
    }
    Ok(output.flush()?)
}
