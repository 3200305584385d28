//! The page: one file with everything in it.
//!
//! The marks go into columns of numbers, with texts in a table of their own, so that a hundred thousand of them stay within
//! a few megabytes. A longer run leaves out what is least looked at, and the page says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::story::parts_of;
use super::{Kind, Mark, Run, Story};

/// Draws `run` as a page that opens without a network.
#[must_use]
pub fn page(run: &Run<'_>) -> String {
    let data = encode(run, Story::of(run)).to_string();
    // Inside a script element nothing else needs care.
    let data = data.replace('<', "\\u003c");
    let parts = [
        ("/*STYLE*/", include_str!("page/style.css")),
        ("/*STORY*/", include_str!("page/story.js")),
        ("/*VIEW*/", include_str!("page/view.js")),
        ("/*SHAPES*/", include_str!("page/shapes.js")),
        ("/*DRAW*/", include_str!("page/draw.js")),
        ("/*STEER*/", include_str!("page/steer.js")),
        ("\"DATA\"", &data),
    ];
    parts.iter().fold(include_str!("page/page.html").to_owned(), |page, (place, part)| {
        page.replacen(place, part, 1)
    })
}

fn encode(run: &Run<'_>, story: Story) -> Value {
    let Story { lanes, partitions, mut marks } = story;
    let left_out = leave_out(&mut marks);
    let mut columns = Columns::default();
    for mark in &marks {
        columns.push(mark);
    }
    let lanes: Vec<_> =
        lanes.iter().map(|lane| json!({"name": lane.name, "isNode": lane.is_node})).collect();
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    json!({
        "scenario": run.scenario,
        "seed": run.seed.to_string(),
        "command": run.command,
        "problem": run.problem.as_deref().map(parts_of),
        "digest": format!("{:016x}", run.digest),
        "eventCount": run.event_count,
        "endedAt": micros(run.ended_at.0),
        "lanes": lanes,
        "partitions": partitions,
        "kinds": kinds,
        "leftOut": left_out,
        "texts": columns.texts,
        "sets": columns.sets,
        "at": columns.at,
        "lasts": columns.lasts,
        "kind": columns.kind,
        "lane": columns.lane,
        "to": columns.to,
        "label": columns.label,
        "detail": columns.detail,
        "set": columns.set,
        "numbers": columns.numbers,
    })
}

/// Takes whole kinds away until the rest fits, and then the oldest of what is not loud; says what is missing.
fn leave_out(marks: &mut Vec<Mark>) -> Vec<(String, usize)> {
    let mut left_out = Vec::new();
    for kind in [Kind::Packet, Kind::Disk, Kind::Connection] {
        if marks.len() <= MARKS_MAX {
            return left_out;
        }
        let before = marks.len();
        marks.retain(|mark| mark.kind != kind);
        if marks.len() < before {
            left_out.push((format!("{kind:?}"), before - marks.len()));
        }
    }
    let mut surplus = marks.len().saturating_sub(MARKS_MAX);
    if surplus > 0 {
        left_out.push(("of the first marks".to_owned(), surplus));
        marks.retain(|mark| {
            let stays = surplus == 0 || mark.kind.is_loud();
            surplus -= usize::from(!stays);
            stays
        });
    }
    left_out
}

/// One row for each mark.
#[derive(Default)]
struct Columns {
    texts: Vec<String>,
    text_numbers: BTreeMap<String, usize>,
    sets: Vec<Vec<usize>>,
    set_numbers: BTreeMap<Vec<usize>, usize>,
    /// Microseconds after the mark before.
    at: Vec<u64>,
    /// Microseconds until it arrived, or -1.
    lasts: Vec<i64>,
    kind: Vec<usize>,
    lane: Vec<i64>,
    to: Vec<i64>,
    label: Vec<usize>,
    detail: Vec<usize>,
    set: Vec<usize>,
    /// Without the zeros at the end; by mark.
    numbers: Vec<Vec<i64>>,
    last_at: u64,
}

impl Columns {
    fn push(&mut self, mark: &Mark) {
        let at = micros(mark.at.0);
        self.at.push(at - self.last_at);
        self.last_at = at;
        self.lasts.push(mark.until.map_or(-1, |until| {
            i64::try_from(micros(until.0).saturating_sub(at)).unwrap_or(i64::MAX)
        }));
        self.kind.push(Kind::ALL.iter().position(|kind| *kind == mark.kind).unwrap_or_default());
        self.lane.push(lane_number(mark.lane));
        self.to.push(lane_number(mark.to));
        let label = self.text(&mark.label);
        self.label.push(label);
        let detail = self.text(&mark.detail);
        self.detail.push(detail);
        let next = self.sets.len();
        let set = *self.set_numbers.entry(mark.partitions.clone()).or_insert(next);
        if set == next {
            self.sets.push(mark.partitions.clone());
        }
        self.set.push(set);
        let used = mark.numbers.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        self.numbers.push(mark.numbers[..used].to_vec());
    }

    fn text(&mut self, text: &str) -> usize {
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let number = self.texts.len();
        self.texts.push(text.to_owned());
        self.text_numbers.insert(text.to_owned(), number);
        number
    }
}

fn lane_number(lane: Option<usize>) -> i64 {
    lane.map_or(-1, |lane| i64::try_from(lane).unwrap_or(-1))
}

const fn micros(nanos: u64) -> u64 {
    nanos / 1000
}

/// At about sixty bytes each.
const MARKS_MAX: usize = 120_000;
