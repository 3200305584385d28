//! Planted bugs: small changes of the broker that break a promise, each kept apart in `sim/planted/NAME.patch`, so that the
//! broker has no branch for tests. A checker is believed once it has caught what it is for.
//!
//! A patch is a story, an empty line, and a unified diff against the workspace's root. Line numbers are not looked at: the
//! lines that a hunk takes away or keeps must stand in the file exactly once, together. So patches survive changes elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The file's name without its ending.
    pub name: String,
    /// What is wrong with a broker that has it.
    pub story: String,
    hunks: Vec<Hunk>,
}

/// A place to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk {
    file: String,
    before: String,
    after: String,
}

/// The root of the workspace this was built from.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All bugs, by name.
///
/// # Errors
///
/// When the folder or a patch cannot be read, or one is no patch.
pub fn all() -> io::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in fs::read_dir(workspace().join("sim/planted"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let parsed = Bug::parse(&name, &fs::read_to_string(&path)?);
            bugs.push(parsed.map_err(|problem| io::Error::other(format!("{name}: {problem}")))?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

impl Bug {
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (story, diff) = text.split_once("\n\n").ok_or("there is no story")?;
        let mut file = None;
        let mut hunks: Vec<Hunk> = Vec::new();
        for line in diff.lines() {
            if line.starts_with("--- ") {
                file = None;
            } else if let Some(path) = line.strip_prefix("+++ ") {
                file = Some(path.to_owned());
            } else if line.starts_with("@@") {
                let file = file.clone().ok_or("a hunk belongs to no file")?;
                hunks.push(Hunk { file, ..Hunk::default() });
            } else {
                let hunk = hunks.last_mut().ok_or("lines before the first hunk")?;
                hunk.take(line)?;
            }
        }
        if hunks.is_empty() {
            return Err("it changes nothing".to_owned());
        }
        let story = story.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { name: name.to_owned(), story, hunks })
    }

    /// The files it changes, relative to the workspace's root, as they are with the bug in; `read` gives them without it.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or a place cannot be found, or more than once.
    pub fn plant(
        &self,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> io::Result<BTreeMap<PathBuf, String>> {
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        for hunk in &self.hunks {
            let path = PathBuf::from(&hunk.file);
            let text = match files.remove(&path) {
                Some(text) => text,
                None => read(&path)?,
            };
            let places = text.matches(hunk.before.as_str()).count();
            if places != 1 {
                let problem = format!(
                    "{}: the lines to change are {places} times in {}",
                    self.name, hunk.file
                );
                return Err(io::Error::other(problem));
            }
            files.insert(path, text.replacen(&hunk.before, &hunk.after, 1));
        }
        Ok(files)
    }
}

impl Hunk {
    fn take(&mut self, line: &str) -> Result<(), String> {
        let (kind, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
        for (marks, side) in [(" -", &mut self.before), (" +", &mut self.after)] {
            if marks.contains(kind) {
                side.push_str(rest);
                side.push('\n');
            }
        }
        if " +-".contains(kind) { Ok(()) } else { Err(format!("a line begins with '{kind}'")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "What is\nwrong.\n\n--- a.rs\n+++ a.rs\n@@\n one\n-two\n+2\n\n three\n";

    #[test]
    fn a_hunk_is_found_by_its_lines_wherever_they_are() {
        let bug = Bug::parse("bug", PATCH).expect("a patch");
        assert_eq!(bug.story, "What is wrong.");
        let root = std::env::temp_dir().join(format!("planted-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a directory");
        for (text, expected) in [
            ("zero\none\ntwo\n\nthree\nfour\n", Some("zero\none\n2\n\nthree\nfour\n")),
            ("one\ntwo\nthree\n", None),
            ("one\ntwo\n\nthree\none\ntwo\n\nthree\n", None),
        ] {
            fs::write(root.join("a.rs"), text).expect("a file");
            let planted = bug.plant(|path| fs::read_to_string(root.join(path))).ok();
            let planted = planted.and_then(|mut files| files.remove(Path::new("a.rs")));
            assert_eq!(planted.as_deref(), expected, "{text:?}");
        }
        fs::remove_dir_all(&root).expect("a directory");
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for text in ["", "story only", "story\n\n", "story\n\n@@\n a\n", "s\n\n+++ a\n@@\n*a\n"] {
            assert!(Bug::parse("bug", text).is_err(), "{text:?}");
        }
    }
}
