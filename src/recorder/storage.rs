//! What a recorder needs from a file system, as traits: a disk that is full, fails or crashes is what recordings must
//! survive, and a real one cannot be made to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// A file.
    File(Identity),
    /// A folder.
    Folder,
    /// A pipe, a socket, a device.
    Other,
}

/// A file system.
pub trait Storage: Send {
    /// What a path names.
    ///
    /// # Errors
    /// Where that cannot be found out.
    fn look(&self, path: &Path) -> io::Result<Named>;

    /// Opens a file, to be read and to be written at its end, and makes it where there is none.
    ///
    /// # Errors
    /// Where it cannot be opened.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// Where it cannot have it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// An open file. What is written goes to its end.
pub trait Handle: Read + Write + Seek + Send {
    /// Which file it is.
    ///
    /// # Errors
    /// Where that cannot be found out.
    fn identity(&self) -> io::Result<Identity>;

    /// Whether no folder names it any more.
    ///
    /// # Errors
    /// Where that cannot be found out.
    fn is_removed(&self) -> io::Result<bool>;

    /// Claims it for this process alone, until it is closed; false where another has it.
    ///
    /// # Errors
    /// Where the file system cannot do that.
    fn claim(&self) -> io::Result<bool>;

    /// Its bytes.
    ///
    /// # Errors
    /// Where it cannot be asked.
    fn length(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }

    /// Cuts it off.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    /// Where it is not, and may never be.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn look(&self, path: &Path) -> io::Result<Named> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Named::File(identity(&metadata))),
            Ok(metadata) if metadata.is_dir() => Ok(Named::Folder),
            Ok(_) => Ok(Named::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Named::Nothing),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        // A pipe that took the place of the file since it was looked at must not hold anything up.
        let no_wait = rustix::fs::OFlags::NONBLOCK.bits();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(i32::try_from(no_wait).unwrap_or_default())
            .open(path)?;
        // A file that was made just now survives a power cut only where its folder does. Not every file system can.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    Identity { device: metadata.dev(), inode: metadata.ino() }
}

impl Handle for File {
    fn identity(&self) -> io::Result<Identity> {
        self.metadata().map(|metadata| identity(&metadata))
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.metadata().map(|metadata| metadata.nlink() == 0)
    }

    fn claim(&self) -> io::Result<bool> {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::Errno;
        match flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            // A network share that knows no locks is no reason not to record.
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::NOLCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
