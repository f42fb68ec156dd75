//! Frames one after another, from anything that can be read: a pipe as well as a file.

use super::{find_magic, is_skippable};
use std::io::{self, Read};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// How much is read, and decompressed, at a time.
const READ_BYTES: usize = 128 * 1024;
/// What is kept of a frame until its end has been checked, before and after decompression. Of a larger one, which
/// exptap does not write, the beginning is handed on before its end is known to be right.
const HELD_BYTES: usize = 16 * 1024 * 1024;
/// How many places that look like a frame and are none are tried one by one. Real files have hardly ever one of them;
/// a file made to have very many must not take for ever.
const TRIED: usize = 64;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Content; what a frame of exptap's holds comes in one piece.
    Content(Vec<u8>),
    /// Bytes of the file that are no frame, or not any more; what comes after them is read.
    LeftOut {
        /// Where they begin in the file.
        from: u64,
        /// Where the next frame begins.
        to: u64,
        /// What is wrong with them.
        why: String,
    },
    /// The rest is no whole frame: the file was cut off, or is damaged from there on. What can be had of the frame
    /// came before. This is the last step.
    BrokenOff {
        /// Where the rest begins in the file.
        from: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads frames. What is damaged costs only itself: the next frame is looked for behind it.
pub struct Frames<R> {
    source: R,
    is_read: bool,
    /// Bytes of the source that are not done with.
    held: Vec<u8>,
    /// Where they begin in the source.
    offset: u64,
    decoder: Decoder<'static>,
    /// What to hand on before reading on.
    next: std::collections::VecDeque<Step>,
}

/// How reading one frame ended.
enum Ended {
    /// With its end: it has so many bytes.
    Whole(usize, Vec<u8>),
    /// It is so large that its beginning is handed on. So many bytes are done with.
    Large(usize, Vec<u8>),
    /// In the middle.
    Early { content: Vec<u8>, why: String, is_cut: bool },
}

impl<R: Read> Frames<R> {
    /// Reads from a source.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(source: R) -> io::Result<Self> {
        Ok(Self {
            source,
            is_read: false,
            held: Vec::new(),
            offset: 0,
            decoder: Decoder::new()?,
            next: std::collections::VecDeque::new(),
        })
    }

    /// The next step; none at the end.
    ///
    /// # Errors
    /// Where the source cannot be read. Damage is no error.
    pub fn step(&mut self) -> io::Result<Option<Step>> {
        loop {
            if let Some(step) = self.next.pop_front() {
                return Ok(Some(step));
            }
            if self.held.is_empty() && !self.fill()? {
                return Ok(None);
            }
            self.decoder.reinit()?;
            match self.frame(0)? {
                Ended::Whole(bytes, content) => {
                    self.done(bytes);
                    if !content.is_empty() {
                        return Ok(Some(Step::Content(content)));
                    }
                }
                Ended::Large(bytes, content) => {
                    self.done(bytes);
                    self.next.push_back(Step::Content(content));
                    self.large()?;
                }
                Ended::Early { content, why, is_cut } => {
                    // Of a frame that was cut off, what is there is right. Of one that is damaged nobody can say what is;
                    // only where there is but one, in a file from elsewhere, some of it is better than nothing.
                    let is_wanted = is_cut || (self.offset == 0 && !why.contains("checksum"));
                    self.recover(if is_wanted { content } else { Vec::new() }, why)?;
                }
            }
        }
    }

    /// Reads some more; whether there was any.
    fn fill(&mut self) -> io::Result<bool> {
        while !self.is_read {
            let before = self.held.len();
            self.held.resize(before + READ_BYTES, 0);
            let read = self.source.read(self.held.get_mut(before..).unwrap_or_default());
            self.held.truncate(before + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => self.is_read = true,
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn done(&mut self, bytes: usize) {
        self.held.drain(..bytes.min(self.held.len()));
        self.offset += bytes as u64;
    }

    /// Reads the frame that begins at a place of what is held, with a decoder that is at its start.
    fn frame(&mut self, start: usize) -> io::Result<Ended> {
        let (mut content, mut at) = (Vec::new(), start);
        loop {
            if at == self.held.len() && !self.fill()? {
                let why = "it ends in the middle of a frame".to_owned();
                return Ok(Ended::Early { content, why, is_cut: true });
            }
            match self.decode(&mut at, &mut content) {
                Ok(0) => return Ok(Ended::Whole(at, content)),
                Ok(_) => {}
                Err(error) => return Ok(Ended::Early { content, why: error.to_string(), is_cut: false }),
            }
            if at - start > HELD_BYTES * 2 || content.len() > HELD_BYTES * 2 {
                return Ok(Ended::Large(at, content));
            }
        }
    }

    /// Decompresses some of what is held; 0 at the end of a frame.
    fn decode(&mut self, at: &mut usize, content: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = Vec::with_capacity(READ_BYTES);
        loop {
            let mut input = InBuffer::around(self.held.get(*at..).unwrap_or_default());
            let mut output = OutBuffer::around(&mut piece);
            let remaining = self.decoder.run(&mut input, &mut output)?;
            *at += input.pos();
            let is_full = output.pos() == output.capacity();
            content.append(&mut piece);
            if remaining == 0 || !is_full || content.len() > HELD_BYTES * 2 {
                return Ok(remaining);
            }
        }
    }

    /// Goes on with a frame of which the beginning was handed on.
    fn large(&mut self) -> io::Result<()> {
        loop {
            match self.frame(0)? {
                Ended::Whole(bytes, content) => {
                    self.done(bytes);
                    self.next.push_back(Step::Content(content));
                    return Ok(());
                }
                Ended::Large(bytes, content) => {
                    self.done(bytes);
                    self.next.push_back(Step::Content(content));
                }
                Ended::Early { content, why, .. } => return self.recover(content, why),
            }
        }
    }

    /// Goes on behind a frame that could not be read to its end: with the next one, or, where there is none, with as
    /// much of this one as could be had.
    fn recover(&mut self, content: Vec<u8>, why: String) -> io::Result<()> {
        let from = self.offset;
        // The rest of a seek table says nothing that is not said by the frames.
        let is_table = is_skippable(&self.held);
        let (mut searched, mut tried) = (1, 0);
        loop {
            let Some(candidate) = find_magic(&self.held, searched) else {
                // A magic may stand across the end of what is held.
                searched = self.held.len().saturating_sub(3).max(1);
                if self.held.len() > HELD_BYTES {
                    let passed = searched - 1;
                    self.done(passed);
                    searched = 1;
                }
                if self.fill()? {
                    continue;
                }
                break;
            };
            self.decoder.reinit()?;
            match self.frame(candidate)? {
                Ended::Whole(..) | Ended::Large(..) => {
                    self.done(candidate);
                    self.next.push_back(Step::LeftOut { from, to: self.offset, why });
                    return Ok(());
                }
                Ended::Early { .. } => {
                    tried += 1;
                    searched = candidate + 1;
                    if tried >= TRIED {
                        break;
                    }
                }
            }
        }
        self.held.clear();
        self.is_read = true;
        if !content.is_empty() {
            self.next.push_back(Step::Content(content));
        }
        if !is_table {
            self.next.push_back(Step::BrokenOff { from, why });
        }
        Ok(())
    }
}
