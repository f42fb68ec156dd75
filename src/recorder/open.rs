//! Whether a file may be recorded to, and from where on.
//!
//! A recording that is there is gone on with: whoever starts exptap twice with the same command must not lose what was
//! recorded first, and must not be made to think of a new name while the traffic passes by. Anything else that is
//! there is refused, since it is somebody's.

use super::storage::{Handle, Identity, Named, Storage};
use crate::recording::frames::{self, FrameIndex};
use crate::recording::{self, HeaderError};
use std::io::{self, Read, SeekFrom};
use std::path::Path;

/// How much of a file is looked at to find its first line: the header holds a catalog.
const MAX_HEADER_BYTES: u64 = 32 * 1024 * 1024;
/// How much is read at a time, from the end, to find the last line.
const STEP_BYTES: u64 = 64 * 1024;

/// Why a file cannot be recorded to.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is a folder.
    #[error("this is a folder; name a file to record to")]
    Folder,
    /// It is a pipe, a socket or a device.
    #[error("this is not a file but a pipe, a socket or a device; name a file to record to")]
    NotAFile,
    /// Another process records to it.
    #[error("another exptap is recording to this file; name another one")]
    Taken,
    /// It holds something else.
    #[error("there is such a file already, and it is not a recording; nothing was written to it; name another one")]
    Foreign,
    /// It is a recording that cannot be gone on with.
    #[error("the recording there cannot be gone on with: {0}; name another file")]
    Header(#[from] HeaderError),
    /// It is not compressed as its name says.
    #[error("the recording there is {0}, and its name says otherwise; name another file")]
    OtherCompression(&'static str),
    /// It was compressed in a way that cannot be gone on with.
    #[error("the recording there cannot be gone on with: {0}; name another file")]
    Frames(#[from] frames::FrameError),
    /// gzip cannot be written record by record.
    #[error("recordings are compressed with zstd: end the name in .zst instead of .gz")]
    Gzip,
    /// The system refuses.
    #[error("{}", words(.0))]
    Io(#[from] io::Error),
}

/// What the system says, without its number for it.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// Whether records are to be compressed, by the file's name.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst"))
}

/// A file that may be recorded to. Whatever stood behind its last whole record is cut off.
pub(super) struct Opened {
    pub(super) handle: Box<dyn Handle>,
    pub(super) identity: Identity,
    pub(super) length: u64,
    /// The frames in it so far, for the seek table.
    pub(super) frames: Vec<(u32, u32)>,
    /// Whether its last record lacks nothing but the line feed.
    pub(super) is_unended: bool,
}

/// Opens a file. `known` is one that was being recorded to, and how far everything in it is right.
pub(super) fn open(storage: &dyn Storage, path: &Path, known: Option<(Identity, u64)>) -> Result<Opened, Refusal> {
    match storage.look(path)? {
        Named::Folder => return Err(Refusal::Folder),
        Named::Other => return Err(Refusal::NotAFile),
        Named::Nothing | Named::File(_) => {}
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        return Err(Refusal::Gzip);
    }
    let mut handle = storage.open(path)?;
    if !handle.claim()? {
        return Err(Refusal::Taken);
    }
    let identity = handle.identity()?;
    let length = handle.length()?;
    let mut is_unended = false;
    let (end, frames) = match known {
        // Also where an error was reported of a record that was written in full: it will be written again.
        Some((file, end)) if file == identity && end <= length => {
            let frames = if is_compressed(path) && end > 0 { indexed(handle.as_mut(), end)?.1 } else { Vec::new() };
            (end, frames)
        }
        _ if length == 0 => (0, Vec::new()),
        _ if is_compressed(path) => compressed(handle.as_mut(), path, length)?,
        _ => {
            let end;
            (end, is_unended) = plain(handle.as_mut(), path, length)?;
            (end, Vec::new())
        }
    };
    if end < length {
        handle.cut(end)?;
    }
    Ok(Opened { handle, identity, length: end, frames, is_unended })
}

/// Where the last whole record of a recording ends, and whether its line feed is all that is missing.
fn plain(handle: &mut dyn Handle, path: &Path, length: u64) -> Result<(u64, bool), Refusal> {
    let mut head = Vec::new();
    handle.seek(SeekFrom::Start(0))?;
    while memchr::memchr(b'\n', &head).is_none() && (head.len() as u64) < MAX_HEADER_BYTES {
        if (&mut *handle).take(STEP_BYTES).read_to_end(&mut head)? == 0 {
            break;
        }
    }
    if head.starts_with(&frames::FRAME_MAGIC) {
        return Err(Refusal::OtherCompression("compressed"));
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    if line.len() == head.len() {
        // A recorder that was killed while it wrote its first line leaves a beginning of it, and nothing else.
        let is_begun = recording::is_header(&text) || "{\"exptap\":".starts_with(text.as_ref());
        return if is_begun { Ok((0, false)) } else { Err(Refusal::Foreign) };
    }
    checked(&text, path)?;
    let mut end = length;
    let ended = loop {
        let start = end.saturating_sub(STEP_BYTES);
        let mut piece = Vec::new();
        handle.seek(SeekFrom::Start(start))?;
        (&mut *handle).take(end - start).read_to_end(&mut piece)?;
        match memchr::memrchr(b'\n', &piece) {
            Some(at) => break start + at as u64 + 1,
            None if start == 0 => break 0,
            None => end = start,
        }
    };
    let mut rest = Vec::new();
    handle.seek(SeekFrom::Start(ended))?;
    (&mut *handle).take(MAX_HEADER_BYTES).read_to_end(&mut rest)?;
    let is_record = std::str::from_utf8(&rest).is_ok_and(|rest| recording::parse_line(rest).is_ok());
    Ok(if is_record { (length, true) } else { (ended, false) })
}

/// Where the last whole frame of a recording ends, and what frames there are.
fn compressed(handle: &mut dyn Handle, path: &Path, length: u64) -> Result<(u64, Vec<(u32, u32)>), Refusal> {
    let mut magic = Vec::new();
    handle.seek(SeekFrom::Start(0))?;
    (&mut *handle).take(4).read_to_end(&mut magic)?;
    if !magic.starts_with(&frames::FRAME_MAGIC) {
        let is_text = magic.starts_with(b"{");
        return Err(if is_text { Refusal::OtherCompression("not compressed") } else { Refusal::Foreign });
    }
    let (index, entries) = indexed(handle, length)?;
    let Some(first) = index.frames.first() else { return Err(Refusal::Foreign) };
    let content = frames::decode_frame(handle, first)?;
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    checked(&String::from_utf8_lossy(line), path)?;
    Ok((index.end, entries))
}

/// The frames up to a place in the file.
fn indexed(handle: &mut dyn Handle, end: u64) -> Result<(FrameIndex, Vec<(u32, u32)>), Refusal> {
    let mut index = FrameIndex::read(handle)?;
    index.frames.retain(|frame| frame.compressed_offset + frame.compressed_len <= end);
    index.end = index.end.min(end);
    // exptap writes no frame that large; what another program wrote is read, but not gone on with.
    let entries = frames::table_entries(&index).ok_or(frames::FrameError::TooLarge(0))?;
    Ok((index, entries))
}

fn checked(line: &str, path: &Path) -> Result<(), Refusal> {
    match recording::parse_header(line, &path.display().to_string()) {
        Ok(_) => Ok(()),
        Err(HeaderError::Foreign) => Err(Refusal::Foreign),
        Err(error) => Err(error.into()),
    }
}
