//! A recording as text that can be read from anywhere.
//!
//! A plain file is read where it stands, and one in frames with a seek table, as the recorder writes it, frame by
//! frame. What can only be read from its beginning (a pipe, gzip, zstd that has no table or is damaged) is written, decompressed, into an unnamed temporary file while it is read for the first time, and read
//! from there ever after: it holds no more than the recording does, nobody else can open it, and it is gone with the
//! program. The alternative, to decompress again from the beginning for every step back, takes seconds for a file
//! that a step must show within a fifth of one.

use crate::input::{Compression, InputError, Source, is_damage};
use crate::recording::frames::{self, FrameError, FrameIndex, Frames};
use crate::recording::{self, Header, HeaderError};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is decompressed at a time.
const SPOOL_BYTES: usize = 256 * 1024;
/// How much is decompressed to know a file that has no line.
const LOOKED_AT: u64 = 64 * 1024;

/// Why a recording cannot be opened. Each is one sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is nothing in it.
    #[error("{0}: the file is empty; a recording begins with a header, even if nothing was received")]
    Empty(String),
    /// It holds events, and no requests.
    #[error(
        "{0}: these are plain events, not a recording, so it is not known when they arrived: `exptap tail {0}` shows them, `exptap report {0}` sums them up"
    )]
    PlainEvents(String),
    /// It is compressed, and nothing of it can be read.
    #[error("{name}: the {compression} stream is damaged from its beginning ({what}); nothing of it was read")]
    Compressed {
        /// Its name.
        name: String,
        /// How it is compressed.
        compression: &'static str,
        /// What the decompressor says.
        what: String,
    },
    /// Its first line is not a header that can be read.
    #[error("{name}: {error}")]
    Header {
        /// Its name.
        name: String,
        /// Why.
        error: HeaderError,
    },
    /// There is no room for what is read of it.
    #[error("{name}: no temporary file can be made for what is read of it: {error}")]
    Spool {
        /// Its name.
        name: String,
        /// Why.
        error: io::Error,
    },
}

/// What reading at an offset came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Something is missing here; behind it reading goes on at an offset.
    Hole {
        /// The offset.
        to: u64,
        /// What is wrong.
        what: String,
    },
    /// There are no more.
    End,
    /// The sender of a pipe has not written more yet.
    Waiting,
}

/// An opened recording.
pub struct RecordingFile {
    name: String,
    header: Header,
    content: Content,
    /// Bytes of the file as it stands, where it has a size.
    size: Option<u64>,
}

enum Content {
    Plain(File),
    Framed(Framed),
    Spooled(Spool),
}

/// Frames, looked into one at a time.
struct Framed {
    file: File,
    index: FrameIndex,
    /// The frame that was decompressed last, by its place among them.
    decoded: Option<(usize, Vec<u8>)>,
}

enum Stream {
    Bytes(Box<dyn Read + Send>),
    Frames(Box<Frames<Box<dyn Read + Send>>>),
}

