//! The files that everything is judged by, looked at once a second: a person who mends a catalog sees what it changes.
//!
//! A look is one question about a file's time and size, and costs the terminal nothing. The operating system's own news
//! of files would be quicker and is not to be had everywhere (shared folders, containers), so that looking would be
//! needed all the same.

use super::map;
use crate::bucketing::fill::fill;
use crate::bucketing::payload::Payload;
use crate::bucketing::seen::Seen;
use crate::catalog::Given;
use crate::cli;
use crate::headless;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The files that were named, and how they were when they were read.
#[derive(Default)]
pub(super) struct Watch {
    catalog: Option<File>,
    mapping: Option<File>,
    /// The rollouts that fill the catalog.
    flags: Option<Payload>,
    /// What was given last.
    given: Given,
    next: Option<Instant>,
}

/// A file that is watched.
struct File {
    path: PathBuf,
    /// Whether it is one that can be read again: a pipe is none.
    is_regular: bool,
    stamp: Option<Stamp>,
}

/// How to know a file that was written anew: in place, or put in the place of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    bytes: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            bytes: metadata.len(),
        }
    }
}

/// What a look came to.
pub(super) enum News {
    /// Nothing has changed.
    None,
    /// Something to judge by, what of it was read again, and a remark on it.
    Given(Box<Given>, &'static str, Option<String>),
    /// It was read again and is not to be judged by: what is wrong, and where.
    Mistake(String),
}

impl File {
    fn new(path: &Path) -> Self {
        let metadata = path.metadata().ok();
        let is_regular = metadata.as_ref().is_some_and(Metadata::is_file);
        Self { path: path.to_owned(), is_regular, stamp: metadata.as_ref().map(Stamp::of) }
    }

    /// Whether it is another one than at the last look. A name that is gone for a moment is a file being put in its
    /// place, and one without content is being written: there will be more to see.
    fn has_changed(&mut self) -> bool {
        let Ok(metadata) = self.path.metadata() else { return false };
        let stamp = Stamp::of(&metadata);
        if !self.is_regular || stamp.bytes == 0 || self.stamp == Some(stamp) {
            return false;
        }
        self.stamp = Some(stamp);
        true
    }
}

impl Watch {
    /// The files that were named. They must not have been read yet: what is written while they are read is another file.
    pub(super) fn new(judging: &cli::Judging) -> Self {
        let file = |path: &Option<PathBuf>| path.as_deref().map(File::new);
        let (catalog, mapping) = (file(&judging.catalog), file(&judging.mapping));
        Self { catalog, mapping, ..Self::default() }
    }

    /// A catalog that is read again is filled with these rollouts.
    pub(super) fn fill_with(&mut self, flags: Payload) {
        self.flags = Some(flags);
    }

    /// What was given at first.
    pub(super) fn begin_with(&mut self, given: Given) {
        self.given = given;
    }

    /// Takes flags that passed by: what there is to judge by now, and a remark on it that was not made before.
    pub(super) fn take_flags(&mut self, seen: Seen) -> (Given, Option<String>) {
        let before = self.given.remarks_on_flags();
        self.given.flags = Some(Arc::new(seen));
        let remark = self.given.remarks_on_flags().into_iter().find(|remark| !before.contains(remark));
        (self.given.clone(), remark)
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        self.catalog.iter().chain(&self.mapping).filter(|file| file.is_regular)
    }

    /// Waits until it is time to look; for ever where there is nothing to look at.
    pub(super) async fn due(&mut self) {
        if self.files().next().is_none() {
            return std::future::pending().await;
        }
        let next = *self.next.get_or_insert_with(|| Instant::now() + LOOK_AGAIN);
        sleep_until(next).await;
    }

    /// Looks, and reads what has changed.
    pub(super) fn look(&mut self) -> News {
        self.next = None;
        let is_changed = |file: &mut Option<File>| file.as_mut().is_some_and(File::has_changed);
        // Both are asked: two that are written at a time are read at a time.
        let what = match (is_changed(&mut self.catalog), is_changed(&mut self.mapping)) {
            (false, false) => return News::None,
            (true, false) => "catalog",
            (false, true) => "mapping",
            (true, true) => "catalog and mapping",
        };
        match self.read() {
            Ok((given, remark)) => {
                self.given = given.clone();
                News::Given(Box::new(given), what, remark)
            }
            Err(why) => News::Mistake(format!("{why}; the {what} before stays")),
        }
    }

