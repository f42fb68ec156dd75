//! Compressed recordings: zstd in frames, each complete in itself, with a seek table at the end.
//!
//! A frame holds whole records, at most a second or a mebibyte of them, so that what is damaged or cut off costs one
//! frame. The seek table is zstd's own seekable format: a frame that every decompressor skips, with the size of each
//! frame before and after compression. Where it is missing, because the recorder was killed, the frames are found by
//! walking over them ([`FrameIndex::read`]).
//!
//! The seekable format's own library, which zstd can be built with, is not used: it refuses a file without a table
//! and a file with one damaged frame, and those are the files that matter here. What it reads, this reads, and it
//! reads what [`seek_table`] writes.

mod stream;

pub use stream::{Frames, Step};

use std::io::{self, Read, Seek, SeekFrom};
use zstd::zstd_safe;

/// How a zstd frame begins.
pub const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How the frame begins that holds the seek table: the last of sixteen that decompressors skip.
const TABLE_MAGIC: u32 = 0x184d_2a5e;
/// How a seek table ends.
const SEEKABLE_MAGIC: u32 = 0x8f92_eab1;
/// Head of a frame that is skipped: magic and length.
const SKIPPABLE_HEAD: usize = 8;
/// Number of frames, flags and magic.
const TABLE_FOOT: usize = 9;
/// Set in the flags where each entry ends with a checksum.
const HAS_CHECKSUMS: u8 = 0x80;

/// The largest frame that is looked at in one piece, before and after decompression. exptap's own are far smaller; a
/// file from elsewhere that has larger ones is read from its beginning to its end instead.
pub const MAX_FRAME_BYTES: u64 = 64 * 1024 * 1024;
/// How much is read at first to find the end of a frame.
const FIRST_LOOK: u64 = 256 * 1024;

/// A frame, and where what it holds stands in the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the file.
    pub compressed_offset: u64,
    /// Its bytes in the file.
    pub compressed_len: u64,
    /// Where its content begins in the decompressed whole.
    pub decompressed_offset: u64,
    /// The bytes of its content.
    pub decompressed_len: u64,
}

/// Bytes of a file that are no frame, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin in the file.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
}

/// Why a file of frames cannot be looked into at random.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The frame is larger than what is looked at in one piece.
    #[error("the zstd frame at byte {0} is larger than 64 MiB")]
    TooLarge(u64),
    /// What stands there is no frame, or was changed.
    #[error("the zstd frame at byte {0} is damaged: {1}")]
    Damaged(u64, String),
}

/// The frames of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameIndex {
    /// Frames that hold something.
    pub frames: Vec<Frame>,
    /// What is not a frame. Only known where the index was rebuilt: a seek table lists what was written.
    pub damaged: Vec<Damage>,
    /// Whether there was no seek table, so that the frames had to be found.
    pub is_rebuilt: bool,
    /// Where the last whole frame ends in the file, and a next one, or a seek table, belongs.
    pub end: u64,
}

impl FrameIndex {
    /// Reads the seek table, or finds the frames where there is none that fits the file.
    ///
    /// # Errors
    /// Where the file cannot be read, or has frames too large to be looked at in one piece.
    pub fn read(file: &mut (impl Read + Seek + ?Sized)) -> Result<Self, FrameError> {
        let length = file.seek(SeekFrom::End(0))?;
        match Self::from_table(file, length)? {
            Some(index) => Ok(index),
            None => Self::rebuild(file, length),
        }
    }

