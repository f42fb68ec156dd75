//! The socket of a collector: a file that only its owner can open, which survives a crash as a dead file and must then
//! be taken over, and must not be while somebody serves it.

use rustix::fs::{FlockOperation, flock};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A socket that is listened on. Dropped, it is removed.
#[derive(Debug)]
pub struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
    /// Held for as long as the socket is served.
    _lock: File,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody serves it.
    #[error(
        "{} is served by another exptap{}: attach to it (exptap attach), stop it, or name another socket with --socket PATH",
        path.display(),
        process.map_or_else(String::new, |process| format!(" (process {process})"))
    )]
    Taken {
        /// The socket.
        path: PathBuf,
        /// Who.
        process: Option<u32>,
    },
    /// Something else has that name.
    #[error("{} is there already and is not a socket; name another one with --socket PATH", .0.display())]
    Foreign(PathBuf),
    /// Others could put something in its place.
    #[error("the folder {} belongs to somebody else or is open to others; name a socket elsewhere with --socket PATH", .0.display())]
    Unsafe(PathBuf),
    /// The system refuses.
    #[error("the socket {} cannot be made: {error}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// Where a collector of this user is looked for where no socket is named.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = rustix::process::getuid().as_raw();
    // A command that ssh runs may lack the variable while the folder is there.
    let usual = || Some(PathBuf::from(format!("/run/user/{user}"))).filter(|folder| folder.is_dir());
    let folder = given("XDG_RUNTIME_DIR").or_else(usual).map(|folder| folder.join("exptap"));
    folder.unwrap_or_else(|| std::env::temp_dir().join(format!("exptap-{user}"))).join("collector.sock")
}

impl Socket {
    /// Makes a socket that only its owner can open, in a folder that is made where there is none.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let refused = |error| SocketError::Refused { path: path.to_owned(), error };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
        check_folder(folder)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(&lock_path)
            .map_err(refused)?;
        // A lock, and not a look at whether somebody answers: two that start at once would both find nobody.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(SocketError::Taken { path: path.to_owned(), process: holder(path) });
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::Foreign(path.to_owned())),
            // An exptap that keeps no lock, or another program, serves it.
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(SocketError::Taken { path: path.to_owned(), process: holder(path) });
            }
            _ => {}
        }
        // Made in a folder nobody else can enter and then moved: at no moment can others open it.
        let private = tempfile::Builder::new().prefix(".s").rand_bytes(4).tempdir_in(folder).map_err(refused)?;
        let made = private.path().join("s");
        let listener = UnixListener::bind(&made).map_err(refused)?;
        fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(refused)?;
        fs::rename(&made, path).map_err(refused)?;
        Ok(Self { listener: Some(listener), path: path.to_owned(), _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, once.
    pub(super) fn take_listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock's file stays: whoever waits for the lock of a file that is gone would have it to themselves.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether nobody else can put something else under a name in this folder.
fn check_folder(folder: &Path) -> Result<(), SocketError> {
    let metadata = fs::metadata(folder).map_err(|error| SocketError::Refused { path: folder.to_owned(), error })?;
    let user = rustix::process::getuid().as_raw();
    let is_ours = metadata.uid() == user || metadata.uid() == 0;
    let mode = metadata.permissions().mode();
    // In a folder like /tmp only the owner of a file can remove it.
    let is_closed = mode & 0o022 == 0 || mode & 0o1000 != 0;
    if is_ours && is_closed { Ok(()) } else { Err(SocketError::Unsafe(folder.to_owned())) }
}

/// The process that serves a socket, where the system says so.
fn holder(path: &Path) -> Option<u32> {
    let stream = std::os::unix::net::UnixStream::connect(path).ok()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let credentials = rustix::net::sockopt::socket_peercred(&stream).ok()?;
        u32::try_from(credentials.pid.as_raw_nonzero().get()).ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        drop(stream);
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_socket_is_its_owners_alone_and_so_is_the_folder_that_is_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exptap").join("collector.sock");
        let socket = Socket::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the socket and its lock: {left:?}");
        drop(socket);
        assert!(!path.exists());
        Socket::open(&path).unwrap();
    }

    #[test]
    fn one_that_is_served_is_refused_with_the_process_and_a_dead_one_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("collector.sock");
        let socket = Socket::open(&path).unwrap();
        let error = Socket::open(&path).unwrap_err().to_string();
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        }
        drop(socket);
        // What a process leaves that is killed: a socket that nobody listens on.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::open(&path).unwrap();
        std::os::unix::net::UnixStream::connect(socket.path()).unwrap();
    }

    #[test]
    fn a_socket_of_another_program_and_a_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.sock");
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::open(&path), Err(SocketError::Taken { .. })));
        drop(other);
        let path = folder.path().join("file");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::open(&path), Err(SocketError::Foreign(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_folder_in_which_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Socket::open(&open.join("s")), Err(SocketError::Unsafe(_))));
    }

    #[test]
    fn the_usual_place_is_the_sessions_own_folder() {
        let named = default_path(|name| (name == "XDG_RUNTIME_DIR").then(|| "/run/mine".into()));
        assert_eq!(named, Path::new("/run/mine/exptap/collector.sock"));
        assert!(default_path(|_| None).ends_with("collector.sock"));
    }
}
