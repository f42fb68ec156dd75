//! Taking a folder as a spool, and finding what waits in it.

use super::format::{self, FIRST_LINE, Place};
use super::queue::{self, BODY, Cursor, LAST_NUMBER, Position, Queue, SEGMENT, Segment};
use super::reader::{Item, Reader};
use super::writer::words;
use super::{LANES, Lane};
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
/// What was put aside, under the name by which it is sent again.
const AGAIN: &str = "again.spool";

/// Why a folder cannot be a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process delivers from it.
    #[error("--spool {}: another exptap delivers from this folder; name another one, or stop that one", .0.display())]
    Taken(PathBuf),
    /// The system refuses.
    #[error("--spool {}: {why}", path.display())]
    Refused {
        /// What was asked for.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It is somebody else's.
    #[error("{} belongs to another user: requests with their SDK keys are kept there; name a folder of your own", .0.display())]
    OfAnother(PathBuf),
    /// Others could put files there, or take them away.
    #[error(
        "--spool {}: others can write to this folder, and requests with their SDK keys are kept there; name another one, or \
         close it: chmod 700 {}", .0.display(), .0.display()
    )]
    Open(PathBuf),
    /// What is there was not written by exptap.
    #[error("{} is no spool of exptap's, although its name says so; nothing was changed; move it away, or name another folder", .0.display())]
    Foreign(PathBuf),
    /// What is there was written by a version that came later.
    #[error("{} was written by a newer exptap, and what waits in it would be lost; use that one", .0.display())]
    Newer(PathBuf),
    /// Requests wait in it that nothing is configured for.
    #[error(
        "--spool {}: requests for {whose} wait in it ({requests} of them), and {option} does not say where to deliver them; give it, \
         or name another folder", folder.display()
    )]
    NoUpstream {
        /// The folder.
        folder: PathBuf,
        /// How many.
        requests: u64,
        /// Whose.
        whose: &'static str,
        /// What is missing.
        option: &'static str,
    },
    /// Nothing to deliver to at all.
    #[error("--spool keeps requests until they are delivered: say where to, with --forward URL")]
    Nowhere,
}

/// A lane as it was found.
pub(super) struct Found {
    pub(super) queue: Queue,
    pub(super) cursor: Cursor,
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) oldest_ms: Option<i64>,
    pub(super) next_segment: u64,
    pub(super) next_body: u64,
    /// What could not be read, in words.
    pub(super) notes: Vec<String>,
}

/// A folder that is ours alone, until the lock is closed.
pub(super) struct Folder {
    pub(super) lock: File,
    pub(super) lanes: [Found; LANES],
}

fn refused(path: &Path) -> impl Fn(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |error| SpoolError::Refused { path: path.clone(), why: words(&error) }
}

/// Takes the folder, makes it where there is none, and looks at everything in it that is ours.
pub(super) fn take(path: &Path) -> Result<Folder, SpoolError> {
    let refused = refused(path);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(&refused)?;
    // It may be somebody's folder for more than this, so it is not for exptap to close it.
    if fs::metadata(path).map_err(&refused)?.permissions().mode() & 0o022 != 0 {
        return Err(SpoolError::Open(path.to_owned()));
    }
    let synced = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK));
    let lock = lock.map_err(&refused)?;
    if !crate::recorder::Handle::claim(&lock).map_err(&refused)? {
        return Err(SpoolError::Taken(path.to_owned()));
    }
    let [launchdarkly, mobile, segment] = Lane::ALL.map(|lane| {
        let folder = path.join(lane.folder());
        own(&folder)?;
        look(&folder).map_err(|error| match error {
            Odd::Io(error) => refused(error),
            Odd::Spool(error) => error,
        })
    });
    let lanes = [launchdarkly?, mobile?, segment?];
    // A folder that was made just now survives a power cut only where the one it is in does. Not every file system can.
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = synced(path).and_then(|()| synced(above));
    Ok(Folder { lock, lanes })
}

/// A folder that only its owner can look into, and that owner we are.
fn own(folder: &Path) -> Result<(), SpoolError> {
    let refused = refused(folder);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&refused)?;
    let metadata = fs::symlink_metadata(folder).map_err(&refused)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(SpoolError::OfAnother(folder.to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(&refused)?;
    }
    Ok(())
}

enum Odd {
    Io(io::Error),
    Spool(SpoolError),
}

