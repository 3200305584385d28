//! Every verdict is reached by a history made by hand, and one in which all is well is let pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use history::{Event, Facts, Verdict, checkers, read, write};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// All histories, by what they are called.
fn histories() -> BTreeMap<String, Vec<Event>> {
    let entries = std::fs::read_dir(folder()).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let story = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let events = read(&path).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        (name, events)
    };
    paths.map(story).collect()
}

fn judged(events: &[Event]) -> Vec<&'static str> {
    checkers::judge(&Facts::of(events)).iter().map(|(_, anomaly)| anomaly.verdict.name()).collect()
}

#[test]
fn each_history_is_judged_as_it_is_called() {
    let mut histories = histories();
    let good = histories.remove("good").expect("one in which all is well");
    assert_eq!(judged(&good), Vec::<&str>::new());
    for verdict in Verdict::ALL {
        let events =
            histories.remove(verdict.name()).unwrap_or_else(|| panic!("none for {verdict}"));
        assert_eq!(judged(&events), [verdict.name()]);
    }
    assert!(histories.is_empty(), "of no verdict: {:?}", histories.keys());
}

#[test]
fn checker_or_verdict_that_is_left_out_finds_nothing_and_hides_nothing_else() {
    let [lines, config] = ["lost-write", "lost-config"].map(|name| histories().remove(name));
    let mut events = [lines.expect("one"), config.expect("one")].concat();
    events.sort_by_key(|event| *event == Event::End);
    let found = |without: &str| -> Vec<_> {
        let without = BTreeSet::from([without.to_owned()]);
        let found = checkers::judge_without(&Facts::of(&events), &without);
        found.into_iter().map(|(checker, _)| checker).collect()
    };
    let both = ["noticed_by_clients", "acknowledged_records_survive"];
    assert_eq!(found(""), both);
    assert_eq!(found("noticed_by_clients"), both[1..]);
    assert_eq!(found("lost-config"), both[1..]);
    assert_eq!(found("acknowledged_records_survive"), both[..1]);
}

#[test]
fn what_was_written_is_read_as_the_same() {
    let path = std::env::temp_dir().join(format!("history-{}.jsonl", std::process::id()));
    for (name, events) in histories() {
        write(&path, &events).expect("a file");
        assert_eq!(read(&path).expect("a history"), events, "{name}");
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let path = std::env::temp_dir().join(format!("no-history-{}.jsonl", std::process::id()));
    for line in
        ["{", "{\"send\":{\"record\":1}}", "{\"sent\":{}}", "{\"rotten\":{\"partition\":\"x\"}}"]
    {
        std::fs::write(&path, format!("\"end\"\n{line}\n")).expect("a file");
        let bad = read(&path).expect_err(line).to_string();
        assert!(bad.starts_with("line 2 is no event"), "{bad}");
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn records_that_were_deleted_are_not_missed_and_rotten_partitions_are_asked_for_little() {
    let lines = [
        r#"{"send":{"record":1,"producer":1,"partition":"a-b-0"}}"#,
        r#"{"acknowledged":{"record":1,"offset":0}}"#,
        r#"{"read":{"partition":"a-b-0","start":0,"records":[]}}"#,
        r#""end""#,
    ];
    let mut events: Vec<Event> =
        lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(judged(&events), ["unseen"]);
    let rotten = serde_json::from_str(r#"{"rotten":{"partition":"a-b-0"}}"#).expect("an event");
    events.push(rotten);
    assert_eq!(judged(&events), Vec::<&str>::new());
}

/// What a client asked for twice may be done twice, and the second time late. Records of idempotent producers may not.
#[test]
fn late_requests_excuse_what_has_no_sequence_and_nothing_else() {
    let excused = ["lost-commit", "lost-config", "lost-topic", "risen-topic", "lost-growth"];
    for (name, mut events) in histories() {
        let before = judged(&events);
        events.push(Event::RequestsCameLate);
        let left = if excused.contains(&name.as_str()) { Vec::new() } else { before };
        assert_eq!(judged(&events), left, "{name}");
    }
}
