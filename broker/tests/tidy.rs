//! Small rules no compiler knows: the house stays as its documents say.

#![expect(clippy::disallowed_methods, reason = "the source is real files")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Folders that hold what was made, not written.
const MADE: &[&str] = &["target", "data", "node_modules", "corpus", "artifacts"];

fn files(directory: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the folder can be read") {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !MADE.contains(&name) {
                files(&path, extension, into);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            into.push(path);
        }
    }
}

/// Runs a check over every file; it says what is wrong with each.
fn each_file(directory: &str, extension: &str, check: impl Fn(&Path, &str) -> Vec<String>) {
    let mut paths = Vec::new();
    files(&root().join(directory), extension, &mut paths);
    assert!(!paths.is_empty(), "no .{extension} files below {directory}");
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("UTF-8");
        wrong.extend(
            check(&path, &text).into_iter().map(|what| format!("{}: {what}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn found(text: &str, words: &[&str]) -> Vec<String> {
    words
        .iter()
        .filter(|word| text.contains(**word))
        .map(|word| format!("contains {word}"))
        .collect()
}

#[test]
fn the_broker_never_asks_in_which_world_it_runs() {
    each_file("broker/src", "rs", |_, text| {
        found(text, &["cfg(madsim)", "cfg(not(madsim))", "cfg!(madsim)"])
    });
}

#[test]
fn every_select_is_biased() {
    each_file("broker/src", "rs", |path, text| {
        if path.ends_with("environment/select.rs") {
            Vec::new()
        } else {
            found(text, &["tokio::select!"])
        }
    });
}

#[test]
fn nothing_hides_unfinished_work() {
    let words = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("FIX", "ME")];
    let note = concat!("TO", "DO");
    for directory in ["broker", "sim", "proptests", "jepsen"] {
        each_file(directory, "rs", |_, text| {
            let mut wrong = found(text, &words);
            let is_loose =
                |line: &&str| line.contains(note) && !line.contains(concat!("TO", "DO(#"));
            wrong.extend(
                text.lines()
                    .filter(is_loose)
                    .map(|line| format!("a note without an issue: {line}")),
            );
            wrong
        });
    }
}

#[test]
fn files_have_names_that_say_something() {
    let banned = ["util", "utils", "helper", "helpers", "common", "misc", "impls", "types"];
    each_file("broker/src", "rs", |path, _| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if banned.contains(&stem) { vec![format!("{stem} is not a name")] } else { Vec::new() }
    });
}

#[test]
fn only_the_production_door_touches_the_world() {
    each_file("broker/src", "rs", |path, text| {
        let is_door = path.components().any(|part| part.as_os_str() == "tokio");
        let is_start =
            path.ends_with("main.rs") || path.components().any(|part| part.as_os_str() == "cli");
        // Tests may prepare files of their own.
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        // Modules that are only compiled into tests.
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let is_test = stem.contains("tests") || stem.contains("scenario");
        if is_door || is_start || is_test {
            Vec::new()
        } else {
            found(product, &["disallowed_methods", "disallowed_types"])
        }
    });
}

#[test]
fn every_scenario_is_run() {
    let mut texts = Vec::new();
    files(&root().join("broker/src"), "txt", &mut texts);
    assert!(!texts.is_empty(), "state machines have scenarios");
    for text in texts {
        // A folder of scenarios is read by its name, a text beside the code by its own.
        let folder = text.parent().expect("a folder");
        let is_scenario = folder.file_name().is_some_and(|name| name == "scenarios");
        let (name, place) = if is_scenario {
            (folder, folder.parent().expect("a module"))
        } else {
            (text.as_path(), folder)
        };
        let name = name.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let mut sources = Vec::new();
        files(place, "rs", &mut sources);
        let is_read =
            sources.iter().any(|source| fs::read_to_string(source).expect("UTF-8").contains(name));
        assert!(is_read, "nobody reads {}", text.display());
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    each_file(".", "md", |path, text| {
        let folder = path.parent().expect("a folder");
        text.match_indices("](")
            .filter_map(|(position, _)| text.get(position + 2..)?.split(')').next())
            .map(|target| target.split('#').next().unwrap_or_default())
            .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
            .filter(|target| !folder.join(target).exists())
            .map(|target| format!("links to {target}, which is not there"))
            .collect()
    });
}