    /// Bytes of everything, decompressed.
    pub fn decompressed_len(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.decompressed_offset.saturating_add(last.decompressed_len))
    }

    /// The position among [`FrameIndex::frames`] of the one that holds a byte of the decompressed whole.
    pub fn position(&self, decompressed_offset: u64) -> Option<usize> {
        let after = self.frames.partition_point(|frame| frame.decompressed_offset <= decompressed_offset);
        (decompressed_offset < self.decompressed_len()).then(|| after.checked_sub(1)).flatten()
    }

    fn add(&mut self, offset: u64, compressed_len: u64, decompressed_len: u64) {
        self.end = offset.saturating_add(compressed_len);
        if decompressed_len > 0 {
            self.frames.push(Frame {
                compressed_offset: offset,
                compressed_len,
                decompressed_offset: self.decompressed_len(),
                decompressed_len,
            });
        }
    }

    fn from_table(file: &mut (impl Read + Seek + ?Sized), length: u64) -> io::Result<Option<Self>> {
        let Some(foot_at) = length.checked_sub(TABLE_FOOT as u64) else { return Ok(None) };
        let mut foot = [0; TABLE_FOOT];
        file.seek(SeekFrom::Start(foot_at))?;
        file.read_exact(&mut foot)?;
        let [count @ .., flags, _, _, _, _] = &foot;
        if number(&foot, TABLE_FOOT - 4) != Some(SEEKABLE_MAGIC) || flags & !HAS_CHECKSUMS != 0 {
            return Ok(None);
        }
        let entry_bytes: u64 = if flags & HAS_CHECKSUMS == 0 { 8 } else { 12 };
        let content = u64::from(number(count, 0).unwrap_or_default()) * entry_bytes + TABLE_FOOT as u64;
        let Some(table_at) = length.checked_sub(content + SKIPPABLE_HEAD as u64) else { return Ok(None) };
        let mut table = Vec::new();
        file.seek(SeekFrom::Start(table_at))?;
        file.take(length - table_at).read_to_end(&mut table)?;
        if number(&table, 0) != Some(TABLE_MAGIC) || number(&table, 4).map(u64::from) != Some(content) {
            return Ok(None);
        }
        let mut index = Self::default();
        let entries = table.get(SKIPPABLE_HEAD..table.len().saturating_sub(TABLE_FOOT)).unwrap_or_default();
        for entry in entries.chunks_exact(usize::try_from(entry_bytes).unwrap_or(8)) {
            let (Some(compressed), Some(decompressed)) = (number(entry, 0), number(entry, 4)) else { return Ok(None) };
            index.add(index.end, compressed.into(), decompressed.into());
        }
        // A table that does not describe the file it stands in was written for another one.
        Ok((index.end == table_at).then_some(index))
    }

    fn rebuild(file: &mut (impl Read + Seek + ?Sized), length: u64) -> Result<Self, FrameError> {
        let mut index = Self { is_rebuilt: true, ..Self::default() };
        let mut window = Window::new(file, length);
        let mut offset = 0;
        while offset < length {
            match window.frame_at(offset)? {
                Found::Frame { compressed, decompressed } if window.is_frame(offset, compressed, decompressed)? => {
                    index.add(offset, compressed, decompressed);
                    offset += compressed;
                }
                Found::Skippable(compressed) => offset += compressed,
                Found::Nothing | Found::Frame { .. } => {
                    // The end of a file that was cut is not damage in its middle; the next frame tells which it is.
                    let Some(next) = window.next_frame(offset + 1)? else { break };
                    index.damaged.push(Damage { offset, len: next - offset });
                    offset = next;
                }
            }
        }
        Ok(index)
    }
}

/// Reads a frame and what it holds. Its own checksum is checked.
///
/// # Errors
/// Where the file cannot be read, or the frame is damaged or too large.
pub fn decode_frame(file: &mut (impl Read + Seek + ?Sized), frame: &Frame) -> Result<Vec<u8>, FrameError> {
    if frame.compressed_len > MAX_FRAME_BYTES || frame.decompressed_len > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(frame.compressed_offset));
    }
    let mut compressed = Vec::new();
    file.seek(SeekFrom::Start(frame.compressed_offset))?;
    file.take(frame.compressed_len).read_to_end(&mut compressed)?;
    let damaged = |what: String| FrameError::Damaged(frame.compressed_offset, what);
    let capacity = usize::try_from(frame.decompressed_len).unwrap_or(usize::MAX);
    let content = zstd::bulk::decompress(&compressed, capacity).map_err(|error| damaged(error.to_string()))?;
    if content.len() as u64 != frame.decompressed_len {
        return Err(damaged(format!("it holds {} bytes, expected {capacity}", content.len())));
    }
    Ok(content)
}

/// The seek table of frames that stand one after another from the beginning of a file: their bytes before and after
/// decompression. Bytes in between that are no frame are listed with nothing in them.
pub fn seek_table(frames: &[(u32, u32)]) -> Vec<u8> {
    let entries = frames.len() * 8;
    let mut table = Vec::with_capacity(SKIPPABLE_HEAD + entries + TABLE_FOOT);
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    table.extend(TABLE_MAGIC.to_le_bytes());
    table.extend(u32::try_from(entries + TABLE_FOOT).unwrap_or(u32::MAX).to_le_bytes());
    for (compressed, decompressed) in frames {
        table.extend(compressed.to_le_bytes());
        table.extend(decompressed.to_le_bytes());
    }
    table.extend(count.to_le_bytes());
    table.push(0);
    table.extend(SEEKABLE_MAGIC.to_le_bytes());
    table
}

/// The entries of [`seek_table`] that describe a file up to [`FrameIndex::end`], so that it can be gone on with. None
/// where a frame is larger than the format can say.
pub fn table_entries(index: &FrameIndex) -> Option<Vec<(u32, u32)>> {
    let (mut entries, mut at) = (Vec::with_capacity(index.frames.len()), 0);
    let hole = |entries: &mut Vec<(u32, u32)>, from: u64, to: u64| {
        let mut left = to.saturating_sub(from);
        while left > 0 {
            let piece = u32::try_from(left).unwrap_or(u32::MAX);
            entries.push((piece, 0));
            left -= u64::from(piece);
        }
    };
    for frame in &index.frames {
        hole(&mut entries, at, frame.compressed_offset);
        entries.push((u32::try_from(frame.compressed_len).ok()?, u32::try_from(frame.decompressed_len).ok()?));
        at = frame.compressed_offset + frame.compressed_len;
    }
    hole(&mut entries, at, index.end);
    Some(entries)
}

/// Counts what a frame holds by decompressing it.
fn content_bytes(frame: &[u8]) -> io::Result<u64> {
    io::copy(&mut zstd::stream::read::Decoder::with_buffer(frame)?, &mut io::sink())
}

