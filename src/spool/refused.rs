//! Requests the upstream refused for good, put aside: they are in nobody's way there, and a wrong address or key can
//! still be mended.
//!
//! They lie in two files in the form of a segment. Where the newer one is full it takes the place of the older.

use super::format::{self, FIRST_LINE, Head, Measure};
use super::reader::{Item, Reader};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const NEWER: &str = "refused.spool";
const OLDER: &str = "refused-before.spool";

/// What became of a request that was to be put aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there for certain, and so many others are there no more.
    Kept { fell_out: u64 },
    /// It is larger than what may be kept.
    TooLarge,
}

pub(super) struct Aside {
    folder: PathBuf,
    /// Bytes of one file, at the most.
    limit_bytes: u64,
    file: Option<(File, u64)>,
}

impl Aside {
    pub(super) fn new(folder: &Path, limit_bytes: u64) -> Self {
        Self { folder: folder.to_owned(), limit_bytes, file: None }
    }

    /// Puts a request aside. Where that fails nothing of it stays.
    pub(super) fn put(&mut self, head: &Head, arrival_ms: i64, body: &[u8]) -> io::Result<Put> {
        let mut record = format::encode(&head.to_bytes(), arrival_ms, Measure::of(body));
        record.extend_from_slice(body);
        let length = record.len() as u64;
        if length + FIRST_LINE.len() as u64 > self.limit_bytes {
            return Ok(Put::TooLarge);
        }
        let (mut file, mut written) = self.open()?;
        let mut fell_out = 0;
        if written + length > self.limit_bytes {
            let (newer, older) = (self.folder.join(NEWER), self.folder.join(OLDER));
            fell_out = requests(&older).unwrap_or(0);
            fs::rename(newer, older)?;
            (file, written) = self.open()?;
        }
        write(&mut file, written, &record)?;
        self.file = Some((file, written + length));
        Ok(Put::Kept { fell_out })
    }

    fn open(&mut self) -> io::Result<(File, u64)> {
        let path = self.folder.join(NEWER);
        if let Some((file, written)) = self.file.take()
            && path.exists()
        {
            return Ok((file, written));
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut written = file.metadata()?.len();
        if written == 0 {
            write(&mut file, 0, FIRST_LINE)?;
            written = FIRST_LINE.len() as u64;
        }
        Ok((file, written))
    }
}

/// Writes at the end of a file and waits for the disk: once the cursor is past a request, it is nowhere else.
fn write(file: &mut File, end: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes).and_then(|()| file.sync_data()).inspect_err(|_| {
        // Half a request would be said to be damaged, when it is sent again.
        let _ = file.set_len(end);
    })
}

/// Requests in a file.
fn requests(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut first = Vec::new();
    (&mut file).take(FIRST_LINE.len() as u64).read_to_end(&mut first)?;
    let mut reader = Reader::new(file, first.len() as u64);
    let mut requests = 0;
    while let Some(item) = reader.next(length, true)? {
        requests += u64::from(matches!(item, Item::Request(_)));
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::{HeaderMap, Method};

    #[test]
    fn two_files_are_kept_and_what_falls_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let head = Head { method: Method::POST, target: "/bulk".to_owned(), headers: HeaderMap::new() };
        let mut aside = Aside::new(folder.path(), 400);
        let mut fell = Vec::new();
        for number in 0..9 {
            let Put::Kept { fell_out } = aside.put(&head, number, &[b'x'; 100]).unwrap() else { unreachable!() };
            fell.push(fell_out);
        }
        // Two fit in a file.
        assert_eq!(fell, [0, 0, 0, 0, 2, 0, 2, 0, 2]);
        assert_eq!(requests(&folder.path().join(OLDER)).unwrap(), 2);
        assert_eq!(requests(&folder.path().join(NEWER)).unwrap(), 1);
        assert_eq!(aside.put(&head, 9, &[b'x'; 1000]).unwrap(), Put::TooLarge);
    }
}
