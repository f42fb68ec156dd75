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

    /// Puts a request aside; gives how many are not kept for it, itself included.
    pub(super) fn put(&mut self, head: &Head, arrival_ms: i64, body: &[u8]) -> io::Result<u64> {
        let mut record = format::encode(&head.to_bytes(), arrival_ms, Measure::of(body));
        record.extend_from_slice(body);
        let length = record.len() as u64;
        if length + FIRST_LINE.len() as u64 > self.limit_bytes {
            return Ok(1);
        }
        let (mut file, mut written) = self.open()?;
        let mut not_kept = 0;
        if written + length > self.limit_bytes {
            let (newer, older) = (self.folder.join(NEWER), self.folder.join(OLDER));
            not_kept = requests(&older).unwrap_or(0);
            fs::rename(newer, older)?;
            (file, written) = self.open()?;
        }
        file.write_all(&record)?;
        self.file = Some((file, written + length));
        Ok(not_kept)
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
            file.write_all(FIRST_LINE)?;
            written = FIRST_LINE.len() as u64;
        }
        Ok((file, written))
    }
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
        let mut not_kept = Vec::new();
        for number in 0..9 {
            not_kept.push(aside.put(&head, number, &[b'x'; 100]).unwrap());
        }
        // Two fit in a file.
        assert_eq!(not_kept, [0, 0, 0, 0, 2, 0, 2, 0, 2]);
        assert_eq!(requests(&folder.path().join(OLDER)).unwrap(), 2);
        assert_eq!(requests(&folder.path().join(NEWER)).unwrap(), 1);
        assert_eq!(aside.put(&head, 9, &[b'x'; 1000]).unwrap(), 1);
    }
}
