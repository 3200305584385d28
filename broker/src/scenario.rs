//! What the runners of scenarios have in common.
//!
//! A scenario is a file of commands, and after them all that came of them. It is played and compared with what is written;
//! with `UPDATE_SCENARIOS=1` it is written anew, for people to read. What the commands do is for the runner of each module to
//! say. Whatever a command makes panic, its file and line are told.

use std::any::type_name;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::model::NodeId;

/// A scenario as it is written.
pub(crate) struct Scenario {
    path: PathBuf,
    text: String,
}

/// One line of it. Who panics while it lasts is said to have done so here.
pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    path: &'a Path,
    number: usize,
}

impl Drop for Line<'_> {
    #[expect(clippy::print_stderr, reason = "it belongs to the message of the panic")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:{}: {}", self.path.display(), self.number, self.text);
        }
    }
}

/// Plays all scenarios of a directory, which is named from the root of the package on.
pub(crate) fn check_all(directory: &str, play: impl Fn(&Scenario) -> String) {
    let names = names(directory);
    assert!(!names.is_empty(), "no scenarios in {directory}");
    for name in names {
        check(directory, &name, &play);
    }
}

/// Plays one scenario of a directory.
pub(crate) fn check(directory: &str, name: &str, play: impl FnOnce(&Scenario) -> String) {
    let path = path_of(directory).join(name).with_extension("txt");
    let scenario = Scenario { text: read(&path), path };
    let played = play(&scenario);
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        write(&scenario.path, &played);
    } else if let Some(difference) = scenario.difference_to(&played) {
        panic!("{difference}\n(UPDATE_SCENARIOS=1 writes it down as it went)");
    }
}

/// The names of all scenarios of a directory, in order.
#[expect(clippy::disallowed_methods, reason = "the scenarios lie in the source tree")]
pub(crate) fn names(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path_of(directory)).expect("a directory of scenarios");
    let paths = entries.map(|entry| entry.expect("an entry of the directory").path());
    let texts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut names: Vec<String> = texts
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn path_of(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)
}

#[expect(clippy::disallowed_methods, reason = "the scenarios lie in the source tree")]
fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "the scenarios lie in the source tree")]
fn write(path: &Path, text: &str) {
    let written = std::fs::write(path, text);
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

impl Scenario {
    /// Everything that is written, outputs included.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let line = |(number, text)| Line { text, path: &self.path, number };
        (1..).zip(self.text.lines()).map(line)
    }

    /// Plays commands that begin in the first column; what comes of each is indented, and follows it.
    pub(crate) fn with_indented_output(&self, mut run: impl FnMut(&str) -> String) -> String {
        let mut played = String::new();
        for line in self.lines().filter(|line| !line.text.starts_with("  ")) {
            played += line.text;
            played += "\n";
            if !line.text.is_empty() && !line.text.starts_with('#') {
                played += &run(line.text);
            }
        }
        played
    }

    /// The first line that is not as it is written.
    fn difference_to(&self, played: &str) -> Option<String> {
        if played == self.text {
            return None;
        }
        // What has no end of line anywhere differs in its last line.
        let (written, came) = (self.text.split('\n'), played.split('\n'));
        let same = written.clone().zip(came.clone()).take_while(|(a, b)| a == b).count();
        let [written, came] = [written, came].map(|mut all| all.nth(same).unwrap_or("(the end)"));
        let place = format!("{}:{}", self.path.display(), same + 1);
        Some(format!("{place}: it went another way\nwritten: {written}\n   came: {came}"))
    }
}

/// The words of a command: plain ones, and `key=value`s.
pub(crate) struct Words<'a> {
    /// What the command is called, and what it is about.
    pub(crate) plain: Vec<&'a str>,
    /// The others.
    pub(crate) named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.iter().filter_map(|word| word.split_once('=')).collect() }
    }

    /// A plain word, which must be there; the command's name is at 0.
    pub(crate) fn word(&self, place: usize) -> &'a str {
        self.plain.get(place).unwrap_or_else(|| panic!("plain word {place} is missing"))
    }

    /// A plain word that is a number, or what else can be parsed.
    pub(crate) fn parsed<T: FromStr>(&self, place: usize) -> T {
        parse(self.word(place))
    }

    /// A plain word that is a node.
    pub(crate) fn node(&self, place: usize) -> NodeId {
        NodeId(self.parsed(place))
    }

    /// True when this is one of the plain words.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.plain.contains(&flag)
    }

    /// What stands behind `key=`.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.named.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The number, or what else can be parsed, behind `key=`.
    pub(crate) fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        self.get(key).map(parse)
    }

    /// The same, which must be there.
    pub(crate) fn needed<T: FromStr>(&self, key: &str) -> T {
        self.number(key).unwrap_or_else(|| panic!("{key}= is missing"))
    }
}

/// Reads a number, or what else can be parsed.
pub(crate) fn parse<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no {}", type_name::<T>()))
}

/// Reads `1,2,3`; nothing at all is nobody.
pub(crate) fn nodes(text: &str) -> Vec<NodeId> {
    text.split(',').filter(|id| !id.is_empty()).map(|id| NodeId(parse(id))).collect()
}

/// Writes `1,2,3`.
pub(crate) fn list(ids: &[NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn the_first_line_that_differs_is_named() {
    let check = |text: &str, played: &str, expected: Option<&str>| {
        let scenario = Scenario { path: PathBuf::from("a.txt"), text: text.to_owned() };
        assert_eq!(scenario.difference_to(played).as_deref(), expected, "{text:?} {played:?}");
    };
    check("a\nb\n", "a\nb\n", None);
    let line = "a.txt:2: it went another way\nwritten: b\n   came: c";
    check("a\nb\nd\n", "a\nc\nd\n", Some(line));
    check("a\n", "a\nb\n", Some("a.txt:2: it went another way\nwritten: \n   came: b"));
    check("a\nb", "a", Some("a.txt:2: it went another way\nwritten: b\n   came: (the end)"));
}
