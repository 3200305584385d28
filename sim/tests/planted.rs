//! The planted bugs can still be planted. Whether they are found takes a while: `cargo sim --planted`.

use std::fs;
use std::path::Path;

use sim::planted;
use sim::weave::weave;

#[test]
fn every_planted_bug_fits_the_code_as_it_is() {
    let root = planted::workspace();
    let read = |path: &Path| fs::read_to_string(root.join(path));
    let bugs = planted::all().expect("the patches can be read");
    assert!(bugs.len() >= 35, "only {} bugs are planted", bugs.len());
    let misfits: Vec<String> = bugs
        .iter()
        .filter_map(|bug| weave(std::slice::from_ref(bug), read).err())
        .map(|error| error.to_string())
        .collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
    let woven = weave(&bugs, read).expect("those that fit alone fit together");
    let all: String = woven.into_values().collect();
    for bug in &bugs {
        assert!(all.contains(&format!("planted::is({:?})", bug.name)), "{} is left out", bug.name);
    }
}
