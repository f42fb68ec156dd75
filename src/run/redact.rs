//! `exptap redact`: files in and out; what is replaced is decided in [`crate::redact`].

use super::{BAD_INPUT, say};
use crate::cli;
use crate::headless;
use crate::input::{Piece, Source};
use crate::recording;
use crate::redact::{Keep, Key, Redactor};
use flate2::write::GzEncoder;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// A frame of zstd holds so much at the most, so that a reader can begin anywhere.
const FRAME_BYTES: usize = 1024 * 1024;

/// Redacts, and says what was replaced and what was kept.
pub(super) fn run(options: &cli::Redact) -> ExitCode {
    match redact(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Told(what)) => {
            say(what);
            BAD_INPUT.into()
        }
    }
}

enum Failure {
    /// The reader of standard output has seen enough.
    Closed,
    Told(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Told(what)
    }
}

fn redact(options: &cli::Redact) -> Result<(), Failure> {
    let source = Source::parse(&options.source);
    let output = options.output.as_deref().filter(|output| *output != Path::new("-") && !options.dry_run);
    if let (Source::File(input), Some(output)) = (&source, output) {
        refuse_the_input(input, output)?;
    }
    let catalog = options.catalog.as_deref().map(headless::read_catalog).transpose()?;
    let opened = source.open().map_err(|error| error.to_string())?;
    let header = opened
        .first_line()
        .filter(|line| recording::is_header(line))
        .map(|line| recording::parse_header(line, &source.name()))
        .transpose()
        .map_err(|error| format!("{}: {error}", source.name()))?;
    // A catalog that is named is the one to judge by, and travels in the header in the place of the other.
    let mapping = options.mapping.as_deref().map(super::map::read_mapping).transpose()?.map(Arc::new);
    let header = header.map(|mut header| {
        header.catalog = catalog.clone().or(header.catalog);
        header.mapping = mapping.as_ref().map(|mapping| mapping.to_json()).or(header.mapping);
        header
    });
    let recorded = header.as_ref().and_then(|header| header.given().destination);
    let judged_by = header.as_ref().map_or(catalog.as_ref(), |header| header.catalog.as_ref());
    let mut redactor =
        Redactor::new(&key()?, judged_by, header.is_some(), &options.keep).map_err(|refusal| refusal.to_string())?;
    redactor = redactor.mapped_by(mapping.or(recorded).unwrap_or_default());
    if header.as_ref().is_some_and(|header| header.has_flags) && !options.keep.contains(&Keep::Keys) {
        say(
            "flags that passed by are left out: what they prove is computed from context keys, which are replaced; verdicts \
             that rest on them come out as without them (--keep keys keeps both)",
        );
    }
    let mut sink = match output {
        _ if options.dry_run => Sink::new(Target::Nowhere, Packing::Plain),
        Some(path) => Sink::new(Target::file(path)?, Packing::of(path)),
        None => Sink::new(Target::Stdout, Packing::Plain),
    };
    if let Some(header) = &header {
        recording::write_header(&mut sink.buffer, &redactor.header(header));
    }
    let mut notes = Vec::new();
    opened
        .pieces(|piece| match (piece, header.is_some()) {
            (Piece::Text(chunk), true) => {
                for (_, line) in chunk.lines() {
                    redactor.line(line, &mut sink.buffer);
                    sink.drain();
                }
            }
            (Piece::Text(chunk), false) => {
                sink.buffer.extend_from_slice(redactor.plain(chunk.text).as_bytes());
                sink.drain();
            }
            (Piece::LeftOut(line, what), is_recording) => {
                notes.push(format!("{}, line {line}: {what}", source.name()));
                if is_recording {
                    redactor.loss(1, &mut sink.buffer);
                }
            }
            (Piece::Damaged(line, what), is_recording) => {
                notes.push(format!("{}, line {line}: {what}", source.name()));
                if !is_recording {
                    sink.buffer.extend_from_slice(redactor.damaged().as_bytes());
                }
            }
        })
        .map_err(|error| error.to_string())?;
    let list = redactor.list();
    if list.events == 0 && list.unreadable > 0 {
        return Err(Failure::Told(format!(
            "nothing readable: nothing in {} is a LaunchDarkly event, so there is nothing worth sharing; no file was written",
            source.name()
        )));
    }
    if list.exported > 0 {
        return Err(Failure::Told(format!(
            "{} holds {} events as LaunchDarkly exports them, or as ldcli keeps them; these cannot be redacted yet so that they come to the same: share the report instead (exptap report --format markdown); no file was written",
            source.name(),
            list.exported
        )));
    }
    if let Some((count, first)) = &list.differing {
        return Err(Failure::Told(format!(
            "of {count} Segment events in {} the mapping makes something else once they are redacted, so that the copy would not come to the same ({first}): keep the ids (--keep keys), or share the report instead (exptap report --format markdown); no file was written",
            source.name()
        )));
    }
    sink.finish()?;
    notes.into_iter().for_each(say);
    say(list);
    match (output, options.dry_run) {
        (Some(path), _) => {
            say(format_args!("{} can be shared; read docs/redact.md for what that means", path.display()))
        }
        (None, true) => say("a dry run: nothing was written"),
        (None, false) => {}
    }
    Ok(())
}