    fn read(&self) -> Result<(Given, Option<String>), String> {
        let catalog = self.catalog.as_ref().map(|file| headless::read_catalog(&file.path)).transpose();
        // The last line holds one mistake; the others are told when it is mended.
        let mut catalog = catalog.map_err(|mistakes| first_line(&mistakes))?;
        let mapping = self.mapping.as_ref().map(|file| map::look_at_mapping(&file.path)).transpose();
        let (destination, mut remarks) = match mapping.map_err(|mistakes| first_line(&mistakes))? {
            Some((destination, remarks)) => (Some(Arc::new(destination)), remarks),
            None => (None, Vec::new()),
        };
        if let (Some(catalog), Some(flags)) = (&mut catalog, &self.flags) {
            remarks.extend(fill(catalog, flags));
        }
        Ok((Given { catalog, destination, flags: self.given.flags.clone() }, remarks.into_iter().next()))
    }
}

fn first_line(mistakes: &str) -> String {
    let mut lines = mistakes.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    match lines.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const CATALOG: &str = "[[metrics]]\nkey = \"a\"\nevent_key = \"a\"\n";

    fn watching(folder: &Path) -> (Watch, PathBuf) {
        let path = folder.join("catalog.toml");
        std::fs::write(&path, CATALOG).unwrap();
        (Watch { catalog: Some(File::new(&path)), ..Watch::default() }, path)
    }

    fn metrics(news: News) -> Vec<String> {
        match news {
            News::Given(given, "catalog", None) => {
                given.catalog.unwrap().metrics.into_iter().map(|metric| metric.key).collect()
            }
            News::Given(_, what, remark) => panic!("{what} {remark:?}"),
            News::Mistake(why) => panic!("{why}"),
            News::None => Vec::new(),
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_is_written_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, path) = watching(folder.path());
        assert_eq!(metrics(watch.look()), [""; 0]);
        std::fs::write(&path, CATALOG.replace("\"a\"", "\"other\"")).unwrap();
        assert_eq!(metrics(watch.look()), ["other"]);
        assert_eq!(metrics(watch.look()), [""; 0]);
    }

    #[test]
    fn a_file_that_is_put_in_its_place_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, path) = watching(folder.path());
        let new = folder.path().join("new");
        // Of the same size: what tells them apart is which file it is.
        std::fs::write(&new, CATALOG.replace("\"a\"", "\"b\"")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(metrics(watch.look()), [""; 0]);
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(metrics(watch.look()), ["b"]);
    }

    #[test]
    fn a_mistake_is_told_once_with_its_line_and_a_file_being_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, path) = watching(folder.path());
        std::fs::write(&path, "").unwrap();
        assert_eq!(metrics(watch.look()), [""; 0]);
        std::fs::write(&path, "[[metrics]]\nkey = \"a\"\nevent_key = 7\n").unwrap();
        let News::Mistake(why) = watch.look() else { panic!("it is not told") };
        let place = format!("{}:3:13: ", path.display());
        assert!(why.starts_with(&place) && why.contains("event_key"), "{why}");
        assert!(why.ends_with("; the catalog before stays"), "{why}");
        assert_eq!(metrics(watch.look()), [""; 0]);
        std::fs::write(&path, CATALOG).unwrap();
        assert_eq!(metrics(watch.look()), ["a"]);
    }

    #[test]
    fn of_flags_that_prove_nothing_only_those_of_experiments_are_named_and_once() {
        let catalog = format!("{CATALOG}[[experiments]]\nkey = \"e\"\nflag = \"cta\"\nrandomization_unit = \"user\"\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.toml");
        std::fs::write(&path, catalog).unwrap();
        let catalog = headless::read_catalog(&path).unwrap();
        let mut watch = Watch { given: Given { catalog: Some(catalog), ..Given::default() }, ..Watch::default() };
        let mut seen = Seen::default();
        let mut remark = |key: &str, seed: u32| {
            seen.take("sdk-…1", crate::bucketing::payload::read(&format!(
                r#"{{"key":"{key}","on":true,"salt":"s","fallthrough":{{"rollout":{{"kind":"experiment","contextKind":"user","seed":{seed},"variations":[{{"variation":0,"weight":100000}}]}}}}}}"#
            )));
            watch.take_flags(seen.clone()).1
        };
        assert_eq!([remark("unrelated", 1), remark("unrelated", 2), remark("cta", 1)], [None, None, None]);
        let told = "flag cta proves no bucket: its rollout changed while it was watched";
        assert_eq!(remark("cta", 2).as_deref(), Some(told));
        assert_eq!(remark("unrelated", 3), None);
    }

    #[test]
    fn without_a_file_there_is_nothing_to_look_at() {
        assert!(Watch::default().files().next().is_none());
    }
}
