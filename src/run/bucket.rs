//! `exptap bucket`, and reading a flag payload for the commands that judge by it.

use super::{BAD_INPUT, say};
use crate::bucketing::answer::{Find, answer};
use crate::bucketing::payload::{self, Payload};
use crate::cli::{self, StoryFormat};
use crate::near_miss::nearest;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// Says where keys fall.
pub(super) fn run(options: &cli::Bucket) -> ExitCode {
    let payload = match read_flags(&options.flags) {
        Ok(payload) => payload,
        Err(code) => return code,
    };
    let key = &options.flag;
    let Some(flag) = payload.flags.get(key) else {
        let near = nearest(key, payload.flags.keys().map(String::as_str));
        let advice = near
            .map_or_else(|| format!("it has {} others", payload.flags.len()), |near| format!("did you mean {near}?"));
        say(format_args!("{}: there is no flag {key} in it; {advice}", options.flags.display()));
        return BAD_INPUT.into();
    };
    if flag.rules.is_empty() {
        say(format_args!("{key}: no rule of it deals out by percentage, so a key has no bucket"));
        return BAD_INPUT.into();
    }
    let find = options.find.map(|count| Find { count: usize::from(count), prefix: &options.prefix });
    let answer = answer(key, flag, &options.units, find);
    let written = match options.format {
        StoryFormat::Json => serde_json::to_string(&answer).map_err(io::Error::from).map(|json| json + "\n"),
        StoryFormat::Text => Ok(answer.text()),
    };
    match written.and_then(|text| io::stdout().lock().write_all(text.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot write: {error}"));
            BAD_INPUT.into()
        }
    }
}

/// Reads a flag payload, and says what of it cannot be read; without any flag in it there is nothing to go on with.
pub(super) fn read_flags(path: &Path) -> Result<Payload, ExitCode> {
    let name = path.display();
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    if let Err(error) = read {
        say(format_args!("{name}: the flags cannot be read: {error}"));
        return Err(BAD_INPUT.into());
    }
    let payload = payload::read(&String::from_utf8_lossy(&bytes));
    payload.faults.iter().for_each(|fault| say(format_args!("{name}: {fault}")));
    if payload.flags.is_empty() {
        if payload.faults.is_empty() {
            say(format_args!("{name}: there is no flag in it"));
        }
        return Err(BAD_INPUT.into());
    }
    Ok(payload)
}