/// Four bytes of a number, the smallest first.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a frame may begin with these bytes.
fn is_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME_MAGIC) || is_skippable(bytes)
}

fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Where the next frame may begin at or after `from`.
fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let searched = bytes.get(from..)?;
    // The rarest byte of either magic, at its place in it.
    memchr::memchr2_iter(0xb5, 0x2a, searched)
        .filter_map(|second| (from + second).checked_sub(1))
        .find(|at| *at >= from && bytes.get(*at..).is_some_and(is_magic))
}

/// What stands at a place of a file.
enum Found {
    Frame { compressed: u64, decompressed: u64 },
    Skippable(u64),
    Nothing,
}

/// A part of a file, moved along it.
struct Window<'a, R: ?Sized> {
    file: &'a mut R,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a, R: Read + Seek + ?Sized> Window<'a, R> {
    fn new(file: &'a mut R, length: u64) -> Self {
        Self { file, length, start: 0, bytes: Vec::new() }
    }

    /// The bytes from an offset on, at least as many as wanted where the file has them.
    fn at(&mut self, offset: u64, wanted: u64) -> io::Result<&[u8]> {
        let wanted = wanted.min(self.length.saturating_sub(offset));
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || offset + wanted > held.end {
            self.file.seek(SeekFrom::Start(offset))?;
            self.bytes.clear();
            (&mut *self.file).take(wanted.max(FIRST_LOOK * 4)).read_to_end(&mut self.bytes)?;
            self.start = offset;
        }
        let skipped = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skipped..).unwrap_or_default())
    }

    /// The whole frame at an offset.
    fn frame_at(&mut self, offset: u64) -> Result<Found, FrameError> {
        let left = self.length.saturating_sub(offset);
        let head = self.at(offset, 32)?;
        if is_skippable(head) {
            let skipped = number(head, 4).map(|content| u64::from(content) + SKIPPABLE_HEAD as u64);
            return Ok(skipped.filter(|bytes| *bytes <= left).map_or(Found::Nothing, Found::Skippable));
        }
        if !head.starts_with(&FRAME_MAGIC) {
            return Ok(Found::Nothing);
        }
        let mut look = FIRST_LOOK;
        loop {
            let is_all = look >= left;
            let bytes = self.at(offset, look)?;
            let end = zstd_safe::find_frame_compressed_size(bytes);
            if let Ok(compressed) = end
                && let Some(frame) = bytes.get(..compressed)
            {
                let decompressed = match zstd_safe::get_frame_content_size(frame) {
                    Ok(Some(bytes)) => bytes,
                    // Who compressed it did not know beforehand.
                    Ok(None) => match content_bytes(frame) {
                        Ok(bytes) => bytes,
                        Err(_) => return Ok(Found::Nothing),
                    },
                    Err(_) => return Ok(Found::Nothing),
                };
                return Ok(Found::Frame { compressed: compressed as u64, decompressed });
            }
            // What is wrong whatever follows is damage; everything else may be a matter of seeing more.
            let is_short = end.is_err_and(|code| zstd_safe::get_error_name(code) == "Src size is incorrect");
            if is_all || !is_short {
                return Ok(Found::Nothing);
            }
            if look >= MAX_FRAME_BYTES {
                return Err(FrameError::TooLarge(offset));
            }
            look *= 4;
        }
    }

    /// Whether what was walked over as a frame is one. A damaged length leads into the middle of something else; only
    /// where a frame does not end where another begins is it worth decompressing it to know.
    fn is_frame(&mut self, offset: u64, compressed_len: u64, decompressed_len: u64) -> io::Result<bool> {
        let end = offset + compressed_len;
        if end == self.length || is_magic(self.at(end, 4)?) {
            return Ok(true);
        }
        let frame = Frame { compressed_offset: offset, compressed_len, decompressed_offset: 0, decompressed_len };
        Ok(decode_frame(self.file, &frame).is_ok())
    }

    /// Where the next frame begins that can be read, from an offset on.
    fn next_frame(&mut self, mut offset: u64) -> Result<Option<u64>, FrameError> {
        while offset < self.length {
            let bytes = self.at(offset, FIRST_LOOK)?;
            let Some(at) = find_magic(bytes, 0) else {
                // A magic may stand across the end of what is held.
                offset += (bytes.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            let candidate = offset + at as u64;
            match self.frame_at(candidate) {
                Ok(Found::Frame { compressed, decompressed }) => {
                    let (compressed_offset, compressed_len) = (candidate, compressed);
                    let frame = Frame {
                        compressed_offset,
                        compressed_len,
                        decompressed_offset: 0,
                        decompressed_len: decompressed,
                    };
                    // What only looks like a frame in the middle of another one does not have its checksum.
                    if decode_frame(self.file, &frame).is_ok() {
                        return Ok(Some(candidate));
                    }
                }
                Ok(Found::Skippable(_)) => return Ok(Some(candidate)),
                Ok(Found::Nothing) | Err(FrameError::TooLarge(_) | FrameError::Damaged(..)) => {}
                Err(error @ FrameError::Io(_)) => return Err(error),
            }
            offset = candidate + 1;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