/// The key of this run. Nobody else ever sees it.
fn key() -> Result<Key, String> {
    let mut key = Key::default();
    getrandom::fill(&mut key).map_err(|error| format!("this machine gives no random numbers: {error}"))?;
    Ok(key)
}

fn refuse_the_input(input: &Path, output: &Path) -> Result<(), String> {
    let (Ok(one), Ok(other)) = (input.metadata(), output.metadata()) else { return Ok(()) };
    if (one.dev(), one.ino()) == (other.dev(), other.ino()) {
        return Err(format!("{} is what is to be redacted: name another file with --output", output.display()));
    }
    Ok(())
}

enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

enum Target {
    Nowhere,
    Stdout,
    /// Written beside the file it becomes in the end: a half redacted file is never there. Only its owner can read it.
    File(NamedTempFile, PathBuf),
}

impl Target {
    fn file(path: &Path) -> Result<Self, String> {
        if path.is_dir() {
            return Err(format!("{} is a folder; name a file", path.display()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tempfile::Builder::new()
            .prefix(".exptap-")
            .suffix(".partial")
            .tempfile_in(folder)
            .map(|file| Self::File(file, path.to_owned()))
            .map_err(|error| format!("{}: nothing can be written there: {error}", folder.display()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => io::stdout().lock().write_all(bytes),
            Self::File(file, _) => file.write_all(bytes),
        }
    }
}

struct Sink {
    buffer: Vec<u8>,
    target: Target,
    packing: Packing,
    gzip: GzEncoder<Vec<u8>>,
    /// Of several failures the first is told.
    failed: Option<io::Error>,
}

impl Sink {
    fn new(target: Target, packing: Packing) -> Self {
        let gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
        Self { buffer: Vec::new(), target, packing, gzip, failed: None }
    }

    /// Hands on what there is, if it is enough.
    fn drain(&mut self) {
        if self.buffer.len() >= FRAME_BYTES {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let bytes = std::mem::take(&mut self.buffer);
        if self.failed.is_none() {
            self.failed = self.pack(&bytes).err();
        }
    }

    fn pack(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.packing {
            Packing::Plain => self.target.write(bytes),
            Packing::Gzip => {
                self.gzip.write_all(bytes)?;
                let packed = std::mem::take(self.gzip.get_mut());
                self.target.write(&packed)
            }
            Packing::Zstd => {
                for frame in bytes.chunks(FRAME_BYTES) {
                    self.target.write(&zstd::stream::encode_all(frame, 0)?)?;
                }
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.hand_on();
        if let Some(error) = self.failed {
            return Err(Self::told(&error));
        }
        let rest = match self.packing {
            Packing::Gzip => self.gzip.finish(),
            _ => Ok(Vec::new()),
        };
        rest.and_then(|rest| self.target.write(&rest)).map_err(|error| Self::told(&error))?;
        match self.target {
            Target::File(file, path) => {
                file.as_file().sync_all().map_err(|error| Self::told(&error))?;
                file.persist(&path).map_err(|error| format!("{}: {}", path.display(), error.error))?;
                Ok(())
            }
            Target::Stdout => io::stdout().lock().flush().map_err(|error| Self::told(&error)),
            Target::Nowhere => Ok(()),
        }
    }

    fn told(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Told(format!("cannot write: {error}")),
        }
    }
}
