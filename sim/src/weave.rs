//! Weaves all planted bugs into one program, so that a hunt builds once: each function that a bug changes is there once
//! more with the bug in it, and the function begins with the question which bug this process has.
//!
//! ```text
//! fn flush(&self) {                                            fn flush(&self) {
//!     self.sync();             a bug that forgets to sync          if crate::planted::is("forgets") {
//! }                         ──────────────────────────────►            return self.flush__forgets();
//!                                                                  }
//!                                                                  self.sync();
//!                                                              }
//!                                                              fn flush__forgets(&self) {
//!                                                              }
//! ```
//!
//! So a bug may only change bodies of functions, and not those of a trait. Text is looked at, not syntax: as rustfmt leaves it,
//! a function ends at the first closing brace below its head that stands as far to the left.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::planted::Bug;

/// The variable of the environment that names the bug of a process; without it there is none.
pub const VARIABLE: &str = "PLANTED_BUG";

/// The files that differ when all bugs are woven in, relative to the workspace's root; `read` gives them without.
///
/// # Errors
///
/// When a bug does not fit, or changes something else than the body of a function.
pub fn weave(
    bugs: &[Bug],
    read: impl Fn(&Path) -> io::Result<String>,
) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut clones: BTreeMap<PathBuf, Vec<Clone>> = BTreeMap::new();
    for bug in bugs {
        for (path, changed) in bug.plant(&read)? {
            let before = read(&path)?;
            let found = clones_of(&bug.name, &before, &changed);
            let found = found.map_err(|why| {
                io::Error::other(format!("{}: {}: {why}", bug.name, path.display()))
            })?;
            clones.entry(path).or_default().extend(found);
        }
    }
    let mut files = BTreeMap::new();
    for (path, clones) in clones {
        let text = read(&path)?;
        files.insert(path, woven(&text, clones));
    }
    let root = PathBuf::from("broker/src/lib.rs");
    let lib = match files.remove(&root) {
        Some(lib) => lib,
        None => read(&root)?,
    };
    files.insert(root, format!("{lib}\npub mod planted;\n"));
    let question = format!("{QUESTION}\nconst VARIABLE: &str = {VARIABLE:?};\n");
    files.insert(PathBuf::from("broker/src/planted.rs"), question);
    Ok(files)
}

/// What the woven program asks.
const QUESTION: &str = r"//! Which planted bug this process has.

use std::sync::OnceLock;

static CHOSEN: OnceLock<Option<String>> = OnceLock::new();

/// True when it is this one.
#[must_use]
pub fn is(name: &str) -> bool {
    CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
}
";

/// A function as a bug has it.
struct Clone {
    bug: String,
    /// Of the function in the text without the bug: the line of its head, and of its last brace.
    first: usize,
    last: usize,
    /// Its lines with the bug.
    text: Vec<String>,
}

/// The functions that differ between two texts.
fn clones_of(bug: &str, before: &str, after: &str) -> Result<Vec<Clone>, String> {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let mut clones = Vec::new();
    // Where both texts are the same up to.
    let (mut old, mut new) = (0, 0);
    loop {
        while old < before.len() && before.get(old) == after.get(new) {
            (old, new) = (old + 1, new + 1);
        }
        if old >= before.len() && new >= after.len() {
            return Ok(clones);
        }
        let first = enclosing(&before, old).ok_or("a change outside of functions")?;
        let last = end_of(&before, first).ok_or("a function without an end")?;
        let new_first = new - (old - first);
        let new_last = end_of(&after, new_first).ok_or("a function without an end")?;
        if old <= body_of(&before, first) {
            return Err("a change of a function's head".to_owned());
        }
        let text = after.get(new_first..=new_last).unwrap_or_default();
        let text = text.iter().map(|line| (*line).to_owned()).collect();
        clones.push(Clone { bug: bug.to_owned(), first, last, text });
        (old, new) = (last + 1, new_last + 1);
    }
}

/// The line with the head of the function around a line.
fn enclosing(lines: &[&str], line: usize) -> Option<usize> {
    let is_around = |first: &usize| {
        name_of(lines.get(*first).copied().unwrap_or_default()).is_some()
            && end_of(lines, *first).is_some_and(|last| last >= line)
    };
    (0..=line.min(lines.len().saturating_sub(1))).rev().find(is_around)
}

fn end_of(lines: &[&str], first: usize) -> Option<usize> {
    let indent = indent_of(lines.get(first)?);
    let is_end = |line: &&str| line.trim() == "}" && indent_of(line) == indent;
    lines.iter().skip(first).position(is_end).map(|count| first + count)
}

