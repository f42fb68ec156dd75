//! `exptap diff`.

use super::answer::short_name;
use super::{BAD_INPUT, failed, named, read_flags, say, tell};
use crate::catalog::{Catalog, Given};
use crate::cli::{self, Format};
use crate::diff::difference::Pair;
use crate::diff::{Gathering, Same, Side, difference, markdown, text};
use crate::headless::{Failure, Passes, Request};
use crate::input::Source;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// Judges two recordings, and prints what is different.
pub(super) fn run(options: cli::Diff) -> ExitCode {
    let (given, flags) = match named(&options.judging).and_then(|given| Ok((given, read_flags(&options.judging)?))) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let sources = [&options.before, &options.after].map(|source| Source::parse(source));
    if sources.iter().all(|source| *source == Source::Stdin) {
        say("standard input can be one of the two, and not both");
        return BAD_INPUT.into();
    }
    let Given { catalog, destination: mapping, .. } = given;
    let [before, after] = sources.map(|source| Request {
        sources: vec![source],
        catalog: catalog.clone(),
        mapping: mapping.clone(),
        flags: flags.clone(),
        clock: options.judging.clock.into(),
        observed_from_ms: None,
        segment_delivery_percent: options.judging.segment_delivery,
    });
    match compare(&options, &before, &after) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(failure),
    }
}

fn compare(options: &cli::Diff, before: &Request, after: &Request) -> Result<(), Failure> {
    let clock = before.clock;
    let (before, after, note) = Passes::open_two(before, after)?;
    note.iter().for_each(say);
    let summed_up = |passes: &Passes, name: &str| -> Result<Side, Failure> {
        let mut gathering = Gathering::default();
        let read = passes.events(clock, |state, _, arrival, received| gathering.take(state, &arrival, &received))?;
        tell(&read);
        Ok(gathering.end(short_name(name), &read.state, &read.catalog))
    };
    let is_same = same(before.catalog(), after.catalog());
    let before = summed_up(&before, &options.before)?;
    let after = summed_up(&after, &options.after)?;
    let difference = difference(Pair { before: &before, after: &after }, is_same);
    let mut output = BufWriter::new(io::stdout().lock());
    match options.format {
        Format::Json => {
            serde_json::to_writer(&mut output, &difference).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
        }
        Format::Table => output.write_all(text::text(&difference).as_bytes())?,
        Format::Markdown => output.write_all(markdown::text(&difference).as_bytes())?,
    }
    output.flush()?;
    Ok(())
}

/// What of the two catalogs is the same, wherever each was found.
fn same(before: &Catalog, after: &Catalog) -> Same {
    let mapping = before.destination == after.destination;
    let alike = Catalog { origin: after.origin, destination: Arc::clone(&after.destination), ..before.clone() };
    Same { catalog: alike == *after, mapping }
}