impl From<io::Error> for Odd {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn look(folder: &Path) -> Result<Found, Odd> {
    let cursor = Cursor::open(folder)?;
    let stands = cursor.read()?;
    let (mut numbers, mut bodies) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        numbers.extend(queue::number_of(&path, SEGMENT));
        bodies.extend(queue::number_of(&path, BODY));
    }
    // Never one that the cursor may speak of.
    let after_cursor = stands.map_or(0, |at| at.segment.saturating_add(1));
    let mut next_segment = numbers.last().map_or(0, |last| last.saturating_add(1)).max(after_cursor).max(1);
    let mut notes = Vec::new();
    if let Some(note) = take_again(folder, next_segment)? {
        notes.push(note);
        numbers.insert(next_segment);
        next_segment = next_segment.saturating_add(1);
    }
    if next_segment > LAST_NUMBER {
        return Err(Odd::Spool(SpoolError::Foreign(queue::segment_path(folder, LAST_NUMBER))));
    }
    let mut found = Found {
        queue: Queue::new(folder.to_owned(), VecDeque::new()),
        cursor,
        requests: 0,
        bytes: 0,
        disk_bytes: 0,
        oldest_ms: None,
        next_segment,
        next_body: bodies.last().map_or(1, |last| last.saturating_add(1)),
        notes,
    };
    let mut segments = VecDeque::new();
    let mut named = BTreeSet::new();
    for number in numbers {
        let path = queue::segment_path(folder, number);
        match scan(&path, number, stands, &mut found, &mut named)? {
            Some(segment) => segments.push_back(segment),
            // exptap was killed while it made it.
            None => fs::remove_file(&path)?,
        }
    }
    for number in bodies {
        let path = queue::body_path(folder, number);
        if named.contains(&number) {
            found.disk_bytes += fs::metadata(&path)?.len();
        } else {
            // Of a request that was never answered, or is delivered.
            fs::remove_file(&path)?;
        }
    }
    found.queue = Queue::new(folder.to_owned(), segments);
    Ok(found)
}

/// Takes in what was put aside and is to be sent again, as the newest segment, and says so. Nothing that waits is replaced
/// by it, and the cursor says nothing of it.
fn take_again(folder: &Path, number: u64) -> Result<Option<String>, Odd> {
    let path = folder.join(AGAIN);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if number >= LAST_NUMBER {
        return Ok(None);
    }
    if !is_begun(&path, &mut file)? {
        fs::remove_file(&path)?;
        return Ok(None);
    }
    fs::rename(&path, queue::segment_path(folder, number))?;
    Ok(Some(format!("{}: what was put aside is sent again, behind what waits", path.display())))
}

/// Reads the first line; false: exptap was killed before all of it was there.
fn is_begun(path: &Path, file: &mut File) -> Result<bool, Odd> {
    let mut first = Vec::new();
    file.take(FIRST_LINE.len() as u64).read_to_end(&mut first)?;
    match () {
        () if first == FIRST_LINE => Ok(true),
        () if FIRST_LINE.starts_with(&first) => Ok(false),
        () if first.starts_with(format::MAGIC) => Err(Odd::Spool(SpoolError::Newer(path.to_owned()))),
        () => Err(Odd::Spool(SpoolError::Foreign(path.to_owned()))),
    }
}

/// Looks at one segment; `None`: nothing was ever written to it.
fn scan(
    path: &Path,
    number: u64,
    stands: Option<Position>,
    found: &mut Found,
    named: &mut BTreeSet<u64>,
) -> Result<Option<Segment>, Odd> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if !is_begun(path, &mut file)? {
        return Ok(None);
    }
    let beginning = FIRST_LINE.len() as u64;
    let start = stands.filter(|at| at.segment == number && at.offset <= length).map_or(beginning, |at| at.offset);
    let start = start.max(beginning);
    file.seek(SeekFrom::Start(start))?;
    let mut segment = Segment { number, start, length, is_ended: true, requests: 0, bytes: 0 };
    let mut reader = Reader::new(file, start);
    loop {
        let item = match reader.next(length, true) {
            Ok(Some(item)) => item,
            Ok(None) => break,
            // What stands before it is delivered, and the rest stays where it is.
            Err(error) => {
                found.notes.push(format!(
                    "{}: cannot be read from byte {} on: {}",
                    path.display(),
                    reader.offset(),
                    words(&error)
                ));
                break;
            }
        };
        match item {
            Item::Request(waiting) => {
                segment.requests += 1;
                segment.bytes += waiting.disk_bytes();
                found.oldest_ms = Some(found.oldest_ms.map_or(waiting.arrival_ms, |at| at.min(waiting.arrival_ms)));
                if let Place::File(number) = waiting.measure.place {
                    named.insert(number);
                }
            }
            Item::Damaged { offset, bytes } => found.notes.push(damaged(path, offset, bytes)),
            Item::Unfinished { offset, bytes } => found.notes.push(unfinished(path, offset, bytes)),
        }
    }
    found.requests += segment.requests;
    found.bytes += segment.bytes;
    found.disk_bytes += length;
    Ok(Some(segment))
}

/// What is said of bytes that cannot be read.
pub(super) fn damaged(path: &Path, offset: u64, bytes: u64) -> String {
    format!("{}: {bytes} bytes from byte {offset} on cannot be read, and what was in them is lost", path.display())
}

/// What is said of a request that was never finished.
fn unfinished(path: &Path, offset: u64, bytes: u64) -> String {
    let path = path.display();
    format!(
        "{path}: the request at byte {offset} was being written when exptap ended ({bytes} bytes); it was not answered"
    )
}
