//! Reading events from files and standard input: plain or gzip, a line or an array at a time.

use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much is read at a time where events stand on lines.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// The longest line that is read as one; what is longer is cut, so that a file without line feeds cannot take all
/// memory. An array is read whole, whatever its size.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Where events are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}")]
pub struct InputError {
    name: String,
    what: String,
}

impl Source {
    /// `-` is standard input.
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Stdin } else { Self::File(text.into()) }
    }

    /// The name shown as the sender of its events.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => {
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    fn error(&self, what: impl Into<String>) -> InputError {
        let name = match self {
            Self::Stdin => self.name(),
            Self::File(path) => path.display().to_string(),
        };
        InputError { name, what: what.into() }
    }

    fn open_file(&self, path: &Path) -> Result<File, InputError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.error("there is no such file"),
            _ => self.error(format!("it cannot be opened: {error}")),
        })?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(self.error("this is a folder; name a file of events"));
        }
        Ok(file)
    }

    /// Reads the whole source into memory, decompressed: for what has to be looked at twice and cannot be opened
    /// twice.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn read_whole(&self) -> Result<String, InputError> {
        let mut whole = String::new();
        self.chunks(|chunk| whole.push_str(chunk))?;
        Ok(whole)
    }

    /// Reads the source a few MiB at a time. Events on lines are cut between lines; anything else comes in one piece.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn chunks(&self, visit: impl FnMut(&str)) -> Result<(), InputError> {
        match self {
            Self::Stdin => self.read(io::stdin().lock(), visit),
            Self::File(path) => self.read(self.open_file(path)?, visit),
        }
    }

    /// Cuts a plain file of lines into parts of about equal size, to be read side by side. One part where it is not
    /// plain lines or not worth it.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn parts(&self, count: usize) -> Result<Vec<Part>, InputError> {
        let Self::File(path) = self else { return Ok(vec![Part { source: self.clone(), range: None }]) };
        let whole = vec![Part { source: self.clone(), range: None }];
        let mut file = self.open_file(path)?;
        let length = file.metadata().map_err(|error| self.error(error.to_string()))?.len();
        let mut head = Vec::new();
        (&mut file).take(64 * 1024).read_to_end(&mut head).map_err(|error| self.error(error.to_string()))?;
        if length < 2 * CHUNK_BYTES as u64 || !stands_on_lines(&head) {
            return Ok(whole);
        }
        let mut cuts = vec![0];
        for part in 1..count as u64 {
            let wanted = length / count as u64 * part;
            file.seek(SeekFrom::Start(wanted)).map_err(|error| self.error(error.to_string()))?;
            let mut window = Vec::new();
            (&mut file)
                .take(CHUNK_BYTES as u64)
                .read_to_end(&mut window)
                .map_err(|error| self.error(error.to_string()))?;
            let Some(line_end) = memchr::memchr(b'\n', &window) else { return Ok(whole) };
            cuts.push(wanted + line_end as u64 + 1);
        }
        cuts.push(length);
        cuts.dedup();
        Ok(cuts
            .iter()
            .zip(cuts.iter().skip(1))
            .map(|(from, to)| Part { source: self.clone(), range: Some((*from, *to)) })
            .collect())
    }

    fn read(&self, mut reader: impl Read, mut visit: impl FnMut(&str)) -> Result<(), InputError> {
        let mut head = vec![0; 2];
        let mut have = 0;
        while have < head.len() {
            match reader.read(head.get_mut(have..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(format!("it cannot be read: {error}"))),
            }
        }
        head.truncate(have);
        let reader = head.as_slice().chain(reader);
        if head == [0x1f, 0x8b] {
            self.read_text(BufReader::new(MultiGzDecoder::new(BufReader::new(reader))), &mut visit)
        } else {
            self.read_text(reader, &mut visit)
        }
    }

    fn read_text(&self, mut reader: impl Read, visit: &mut impl FnMut(&str)) -> Result<(), InputError> {
        let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK_BYTES + 64 * 1024);
        let mut on_lines = None;
        loop {
            let before = buffer.len();
            let read = (&mut reader).take(CHUNK_BYTES as u64).read_to_end(&mut buffer);
            let on_lines = *on_lines.get_or_insert_with(|| stands_on_lines(&buffer));
            if let Err(error) = read {
                // What came before the fault is still worth seeing; the fault is said all the same.
                visit_text(&buffer, visit);
                return Err(self.error(format!("it cannot be read to its end: {error}")));
            }
            if buffer.len() == before {
                visit_text(&buffer, visit);
                return Ok(());
            }
            if !on_lines {
                continue;
            }
            let cut = memchr::memrchr(b'\n', &buffer)
                .map(|at| at + 1)
                .or((buffer.len() > MAX_LINE_BYTES).then_some(buffer.len()));
            if let Some(cut) = cut {
                let rest = buffer.split_off(cut);
                visit_text(&buffer, visit);
                buffer = rest;
                buffer.reserve(CHUNK_BYTES + 64 * 1024);
            }
        }
    }
}

/// A part of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    source: Source,
    range: Option<(u64, u64)>,
}

impl Part {
    /// Reads the part a few MiB at a time.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn chunks(&self, visit: impl FnMut(&str)) -> Result<(), InputError> {
        match (&self.source, self.range) {
            (Source::File(path), Some((from, to))) => {
                let mut file = self.source.open_file(path)?;
                file.seek(SeekFrom::Start(from)).map_err(|error| self.source.error(error.to_string()))?;
                let mut visit = visit;
                self.source.read_text(file.take(to - from), &mut visit)
            }
            _ => self.source.chunks(visit),
        }
    }
}

/// Whether events stand on lines, judging by the beginning: its first line is a whole object.
fn stands_on_lines(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next().unwrap_or("");
    // A first line that is not JSON at all may be damaged; an array, or an object that goes on, is not on lines.
    !line.starts_with('[')
        && !(matches!(line.trim_end(), "{" | "{}"))
        && (!line.starts_with('{') || line.trim_end().ends_with('}'))
}

fn visit_text(bytes: &[u8], visit: &mut impl FnMut(&str)) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !bytes.is_empty() {
        match std::str::from_utf8(bytes) {
            Ok(text) => visit(text),
            Err(_) => visit(&String::from_utf8_lossy(bytes)),
        }
    }
}