/// The line that opens the body.
fn body_of(lines: &[&str], first: usize) -> usize {
    let opens = lines.iter().skip(first).position(|line| line.ends_with('{'));
    first + opens.unwrap_or(0)
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The function's name, if this is the head of one.
fn name_of(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    if !before.split_whitespace().all(|word| words.contains(&word)) {
        return None;
    }
    after.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

fn woven(text: &str, mut clones: Vec<Clone>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut woven: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    // From below, so that numbers of lines above stay right; the order of bugs in one function does not matter.
    clones.sort_by(|a, b| b.first.cmp(&a.first).then_with(|| a.bug.cmp(&b.bug)));
    for group in clones.chunk_by(|a, b| a.first == b.first) {
        let Some(Clone { first, last, .. }) = group.first() else { continue };
        let head = lines.get(*first..=body_of(&lines, *first)).unwrap_or_default().join("\n");
        let name = name_of(&head).unwrap_or_default();
        let mut behind = Vec::new();
        let mut questions = Vec::new();
        for clone in group {
            let new_name = format!("{name}__{}", clone.bug);
            questions.push(format!(
                "if crate::planted::is({:?}) {{ return {}; }}",
                clone.bug,
                call(&head, &new_name)
            ));
            let mut text = clone.text.clone();
            if let Some(head) = text.first_mut() {
                *head = head.replacen(&format!("fn {name}"), &format!("fn {new_name}"), 1);
            }
            behind.extend(text);
        }
        woven.splice(last + 1..=*last, behind);
        let body = body_of(&lines, *first) + 1;
        woven.splice(body..body, questions);
    }
    woven.join("\n") + "\n"
}

/// How a function with this head calls another one with the same parameters.
fn call(head: &str, name: &str) -> String {
    let parameters: Vec<String> = parameters(head);
    let has_self = parameters.iter().any(|name| name == "self");
    let is_associated = indent_of(head) > 0;
    let owner = if has_self {
        "self."
    } else if is_associated {
        "Self::"
    } else {
        ""
    };
    let arguments: Vec<_> = parameters.into_iter().filter(|name| name != "self").collect();
    let wait = if head.contains("async fn ") { ".await" } else { "" };
    format!("{owner}{name}({}){wait}", arguments.join(", "))
}

/// The names of the parameters in a head.
fn parameters(head: &str) -> Vec<String> {
    let behind_name = head.split_once("fn ").map_or("", |(_, rest)| rest);
    let (mut depth, mut is_open, mut list, mut before) = (0, false, String::new(), ' ');
    for c in behind_name.chars() {
        let is_arrow = before == '-' && c == '>';
        before = c;
        if "([<{".contains(c) {
            depth += 1;
            if depth == 1 && c == '(' {
                is_open = true;
                continue;
            }
        } else if ")]>}".contains(c) && !is_arrow {
            depth -= 1;
            if is_open && depth == 0 {
                break;
            }
        }
        if is_open {
            // A comma inside of a type is none.
            list.push(if c == ',' && depth > 1 { ';' } else { c });
        }
    }
    let name_of = |parameter: &str| {
        let pattern = parameter.split(':').next().unwrap_or_default().trim();
        let name = pattern.trim_start_matches(['&', ' ']).trim_start_matches("mut ");
        // A pattern of several names is given on as the tuple that it was.
        name.replace(';', ",")
    };
    let names = list.split(',').map(name_of).filter(|name| !name.is_empty());
    // A reference with a lifetime to itself.
    names.map(|name| if name.ends_with("self") { "self".to_owned() } else { name }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_asks_first_and_goes_on_as_its_clone() {
        let before = "impl A {\n    pub async fn f(&self, x: u8) -> u8 {\n        x\n    }\n\n    fn g() {\n        1;\n    }\n}\n";
        let after = before.replace("        x\n", "        x + 1\n");
        let clones = clones_of("bug", before, &after).expect("a change of a body");
        let expected = "impl A {\n    pub async fn f(&self, x: u8) -> u8 {\n\
            if crate::planted::is(\"bug\") { return self.f__bug(x).await; }\n        x\n    }\n    \
            pub async fn f__bug(&self, x: u8) -> u8 {\n        x + 1\n    }\n\n    fn g() {\n        1;\n    }\n}\n";
        assert_eq!(woven(before, clones), expected);
    }

    #[test]
    fn what_is_no_body_is_refused() {
        let before = "const A: u8 = 1;\nfn f(a: u8) {\n    a;\n}\n";
        for (from, to) in [("A: u8 = 1", "A: u8 = 2"), ("f(a: u8)", "f(a: u16)")] {
            assert!(clones_of("bug", before, &before.replace(from, to)).is_err(), "{to}");
        }
        assert!(clones_of("bug", before, &before.replace("    a;", "    b;")).is_ok());
    }

    #[test]
    fn parameters_are_named_whatever_their_types() {
        for (head, expected) in [
            ("fn f() {", &[][..]),
            ("fn f<R: Fn(u8) -> u8>(a: &R, mut b: Vec<(u8, u16)>) -> (u8, u8) {", &["a", "b"]),
            ("fn f(\n    &mut self,\n    map: BTreeMap<u8, u8>,\n) -> u8 {", &["self", "map"]),
            ("fn f(self: &Arc<Self>, call: impl Fn(u8, u8) -> u8) {", &["self", "call"]),
            ("fn f(&self, (a, b): (u8, Option<u8>)) {", &["self", "(a, b)"]),
        ] {
            assert_eq!(parameters(head), expected, "{head}");
        }
    }
}
