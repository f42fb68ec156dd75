//! A body that is too large to be held in memory, on its way to a file of its own.

use super::NotKept;
use super::board::Board;
use super::format::{Measure, Place};
use super::writer::words;
use bytes::Bytes;
use flate2::Crc;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for the disk. The sender waits with them.
const PIECES: usize = 8;

/// A file a body is written to. It is removed again unless the body is finished and handed over.
pub struct BodyFile {
    pieces: Option<mpsc::Sender<Piece>>,
    finished: oneshot::Receiver<io::Result<Measure>>,
    file: Kept,
}

/// What is written, and removed where nobody keeps it.
struct Kept {
    path: PathBuf,
    bytes: u64,
    board: Arc<Board>,
    is_kept: bool,
}

enum Piece {
    Bytes(Bytes),
    End,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
            self.board.give_room(self.bytes);
        }
    }
}

impl BodyFile {
    pub(super) fn new(path: PathBuf, number: u64, board: Arc<Board>) -> Self {
        let (pieces, waiting) = mpsc::channel(PIECES);
        let (finish, finished) = oneshot::channel();
        let file = Kept { path: path.clone(), bytes: 0, board, is_kept: false };
        // A disk makes whoever writes to it wait, and the threads that answer must not.
        tokio::task::spawn_blocking(move || {
            match write(&path, number, waiting).transpose() {
                Some(result) => drop(finish.send(result)),
                // It may have been removed before it was made.
                None => drop(fs::remove_file(&path)),
            }
        });
        Self { pieces: Some(pieces), finished, file }
    }

    /// Writes more of it.
    ///
    /// # Errors
    /// Where there is no room for it, or the disk fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), NotKept> {
        let length = bytes.len() as u64;
        if !self.file.board.take_room(length) {
            return Err(NotKept::Full);
        }
        self.file.bytes += length;
        let sent = match &self.pieces {
            Some(pieces) => pieces.send(Piece::Bytes(bytes)).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.fault().await) }
    }

    /// Waits until all of it is on the disk.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(super) async fn finish(&mut self) -> Result<Measure, NotKept> {
        if let Some(pieces) = self.pieces.take() {
            // Where this fails the thread has said why.
            let _ = pieces.send(Piece::End).await;
        }
        match (&mut self.finished).await {
            Ok(Ok(measure)) => Ok(measure),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(NotKept::Failed),
        }
    }

    /// Whether there is a request that it belongs to.
    pub(super) fn keep(&mut self, is_kept: bool) {
        self.file.is_kept = is_kept;
    }

    async fn fault(&mut self) -> NotKept {
        self.pieces = None;
        match (&mut self.finished).await {
            Ok(Err(error)) => self.failed(&error),
            _ => NotKept::Failed,
        }
    }

    fn failed(&self, error: &io::Error) -> NotKept {
        self.file.board.cannot_write(&words(error));
        NotKept::Failed
    }
}

/// Writes what comes; `None`: whoever sent it has given up.
fn write(path: &Path, number: u64, mut waiting: mpsc::Receiver<Piece>) -> io::Result<Option<Measure>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut crc, mut bytes) = (Crc::new(), 0);
    loop {
        match waiting.blocking_recv() {
            Some(Piece::Bytes(piece)) => {
                file.write_all(&piece)?;
                crc.update(&piece);
                bytes += piece.len() as u64;
            }
            Some(Piece::End) => break,
            None => return Ok(None),
        }
    }
    file.sync_all()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all())?;
    Ok(Some(Measure { bytes, crc: crc.sum(), place: Place::File(number) }))
}
