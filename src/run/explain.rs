//! `exptap explain`.

use super::answer::{columns, filter};
use super::{BAD_INPUT, judged, say};
use crate::cli::{self, StoryFormat};
use crate::explain::collect::{Collector, Missing, verdicts_of};
use crate::explain::text;
use crate::headless::{Failure, Passes, Read, Request};
use crate::query::Query;
use crate::verdicts::Judged;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Tells the story of one unit.
pub(super) fn run(options: cli::Explain) -> ExitCode {
    let filter = match filter(options.filter.as_deref()) {
        Ok(filter) => filter,
        Err(code) => return code,
    };
    if options.unit.is_empty() {
        say("the unit is empty; expected kind/key, such as user/u-1");
        return ExitCode::from(BAD_INPUT);
    }
    let mut is_missing = false;
    let code = judged(&options.judging, vec![options.source.clone()], options.observed_from, |request| {
        let (read, is_told) = tell(request, &options, &filter)?;
        is_missing = !is_told;
        Ok(read)
    });
    if is_missing { ExitCode::from(BAD_INPUT) } else { code }
}

fn tell(request: &Request, options: &cli::Explain, filter: &Query) -> Result<(Read, bool), Failure> {
    let passes = Passes::open(request)?;
    let mut collector = Collector::new(&options.unit);
    let read = passes.events(request.clock, |state, catalog, arrival, received| {
        collector.take(state, catalog, arrival, received);
    })?;
    let mut other_clock = HashMap::new();
    if collector.has_arrivals() {
        // A second pass instead of a second state beside the first: it holds half as much at a time, and on a source
        // of plain events it is not needed at all.
        let mut judged = Vec::new();
        let other = passes.events(request.clock.other(), |state, _, arrival, received| {
            let event = Judged::new(state, &received, arrival.request, arrival.arrival_ms);
            if collector.has(event.event) {
                judged.push(event);
            }
        })?;
        other_clock = judged.iter().map(|event| (event.event, verdicts_of(&other.state, event))).collect();
    }
    match collector.story(&read.state, &read.catalog, &other_clock, filter) {
        Ok(story) => {
            let mut output = BufWriter::new(io::stdout().lock());
            match options.format {
                StoryFormat::Json => {
                    serde_json::to_writer(&mut output, &story).map_err(io::Error::from)?;
                    output.write_all(b"\n")?;
                }
                StoryFormat::Text => output.write_all(text::text(&story, columns()).as_bytes())?,
            }
            output.flush()?;
            Ok((read, true))
        }
        Err(missing) => {
            say_missing(&options.unit, &missing);
            Ok((read, false))
        }
    }
}

fn say_missing(unit: &str, missing: &Missing) {
    match missing {
        Missing::Ambiguous(units) => {
            say(format_args!("{unit}: several kinds have this key, and each is a unit of its own; ask for one of"));
            for (unit, events) in units {
                say(format_args!("  {unit}  {events} {}", if *events == 1 { "event" } else { "events" }));
            }
        }
        Missing::Unknown(near) if near.is_empty() => {
            say(format_args!("{unit}: no event carries it, nor anything like it; expected kind/key, such as user/u-1"));
        }
        Missing::Unknown(near) => {
            say(format_args!("{unit}: no event carries it; what comes near:"));
            for (unit, how) in near {
                say(format_args!("  {unit}  {how}"));
            }
        }
    }
}
