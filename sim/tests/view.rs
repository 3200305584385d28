//! Pictures of a whole run, as the program draws them.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let outcome = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output();
    outcome.expect("the program of this package runs")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

/// Messages and replicas are only looked at when somebody wants to see them; this must move nothing.
#[test]
fn a_picture_changes_nothing_and_shows_what_clients_and_brokers_did() {
    let page = std::env::temp_dir().join(format!("ottla-sim-view-{}.html", std::process::id()));
    let path = page.to_str().expect("a temporary directory has a plain name");
    let plain = sim(&["--seed", SEED]);
    let drawn = sim(&["--seed", SEED, "--html", path, "--text", "--lines", "1000000"]);
    let html = std::fs::read_to_string(&page).expect("the page was written");
    std::fs::remove_file(&page).expect("it is ours");
    assert!(last_line(&plain).starts_with("digest: "), "{plain:?}");
    assert_eq!(last_line(&plain), last_line(&drawn));
    assert!(html.len() < 10 << 20, "{} bytes", html.len());
    let text = String::from_utf8_lossy(&drawn.stdout);
    assert!(html.contains("producer-1"), "a client's whole name is not on the page");
    for word in ["Produce", "orders-0", "started"] {
        assert!(html.contains(word), "{word} is not on the page");
        assert!(text.contains(word), "{word} is not in the drawing");
    }
}

/// A short world.
const SEED: &str = "2";