struct Spool {
    stream: Option<Stream>,
    /// Where something is missing, and what is wrong with it.
    holes: Vec<(u64, String)>,
    compression: Option<Compression>,
    /// Bytes taken from the source, compressed as they are.
    consumed: Arc<AtomicU64>,
    /// A pipe may have nothing to say for hours, and what was read of it is to be looked at meanwhile.
    is_pipe: bool,
    /// Bytes that were read of it before.
    head: u64,
    file: File,
    length: u64,
    damage: Option<String>,
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl RecordingFile {
    /// Opens a recording, and reads its header.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(source: &Source) -> Result<Self, OpenError> {
        let name = source.name();
        let opened = source.open()?;
        let first_line = opened.first_line().map(ToOwned::to_owned);
        let (head, reader) = opened.into_parts();
        let compression = Compression::of(&head);
        let first_line = match first_line {
            Some(line) => line,
            None => beginning(&head, compression, &name)?,
        };
        if first_line.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() && head.len() < 4096 {
            return Err(OpenError::Empty(name));
        }
        let header = recording::parse_header(&first_line, &name).map_err(|error| match error {
            HeaderError::Foreign if is_plain_events(&first_line) => OpenError::PlainEvents(name.clone()),
            error => OpenError::Header { name: name.clone(), error },
        })?;
        let path = match source {
            Source::File(path) if source.can_be_read_again() => Some(path),
            _ => None,
        };
        let size = path.and_then(|path| path.metadata().ok()).map(|metadata| metadata.len());
        if let (Some(path), None) = (path, compression)
            && let Ok(file) = File::open(path)
        {
            return Ok(Self { name, header, content: Content::Plain(file), size });
        }
        if let (Some(path), Some(Compression::Zstd)) = (path, compression)
            && let Some(framed) = File::open(path).ok().and_then(Framed::open)
        {
            return Ok(Self { name, header, content: Content::Framed(framed), size });
        }
        let file = tempfile::tempfile().map_err(|error| OpenError::Spool { name: name.clone(), error })?;
        let (consumed, head_bytes) = (Arc::new(AtomicU64::new(0)), head.len() as u64);
        let counted = Counted { inner: io::Cursor::new(head).chain(reader), count: Arc::clone(&consumed) };
        let stream = match compression {
            None => Stream::Bytes(Box::new(counted)),
            Some(Compression::Gzip) => Stream::Bytes(Box::new(MultiGzDecoder::new(BufReader::new(counted)))),
            Some(Compression::Zstd) => match Frames::new(Box::new(counted) as Box<dyn Read + Send>) {
                Ok(frames) => Stream::Frames(Box::new(frames)),
                Err(error) => return Err(OpenError::Spool { name, error }),
            },
        };
        let spool = Spool {
            stream: Some(stream),
            holes: Vec::new(),
            compression,
            consumed,
            is_pipe: path.is_none() && matches!(source, Source::Stdin) && compression.is_none(),
            head: head_bytes,
            file,
            length: 0,
            damage: None,
        };
        Ok(Self { name, header, content: Content::Spooled(spool), size })
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Why reading came to an end before the end, if it did.
    pub(super) fn damage(&self) -> Option<String> {
        match &self.content {
            Content::Spooled(spool) => spool.damage.clone(),
            _ => None,
        }
    }

    /// How much of it was read when its text was read up to an offset, of how much.
    pub(super) fn progress(&self, offset: u64) -> (u64, Option<u64>) {
        match &self.content {
            Content::Spooled(spool) if spool.compression.is_some() => {
                (spool.consumed.load(Ordering::Relaxed), self.size)
            }
            Content::Framed(framed) => (offset, Some(framed.index.decompressed_len())),
            _ => (offset, self.size),
        }
    }

    /// Reads some of its text from an offset. A hole may stand at it that was passed already.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn read_at(&mut self, offset: u64, is_past_hole: bool, buffer: &mut [u8]) -> io::Result<Got> {
        let got = |bytes| if bytes == 0 { Got::End } else { Got::Bytes(bytes) };
        match &mut self.content {
            Content::Plain(file) => Ok(got(retried(|| file.read_at(buffer, offset))?)),
            Content::Framed(framed) => framed.read_at(offset, buffer),
            Content::Spooled(spool) => {
                let hole_here = |spool: &Spool| {
                    let hole = spool.holes.iter().find(|(at, _)| *at == offset && !is_past_hole);
                    hole.map(|(to, what)| Got::Hole { to: *to, what: what.clone() })
                };
                while spool.length <= offset && spool.stream.is_some() && hole_here(spool).is_none() {
                    if !spool.pull()? {
                        return Ok(Got::Waiting);
                    }
                }
                if let Some(hole) = hole_here(spool) {
                    return Ok(hole);
                }
                let next = spool.holes.iter().map(|(at, _)| *at).find(|at| *at > offset).unwrap_or(u64::MAX);
                let most = usize::try_from(next - offset).unwrap_or(usize::MAX).min(buffer.len());
                let buffer = buffer.get_mut(..most).unwrap_or_default();
                Ok(got(retried(|| spool.file.read_at(buffer, offset))?))
            }
        }
    }
}

