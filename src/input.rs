//! Reading text from files and standard input: plain, gzip or zstd, a line or an array at a time.

use crate::envelope::GZIP_MAGIC;
use crate::recording::frames::{Frames, Step};
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much is read at a time where events stand on lines.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// The longest line that is read; the rest of a longer one is left out, so that a file without line feeds cannot
/// take all memory. An array is read whole, whatever its size.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// How much is read to know a source by its first line: the header of a recording holds a catalog.
const MAX_HEAD_BYTES: usize = 32 * 1024 * 1024;

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

/// A piece of a source.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Text: lines where events stand on lines, otherwise everything.
    Text(Chunk<'a>),
    /// Something is missing here, and reading goes on behind it: before which line, and what is wrong.
    LeftOut(u64, &'a str),
    /// The rest is damaged: on which line it breaks off, and what is wrong.
    Damaged(u64, &'a str),
}

/// Text, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The text; what is not UTF-8 is replaced.
    pub text: &'a str,
    raw: &'a [u8],
    line: u64,
}

impl<'a> Chunk<'a> {
    /// A text that is the whole of its source.
    pub fn whole(text: &'a str) -> Self {
        Self { text, raw: text.as_bytes(), line: 1 }
    }

    /// The lines, each with its number and with the line feed that ends it.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &'a str)> {
        (self.line..).zip(self.text.split_inclusive('\n'))
    }

    /// Line and byte of the line, both from 1, of an offset in the text.
    pub fn place(&self, offset: usize) -> (u64, u64) {
        let before = self.raw.get(..self.raw_offset(offset)).unwrap_or(self.raw);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        (self.line + line_feeds(before), (before.len() - line_start) as u64 + 1)
    }

    /// The offset in the source's own bytes, some of which may have been replaced by longer ones.
    fn raw_offset(&self, offset: usize) -> usize {
        let (mut text, mut raw) = (0, 0);
        for chunk in self.raw.utf8_chunks() {
            let valid = chunk.valid().len();
            if offset <= text + valid {
                return raw + (offset - text);
            }
            text += valid + char::REPLACEMENT_CHARACTER.len_utf8();
            raw += valid + chunk.invalid().len();
        }
        raw
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
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

    /// An error that names this source.
    pub(crate) fn error(&self, what: impl Into<String>) -> InputError {
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

    /// Whether it can be opened again and gives the same: a pipe, named or not, is empty the second time.
    pub fn can_be_read_again(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }

    /// Reads the source a few MiB at a time. Events on lines are cut between lines; anything else comes in one piece.
    /// Returns how many line feeds were read.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn pieces(&self, visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
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
        let whole = vec![Part { source: self.clone(), range: None }];
        let Self::File(path) = self else { return Ok(whole) };
        if !self.can_be_read_again() {
            return Ok(whole);
        }
        let mut file = self.open_file(path)?;
        let length = file.metadata().map_err(|error| self.error(error.to_string()))?.len();
        let mut head = Vec::new();
        (&mut file).take(64 * 1024).read_to_end(&mut head).map_err(|error| self.error(error.to_string()))?;
        // What is compressed has no lines to be cut between, whatever its bytes look like.
        if length < 2 * CHUNK_BYTES as u64 || Compression::of(&head).is_some() || !stands_on_lines(&head) {
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

    /// Opens it, and reads the beginning: as much as it takes to know its first line.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn open(&self) -> Result<Opened, InputError> {
        let mut reader: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(self.open_file(path)?),
        };
        let (mut head, mut read) = (Vec::new(), vec![0; 64 * 1024]);
        // Looked for each time there is twice as much, not each time there is more.
        let mut look_at = 0;
        loop {
            let bytes = match reader.read(&mut read) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unread(&error)),
            };
            head.extend_from_slice(read.get(..bytes).unwrap_or_default());
            let is_all = bytes == 0 || head.len() > MAX_HEAD_BYTES;
            if head.len() < look_at && !is_all {
                continue;
            }
            look_at = head.len() * 2;
            let first_line = first_line(&head);
            if is_all || first_line.is_some() {
                return Ok(Opened { source: self.clone(), head, reader, first_line });
            }
        }
    }

    fn read(&self, mut reader: impl Read, mut visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
        let mut head = Vec::new();
        (&mut reader).take(4).read_to_end(&mut head).map_err(|error| self.unread(&error))?;
        let compression = Compression::of(&head);
        let reader = head.as_slice().chain(reader);
        let mut progress = Progress::default();
        match compression {
            Some(Compression::Gzip) => {
                let decoder = BufReader::new(MultiGzDecoder::new(BufReader::new(reader)));
                self.read_text(decoder, compression, &mut progress, &mut visit)?;
            }
            Some(Compression::Zstd) => self.read_frames(reader, &mut progress, &mut visit)?,
            None => self.read_text(reader, None, &mut progress, &mut visit)?,
        }
        Ok(progress.line - 1)
    }

    /// Reads what zstd compressed, frame by frame: a damaged one costs only itself.
    fn read_frames(
        &self,
        reader: impl Read,
        progress: &mut Progress,
        visit: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), InputError> {
        let frames = Frames::new(reader).map_err(|error| self.unread(&error))?;
        let mut text = FrameText { frames, content: io::Cursor::default(), interruption: None };
        loop {
            self.read_text(&mut text, None, progress, visit)?;
            match text.interruption.take() {
                Some(Step::LeftOut { from, to, why }) => {
                    let what = format!("bytes {from} to {to} of the file are damaged and are left out: {why}");
                    visit(Piece::LeftOut(progress.line, &what));
                }
                Some(Step::BrokenOff { from, why }) => {
                    let what = format!("the zstd stream is damaged from byte {from} of the file on: {why}");
                    visit(Piece::Damaged(progress.line, &what));
                }
                Some(Step::Content(_)) | None => return Ok(()),
            }
        }
    }

    fn unread(&self, error: &io::Error) -> InputError {
        self.error(format!("it cannot be read: {error}"))
    }

    fn read_text(
        &self,
        mut reader: impl Read,
        compression: Option<Compression>,
        progress: &mut Progress,
        visit: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), InputError> {
        let Progress { line, on_lines } = progress;
        let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK_BYTES + 64 * 1024);
        // What is left of a line that is too long is read and left out.
        let mut is_skipping = false;
        loop {
            let before = buffer.len();
            let read = (&mut reader).take(CHUNK_BYTES as u64).read_to_end(&mut buffer);
            if is_skipping {
                let end = memchr::memchr(b'\n', &buffer);
                is_skipping = end.is_none();
                // The line feed stays: it ends the line that was cut.
                buffer.drain(..end.unwrap_or(buffer.len()));
            }
            let on_lines = *on_lines.get_or_insert_with(|| stands_on_lines(&buffer));
            match read {
                Ok(0) => {
                    visit_text(&buffer, line, visit);
                    return Ok(());
                }
                Ok(_) => {}
                // What the decompressor says; what came before is as good as ever.
                Err(error) if let Some(compression) = compression.filter(|_| is_damage(&error)) => {
                    visit_text(&buffer, line, visit);
                    let name = compression.name();
                    visit(Piece::Damaged(*line, &format!("the {name} stream is damaged from here on: {error}")));
                    return Ok(());
                }
                Err(error) => return Err(self.unread(&error)),
            }
            if !on_lines {
                continue;
            }
            let searched = buffer.get(before.min(buffer.len())..).unwrap_or_default();
            let cut = memchr::memrchr(b'\n', searched).map(|at| buffer.len() - searched.len() + at + 1);
            is_skipping |= cut.is_none() && buffer.len() > MAX_LINE_BYTES;
            if let Some(cut) = cut.or(is_skipping.then_some(buffer.len())) {
                let rest = buffer.split_off(cut);
                visit_text(&buffer, line, visit);
                buffer = rest;
                buffer.reserve(CHUNK_BYTES + 64 * 1024);
            }
        }
    }
}

