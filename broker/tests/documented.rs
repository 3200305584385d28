//! What the documents list is what the code has: APIs and versions, configuration keys, links.
//!
//! `UPDATE_DOCS=1 cargo test --test documented` rewrites what is generated.

#![expect(clippy::disallowed_methods, reason = "documents are real files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ottla::config::{
    DefaultValue, Definition, Support, Update, Visibility, group_keys, node_keys, topic_keys,
};
use ottla::protocol::{API_TABLE, ApiRow};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the document can be read")
}

/// The cells of each row of the first table below a heading.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = text.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let rows = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

fn versions(row: &ApiRow) -> String {
    format!("{}-{}", row.min_version, row.max_version)
}

#[test]
fn the_table_of_apis_is_the_one_that_is_served() {
    let text = read("docs/compatibility.md");
    let documented: BTreeMap<String, String> = table(&text, "## APIs served")
        .into_iter()
        .map(|cells| {
            (cells.first().cloned().unwrap_or_default(), cells.get(1).cloned().unwrap_or_default())
        })
        .collect();
    let served: BTreeMap<String, String> =
        API_TABLE.iter().map(|row| (row.name.to_owned(), versions(row))).collect();
    assert_eq!(documented, served, "docs/compatibility.md (left) and protocol::API_TABLE (right)");
}

#[test]
fn an_api_is_either_served_or_absent() {
    let text = read("docs/compatibility.md");
    let absent: BTreeSet<String> = table(&text, "## APIs absent")
        .into_iter()
        .filter_map(|cells| cells.into_iter().next())
        .collect();
    let served: BTreeSet<&str> = API_TABLE.iter().map(|row| row.name).collect();
    let both: Vec<&String> = absent.iter().filter(|name| served.contains(name.as_str())).collect();
    assert!(both.is_empty(), "served, and documented as absent: {both:?}");
    assert_eq!(
        absent.len() + served.len(),
        KAFKA_API_COUNT,
        "every API of Kafka 4.4 is in one of the two tables"
    );
}

/// Keys 0 to 94 without 4 to 7, which Kafka 4.0 took out.
const KAFKA_API_COUNT: usize = 91;

const MARK: &str =
    "<!-- From here on written by `UPDATE_DOCS=1 cargo test --test documented`. -->\n";

#[test]
fn the_table_of_configuration_is_the_one_that_is_read() {
    let path = "docs/configuration.md";
    let text = read(path);
    let (preface, tables) = text.split_once(MARK).expect("the mark is there");
    let expected = configuration();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join(path), format!("{preface}{MARK}{expected}")).expect("written");
        return;
    }
    assert!(
        tables == expected,
        "{path} is not what the code says: UPDATE_DOCS=1 cargo test --test documented"
    );
}

fn configuration() -> String {
    let mut text = String::new();
    section(&mut text, "Keys of a node", "changes", &mut node_keys(), |key| match key.update {
        Update::ReadOnly => "at start",
        Update::PerBroker => "per broker",
        Update::ClusterWide => "per broker or for all",
    });
    section(&mut text, "Keys of a topic", "default from", &mut topic_keys(), |key| {
        ottla::config::node_synonym_of_topic_key(key.name).unwrap_or("—")
    });
    section(&mut text, "Keys of a group", "changes", &mut group_keys(), |_| "per group");
    text
}

fn section(
    text: &mut String,
    title: &str,
    column: &str,
    keys: &mut dyn Iterator<Item = &'static Definition>,
    of: impl Fn(&Definition) -> &'static str,
) {
    let (honoured, accepted): (Vec<&Definition>, Vec<&Definition>) =
        keys.partition(|key| key.support == Support::Honoured);
    let _ = writeln!(text, "\n## {title}\n");
    let ordered: BTreeMap<_, _> = honoured.into_iter().map(|key| (key.name, key)).collect();
    if !ordered.is_empty() {
        let _ =
            writeln!(text, "| key | type | default | {column} | meaning |\n|---|---|---|---|---|");
    }
    for key in ordered.into_values() {
        let default = match key.default {
            DefaultValue::Required => "(must be set)".to_owned(),
            DefaultValue::Null => "(none)".to_owned(),
            DefaultValue::Text("") => "(empty)".to_owned(),
            DefaultValue::Text(value) => format!("`{value}`"),
        };
        let kind = key.kind.to_string().to_lowercase();
        let column = of(key);
        let column = if column.contains('.') { format!("`{column}`") } else { column.to_owned() };
        let _ = writeln!(text, "| `{}` | {kind} | {default} | {column} | {} |", key.name, key.doc);
    }
    let shown = accepted.iter().filter(|key| key.visibility == Visibility::Shown);
    let names: BTreeSet<String> = shown.map(|key| format!("`{}`", key.name)).collect();
    let _ = writeln!(
        text,
        "\nAccepted without effect: {}.",
        names.into_iter().collect::<Vec<_>>().join(", ")
    );
}