impl Framed {
    /// None: there is no table that describes all of the file, or its end is damaged, so that as much as can be had of
    /// it is had by reading from its beginning.
    fn open(mut file: File) -> Option<Self> {
        const SEEKABLE: [u8; 4] = 0x8f92_eab1_u32.to_le_bytes();
        let mut foot = [0; 4];
        file.seek(SeekFrom::End(-4)).ok()?;
        file.read_exact(&mut foot).ok()?;
        // Without a table the frames would have to be found first, which means reading all of it.
        let index = (foot == SEEKABLE).then(|| FrameIndex::read(&mut file).ok()).flatten()?;
        let mut end = 0;
        // Bytes that a table lists as no frame are damage, of which the stream says what it is.
        let is_whole = index.frames.iter().all(|frame| {
            let follows = frame.compressed_offset == end;
            end = frame.compressed_offset + frame.compressed_len;
            follows
        });
        let is_all = !index.is_rebuilt && is_whole && end == index.end;
        let last = index.frames.last().filter(|_| is_all)?;
        frames::decode_frame(&mut file, last).ok()?;
        Some(Self { file, index, decoded: None })
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<Got> {
        let Some(position) = self.index.position(offset) else { return Ok(Got::End) };
        let held = self.decoded.as_ref().is_some_and(|(held, _)| *held == position);
        if !held && let Err(why) = self.decode(position)? {
            // One stretch of damage is one loss, however many frames it takes.
            let mut next = position + 1;
            while next < self.index.frames.len() && self.decode(next)?.is_err() {
                next += 1;
            }
            let from = self.index.frames.get(position).map_or(0, |frame| frame.compressed_offset);
            let behind = self.index.frames.get(next);
            let to = behind.map_or(self.index.decompressed_len(), |frame| frame.decompressed_offset);
            let to_byte = behind.map_or(self.index.end, |frame| frame.compressed_offset);
            return Ok(Got::Hole { to, what: left_out(from, to_byte, &why) });
        }
        let Some((_, text)) = &self.decoded else { return Ok(Got::End) };
        let begins = self.index.frames.get(position).map_or(0, |frame| frame.decompressed_offset);
        let skipped = usize::try_from(offset - begins).unwrap_or(usize::MAX);
        let rest = text.get(skipped..).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..bytes), rest.get(..bytes)) {
            to.copy_from_slice(from);
        }
        Ok(Got::Bytes(bytes))
    }

    /// Decompresses a frame, or says what is wrong with it.
    fn decode(&mut self, position: usize) -> io::Result<Result<(), String>> {
        let Some(frame) = self.index.frames.get(position) else { return Ok(Err("it is not there".to_owned())) };
        match frames::decode_frame(&mut self.file, frame) {
            Ok(text) => {
                self.decoded = Some((position, text));
                Ok(Ok(()))
            }
            Err(FrameError::Io(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

fn left_out(from: u64, to: u64, why: &str) -> String {
    format!("bytes {from} to {to} of the file are damaged and are left out: {why}")
}

impl Spool {
    /// Reads on, from the source into the temporary file. False: there is nothing to be read yet.
    fn pull(&mut self) -> io::Result<bool> {
        if self.is_pipe && self.consumed.load(Ordering::Relaxed) >= self.head && !is_ready(&io::stdin()) {
            return Ok(false);
        }
        match &mut self.stream {
            None => {}
            Some(Stream::Bytes(stream)) => {
                let mut buffer = vec![0; SPOOL_BYTES];
                match retried(|| stream.read(&mut buffer)) {
                    Ok(0) => self.stream = None,
                    Ok(bytes) => self.keep(buffer.get(..bytes).unwrap_or_default())?,
                    // What the decompressor says; what came before is as good as ever.
                    Err(error) if let Some(compression) = self.compression.filter(|_| is_damage(&error)) => {
                        let name = compression.name();
                        self.damage = Some(format!("the {name} stream is damaged from here on: {error}"));
                        self.stream = None;
                    }
                    Err(error) => return Err(error),
                }
            }
            Some(Stream::Frames(frames)) => match frames.step()? {
                Some(frames::Step::Content(text)) => self.keep(&text)?,
                Some(frames::Step::LeftOut { from, to, why }) => {
                    self.holes.push((self.length, left_out(from, to, &why)));
                }
                Some(frames::Step::BrokenOff { from, why }) => {
                    self.damage = Some(format!("the zstd stream is damaged from byte {from} of the file on: {why}"));
                    self.stream = None;
                }
                None => self.stream = None,
            },
        }
        Ok(true)
    }

    fn keep(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all_at(text, self.length).map_err(|error| {
            io::Error::new(error.kind(), format!("the temporary file for what is read of it: {error}"))
        })?;
        self.length += text.len() as u64;
        Ok(())
    }
}

/// Whether reading would not wait.
fn is_ready(pipe: &impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // What cannot be asked is read, and says itself what is wrong.
    poll(&mut polled, Some(&at_once)).map_or(true, |ready| ready > 0)
}

fn retried<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// What stands at the beginning of a file without a line.
fn beginning(head: &[u8], compression: Option<Compression>, name: &str) -> Result<String, OpenError> {
    let mut text = Vec::new();
    let read = match compression {
        None => {
            text.extend_from_slice(head);
            Ok(0)
        }
        Some(Compression::Gzip) => MultiGzDecoder::new(head).take(LOOKED_AT).read_to_end(&mut text),
        Some(Compression::Zstd) => {
            zstd::stream::read::Decoder::new(head).and_then(|decoder| decoder.take(LOOKED_AT).read_to_end(&mut text))
        }
    };
    match (read, compression) {
        (Err(error), Some(compression)) if text.is_empty() => Err(OpenError::Compressed {
            name: name.to_owned(),
            compression: compression.name(),
            what: error.to_string(),
        }),
        _ => Ok(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// Whether a first line looks like that of a file of events: an object or an array of them, alone on its line or not.
fn is_plain_events(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    (line.starts_with(['{', '[']) && line.contains("\"kind\"")) || matches!(line, "[" | "{" | "[{" | "[]")
}