/// How far reading has come.
struct Progress {
    line: u64,
    /// Whether events stand on lines; not known before anything is read.
    on_lines: Option<bool>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { line: 1, on_lines: None }
    }
}

/// The content of frames as text, up to where something is missing.
struct FrameText<R> {
    frames: Frames<R>,
    content: io::Cursor<Vec<u8>>,
    interruption: Option<Step>,
}

impl<R: Read> Read for FrameText<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.content.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.interruption.is_some() {
                return Ok(read);
            }
            match self.frames.step()? {
                Some(Step::Content(content)) => self.content = io::Cursor::new(content),
                interruption => {
                    let is_end = interruption.is_none();
                    self.interruption = interruption;
                    if is_end {
                        return Ok(0);
                    }
                }
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
    /// Reads the part a few MiB at a time, lines numbered from 1 within the part. Returns how many line feeds were
    /// read.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub fn pieces(&self, visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
        match (&self.source, self.range) {
            (Source::File(path), Some((from, to))) => {
                let mut file = self.source.open_file(path)?;
                file.seek(SeekFrom::Start(from)).map_err(|error| self.source.error(error.to_string()))?;
                let mut visit = visit;
                let mut progress = Progress::default();
                self.source.read_text(file.take(to - from), None, &mut progress, &mut visit)?;
                Ok(progress.line - 1)
            }
            _ => self.source.pieces(visit),
        }
    }
}

