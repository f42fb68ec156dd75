//! The edge: commands, files, sockets and the terminal meet the core here.

use crate::cli::{Cli, Command, Format};
use crate::headless::{self, Failure, Request};
use crate::input::Source;
use clap::Parser;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Exit code for bad use or input.
pub const BAD_INPUT: u8 = 2;

/// Says something to the person, on standard error. A closed standard error is no reason to stop.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Listen(cli.listen)) {
        Command::Report(options) => judged(&options.judging, options.sources, options.observed_from, |request| {
            let read = headless::read(request)?;
            let report = read.report();
            let mut output = BufWriter::new(io::stdout().lock());
            match options.format {
                Format::Json => {
                    serde_json::to_writer(&mut output, &report).map_err(io::Error::from)?;
                    output.write_all(b"\n")?;
                }
                Format::Table => {}
            }
            output.flush()?;
            Ok(read.unreadable)
        }),
        Command::Verdicts(options) => judged(&options.judging, options.sources, options.observed_from, |request| {
            let mut output = BufWriter::new(io::stdout().lock());
            Ok(headless::verdicts(request, &mut output)?.unreadable)
        }),
        _ => ExitCode::SUCCESS,
    }
}

/// Runs a command that judges files, and says what could not be read.
fn judged(
    judging: &crate::cli::Judging,
    sources: Vec<String>,
    observed_from_ms: Option<i64>,
    run: impl FnOnce(&Request) -> Result<Option<(u64, String)>, Failure>,
) -> ExitCode {
    let catalog = match judging.catalog.as_deref().map(headless::read_catalog).transpose() {
        Ok(catalog) => catalog,
        Err(message) => {
            say(message);
            return BAD_INPUT.into();
        }
    };
    let sources: Vec<Source> = sources.iter().map(|source| Source::parse(source)).collect();
    if sources.contains(&Source::Stdin) && io::stdin().is_terminal() {
        say("reading events from the terminal; end with Ctrl-D");
    }
    let request = Request { sources, catalog, clock: judging.clock.into(), observed_from_ms };
    match run(&request) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((count, first))) => {
            say(format_args!("{count} of the events could not be read; the first because {first}"));
            ExitCode::SUCCESS
        }
        // A reader that has seen enough closes the pipe; that is not a fault.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            say(failure);
            BAD_INPUT.into()
        }
    }
}
