//! The workspace as text: what a hunt plants bugs in and builds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use sim::planted::Bug;
use sim::weave::weave;

/// What of the workspace is copied: what cargo wants to see before it builds `sim`. The copy lies inside the workspace, so
/// `.cargo` is found above it; with one of its own flags would be given twice, and be other flags to cargo.
const COPIED: [&str; 6] = ["Cargo.toml", "Cargo.lock", "broker", "sim", "proptests", "jepsen"];

/// What of it does not go into the program, but for manifests.
const OTHERS: [&str; 4] = ["proptests", "jepsen", "sim/tests", "broker/tests"];

/// All files, as they were at one moment: whoever edits the workspace meanwhile disturbs no hunt.
#[derive(Clone)]
pub(crate) struct Sources {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Sources {
    /// Reads them from the workspace at `root`.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for name in COPIED {
            read_all(root, Path::new(name), &mut files)?;
        }
        Ok(Self { files })
    }

    /// The same with all bugs woven in.
    pub(crate) fn with(&self, bugs: &[Bug]) -> io::Result<Self> {
        let changed = weave(bugs, |path| {
            let bytes = self.files.get(path).cloned();
            let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            String::from_utf8(bytes).map_err(io::Error::other)
        })?;
        let mut files = self.files.clone();
        files.extend(changed.into_iter().map(|(path, text)| (path, text.into_bytes())));
        Ok(Self { files })
    }

    /// A number that is another one when the program is. What is no source of it does not count.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, content) in self.files.iter().filter(|(path, _)| is_of_the_program(path)) {
            (path, content).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Brings the copy at `tree` up to date. Only what differs is written, so that only that is built again.
    pub(crate) fn write(&self, tree: &Path) -> io::Result<()> {
        let mut old = BTreeMap::new();
        for name in COPIED.iter().filter(|name| tree.join(name).exists()) {
            read_all(tree, Path::new(name), &mut old)?;
        }
        for path in old.keys().filter(|path| !self.files.contains_key(*path)) {
            fs::remove_file(tree.join(path))?;
        }
        for (path, content) in &self.files {
            if old.get(path) != Some(content) {
                let to = tree.join(path);
                fs::create_dir_all(to.parent().unwrap_or(tree))?;
                fs::write(to, content)?;
            }
        }
        Ok(())
    }
}

fn is_of_the_program(path: &Path) -> bool {
    let is_below = |folder: &&str| path.starts_with(folder);
    let ends_so = |ending: &&str| path.extension() == Some(OsStr::new(ending));
    let is_manifest = path.file_name() == Some(OsStr::new("Cargo.toml"));
    is_manifest || !(OTHERS.iter().any(is_below) || ["md", "patch"].iter().any(ends_so))
}

fn read_all(root: &Path, path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let from = root.join(path);
    if from.is_dir() {
        for entry in fs::read_dir(&from)? {
            read_all(root, &path.join(entry?.file_name()), files)?;
        }
    } else {
        files.insert(path.to_owned(), fs::read(&from)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        let file = |(path, text): &(&str, &str)| (PathBuf::from(path), text.as_bytes().to_vec());
        Sources { files: files.iter().map(file).collect() }
    }

    #[test]
    fn only_what_the_program_is_made_of_has_a_print() {
        let program = [("Cargo.toml", "a"), ("broker/src/lib.rs", "b"), ("jepsen/Cargo.toml", "c")];
        let print = sources(&program).fingerprint();
        for (path, text) in
            [("sim/tests/a.rs", "d"), ("jepsen/src/a.rs", "d"), ("sim/README.md", "d")]
        {
            let more = [&program[..], &[(path, text)]].concat();
            assert_eq!(sources(&more).fingerprint(), print, "{path}");
        }
        for (path, text) in [("sim/src/a.rs", "d"), ("jepsen/Cargo.toml", "d")] {
            let more = [&program[..], &[(path, text)]].concat();
            assert_ne!(sources(&more).fingerprint(), print, "{path}");
        }
    }

    #[test]
    fn copy_has_what_the_sources_have_and_nothing_else() {
        let tree = std::env::temp_dir().join(format!("sources-{}", std::process::id()));
        fs::create_dir_all(&tree).expect("a directory");
        let first = sources(&[("broker/src/old.rs", "1"), ("broker/src/lib.rs", "2")]);
        first.write(&tree).expect("it is written");
        let written = |path: &str| fs::metadata(tree.join(path)).and_then(|it| it.modified()).ok();
        let before = written("broker/src/lib.rs");
        let second = sources(&[("broker/src/new.rs", "3"), ("broker/src/lib.rs", "2")]);
        second.write(&tree).expect("it is written");
        assert_eq!(written("broker/src/lib.rs"), before, "what is the same is left alone");
        assert_eq!(written("broker/src/old.rs"), None);
        assert_eq!(fs::read(tree.join("broker/src/new.rs")).expect("it is there"), b"3");
        fs::remove_dir_all(&tree).expect("a directory");
    }
}