/// What a decompressor says of its data, as against what the file system says of the file.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other) && error.raw_os_error().is_none()
}

/// How a file is compressed, by its first bytes: names lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// Recognises it by the first four bytes.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            head if head.starts_with(&GZIP_MAGIC) => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // A file may begin with a frame that holds no data.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn decoder<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(reader))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(reader)?),
        })
    }
}

/// A source that was opened, with its beginning.
pub struct Opened {
    source: Source,
    head: Vec<u8>,
    reader: Box<dyn Read + Send>,
    first_line: Option<String>,
}

impl Opened {
    /// The first line, decompressed; none where there is no line, or none within reason.
    pub fn first_line(&self) -> Option<&str> {
        self.first_line.as_deref()
    }

    /// What was read of it, as it stands in the source, and the rest.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Box<dyn Read + Send>) {
        (self.head, self.reader)
    }

    /// Reads all of it, as [`Source::pieces`] does.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn pieces(self, visit: impl FnMut(Piece<'_>)) -> Result<u64, InputError> {
        self.source.read(self.head.as_slice().chain(self.reader), visit)
    }
}

/// The first line of what begins with these bytes, if all of it is here. Of compressed data the end is missing, so
/// what the decompressor says when it comes to it is no fault.
fn first_line(head: &[u8]) -> Option<String> {
    let line = |bytes: &[u8]| {
        let end = memchr::memchr(b'\n', bytes)?;
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
    };
    let Some(compression) = Compression::of(head) else { return line(head) };
    let mut decoder = compression.decoder(head).ok()?;
    let (mut decoded, mut read) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let bytes = decoder.read(&mut read).unwrap_or_default();
        decoded.extend_from_slice(read.get(..bytes).unwrap_or_default());
        let found = line(&decoded);
        if found.is_some() || bytes == 0 || decoded.len() > MAX_HEAD_BYTES {
            return found;
        }
    }
}

/// Whether events stand on lines, judging by the beginning: its first line is a whole object, or an object that is
/// longer than the beginning.
pub(crate) fn stands_on_lines(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next().unwrap_or("");
    // A first line that is not JSON at all may be damaged; an array, or an object that goes on, is not on lines.
    !line.starts_with('[')
        && !(matches!(line.trim_end(), "{" | "{}"))
        && (!line.starts_with('{') || line.trim_end().ends_with('}') || !text.contains('\n'))
}

/// Hands on some of the text, and counts its lines.
fn visit_text(bytes: &[u8], line: &mut u64, visit: &mut impl FnMut(Piece<'_>)) {
    let raw = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !raw.is_empty() {
        // Checking is several times faster than looking for what to replace, and there hardly ever is anything.
        let text = std::str::from_utf8(raw).map_or_else(|_| String::from_utf8_lossy(raw), Cow::Borrowed);
        visit(Piece::Text(Chunk { text: &text, raw, line: *line }));
    }
    *line += line_feeds(bytes);
}
