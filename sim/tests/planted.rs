//! The planted bugs can still be planted. Whether they are found takes hours: `cargo sim --planted`.

use sim::planted;

#[test]
fn every_planted_bug_fits_the_code_as_it_is() {
    let root = planted::workspace();
    let bugs = planted::all().expect("the patches can be read");
    assert!(bugs.len() >= 25, "only {} bugs are planted", bugs.len());
    let misfits: Vec<String> = bugs
        .iter()
        .filter_map(|bug| bug.plant(&root).err())
        .map(|error| error.to_string())
        .collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}
