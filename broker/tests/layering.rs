//! Modules only look downwards: the table of `docs/architecture.md`, held against the `crate::` paths in the code.

#![expect(clippy::disallowed_methods, reason = "the source is real files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may use, in reading order: a module may only name modules that stand above it.
const MAY_USE: &[(&str, &str)] = &[
    ("model", ""),
    ("environment", "model"),
    ("record", "model"),
    ("protocol", "model"),
    ("config", "model"),
    ("state_machine", "model"),
    ("log", "model environment record config"),
    ("client", "model environment record protocol config"),
    ("metadata", "model record protocol config state_machine"),
    ("raft", "model environment record protocol config log client"),
    ("controller", "model environment record protocol config state_machine metadata raft"),
    ("replication", "model environment record protocol config log client metadata"),
    ("coordinator", "model environment record protocol config state_machine metadata"),
    (
        "api",
        "model environment record protocol config log client metadata raft controller replication coordinator",
    ),
    ("server", "model environment protocol config api"),
    (
        "node",
        "model environment record protocol config state_machine log client metadata raft controller replication \
         coordinator api server",
    ),
    ("cli", "model environment record protocol config log client metadata raft node"),
];

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the source folder can be read") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every module named as `crate::module` in a text; comments do not count.
fn named_modules(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    for (position, _) in code.match_indices("crate::") {
        let rest = code.get(position + "crate::".len()..).unwrap_or_default();
        if let Some(list) = rest.strip_prefix('{') {
            let inside = list.split(';').next().unwrap_or_default();
            for part in inside.split([',', '{', '}']) {
                names.insert(part.trim().split("::").next().unwrap_or_default().to_owned());
            }
        } else {
            names.insert(
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect(),
            );
        }
    }
    names
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<&str, BTreeSet<&str>> = MAY_USE
        .iter()
        .map(|(module, allowed)| (*module, allowed.split_whitespace().collect()))
        .collect();
    let mut wrong = Vec::new();
    for (module, allowed) in &table {
        let mut files = Vec::new();
        rust_files(&source.join(module), &mut files);
        assert!(!files.is_empty(), "{module} is in the table but has no code");
        for file in files {
            let text = fs::read_to_string(&file).expect("source is UTF-8");
            for name in named_modules(&text) {
                if table.contains_key(name.as_str())
                    && name != **module
                    && !allowed.contains(name.as_str())
                {
                    wrong.push(format!(
                        "{} uses crate::{name}; {module} may use {allowed:?}",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_names_every_module() {
    let mut above = BTreeSet::new();
    for (module, allowed) in MAY_USE {
        for name in allowed.split_whitespace() {
            assert!(above.contains(name), "{module} may use {name}, which does not stand above it");
        }
        above.insert(*module);
    }
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
        .expect("lib.rs");
    let listed: Vec<&str> =
        root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let table: Vec<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    assert_eq!(listed, table, "lib.rs lists the modules in the order of the table");
}

#[test]
fn the_scan_sees_plain_and_grouped_paths_but_no_comments() {
    let names =
        named_modules("use crate::log::X;\nuse crate::{raft::{Y, Z}, model};\n// crate::node\n");
    for (name, expected) in [("log", true), ("raft", true), ("model", true), ("node", false)] {
        assert_eq!(names.contains(name), expected, "{name}");
    }
}
