//! The drawing for a terminal: lanes as columns, a line for each mark, and where there are too many, a line for several.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Kind, Mark, Run, Story};
use crate::timeline::SimTime;

/// A piece of time; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Nothing earlier is drawn.
    pub since: SimTime,
    /// Nothing later is drawn.
    pub until: SimTime,
    /// About how many lines the drawing may have; what must be seen is drawn in any case.
    pub lines: usize,
}

/// Draws what happened in `window`.
#[must_use]
pub fn text(run: &Run<'_>, window: Window) -> String {
    let story = Story::of(run);
    let mut drawing = Drawing::new(&story);
    let (earlier, later): (Vec<_>, Vec<_>) =
        story.marks.iter().partition(|mark| mark.at < window.since);
    for mark in earlier {
        drawing.follow(mark);
    }
    let seen: Vec<_> =
        later.into_iter().filter(|mark| mark.at <= window.until && is_drawn(mark)).collect();
    drawing.head(run);
    for group in grouped(&seen, window) {
        match group[..] {
            [mark] => drawing.one(mark),
            _ => drawing.many(&group),
        }
    }
    drawing.out
}

fn is_drawn(mark: &Mark) -> bool {
    match mark.kind {
        Kind::Packet | Kind::Connection => false,
        // A machine that is set up is started next.
        Kind::Machine => mark.numbers[0] != 0,
        // Losses of empty acknowledgements are many and mean little.
        Kind::Lost => mark.label != "ACK",
        // Looking for what is not there is no accident.
        Kind::Disk => mark.label.contains("failed") && !mark.label.contains("not found"),
        Kind::Request
        | Kind::Response
        | Kind::Bytes
        | Kind::Damage
        | Kind::Replica
        | Kind::Link
        | Kind::Note
        | Kind::Violation => true,
    }
}

/// Each mark for itself when they fit, else together with those that stand near it, except for what must be seen.
fn grouped<'a>(marks: &[&'a Mark], window: Window) -> Vec<Vec<&'a Mark>> {
    if marks.len() <= window.lines {
        return marks.iter().map(|mark| vec![*mark]).collect();
    }
    let quiet = marks.iter().filter(|mark| !mark.kind.is_loud()).count();
    let lines = window.lines.saturating_sub(marks.len() - quiet).max(window.lines / 2).max(1);
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return Vec::new() };
    let step = (last.at.since(first.at).as_nanos() / lines as u128).max(1);
    let slot = |mark: &Mark| mark.at.since(first.at).as_nanos() / step;
    let mut groups: Vec<Vec<&Mark>> = Vec::new();
    for mark in marks {
        match groups.last_mut() {
            Some(group)
                if !mark.kind.is_loud()
                    && !group[0].kind.is_loud()
                    && slot(group[0]) == slot(mark) =>
            {
                group.push(mark);
            }
            Some(_) | None => groups.push(vec![*mark]),
        }
    }
    groups
}

/// How a lane looks where nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Absent,
    Up,
    Paused,
    Down,
}

impl Look {
    const fn glyph(self) -> char {
        match self {
            Self::Absent => ' ',
            Self::Up => '│',
            Self::Paused => '┊',
            Self::Down => '·',
        }
    }
}

struct Drawing<'a> {
    story: &'a Story,
    /// Of each lane.
    width: usize,
    looks: Vec<Look>,
    out: String,
}

impl<'a> Drawing<'a> {
    fn new(story: &'a Story) -> Self {
        let looks = vec![Look::Absent; story.lanes.len()];
        let width = (LANES_WIDTH / looks.len().max(1)).clamp(LANE_WIDTH_MIN, LANE_WIDTH_MAX);
        Self { story, width, looks, out: String::new() }
    }

    fn head(&mut self, run: &Run<'_>) {
        let verdict = run.problem.as_deref().map_or("ok".to_owned(), |p| format!("FAILED: {p}"));
        self.out.push_str(&format!("{}, seed {}: {verdict}\n", run.scenario, run.seed));
        let mut line = format!("{:>TIME_WIDTH$} ", "seconds");
        for lane in &self.story.lanes {
            let width = self.width;
            let name: String = lane.name.chars().take(width - 1).collect();
            let _ = write!(line, "{name:^width$}");
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// Keeps up with what the lanes are.
    fn follow(&mut self, mark: &Mark) {
        let (Kind::Machine, Some(lane)) = (mark.kind, mark.lane) else { return };
        self.looks[lane] = match mark.numbers[0] {
            0 | 2..=5 => Look::Down,
            1 | 7 => Look::Up,
            6 => Look::Paused,
            _ => return,
        };
    }

    fn lanes(&self) -> Vec<char> {
        let mut cells = vec![' '; self.width * self.looks.len()];
        for (lane, look) in self.looks.iter().enumerate() {
            cells[self.centre(lane)] = look.glyph();
        }
        cells
    }

    fn one(&mut self, mark: &Mark) {
        self.follow(mark);
        let mut cells = self.lanes();
        let mut is_named = true;
        if let (true, Some(from), Some(to)) = (mark.kind.is_arrow(), mark.lane, mark.to) {
            is_named = arrow(&mut cells, (self.centre(from), self.centre(to)), mark);
        } else if let (Kind::Link, Some(from), Some(to)) = (mark.kind, mark.lane, mark.to) {
            let fill = if mark.numbers[0] == 1 { '╳' } else { '╌' };
            let (low, high) =
                (self.centre(from).min(self.centre(to)), self.centre(from).max(self.centre(to)));
            cells[low + 1..high].fill(fill);
        } else if let Some(lane) = mark.lane {
            cells[self.centre(lane)] = point(mark);
        }
        let words = match (mark.kind, mark.lane) {
            (Kind::Violation, None) => {
                cells.fill('▚');
                let more = if mark.detail.is_empty() { "" } else { " …" };
                format!("VIOLATED: {}{more}", mark.label)
            }
            (Kind::Violation, Some(_)) => format!("!! {}", mark.label),
            (Kind::Request | Kind::Response | Kind::Bytes, _) if !is_named => {
                format!("{}, {}", mark.label, words(mark))
            }
            _ => words(mark),
        };
        self.line(mark.at, &cells, &words);
    }

    fn many(&mut self, marks: &[&Mark]) {
        let mut cells = self.lanes();
        let mut counts = vec![0_usize; self.looks.len()];
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ends: BTreeMap<&str, [i64; 2]> = BTreeMap::new();
        let mut damages: BTreeMap<&str, i64> = BTreeMap::new();
        let (mut lost, mut notes) = (0, 0);
        for mark in marks {
            if mark.kind.is_arrow() {
                for lane in [mark.lane, mark.to].into_iter().flatten() {
                    counts[lane] += 1;
                }
            }
            match mark.kind {
                Kind::Replica => drop(ends.insert(&mark.label, [mark.numbers[0], mark.numbers[1]])),
                Kind::Lost => lost += 1,
                Kind::Request | Kind::Bytes if mark.until.is_some() => {
                    *names.entry(&mark.label).or_default() += 1;
                }
                Kind::Request | Kind::Response | Kind::Bytes if mark.until.is_none() => lost += 1,
                Kind::Damage => *damages.entry(&mark.label).or_default() += mark.numbers[1],
                Kind::Note | Kind::Disk => notes += 1,
                Kind::Request
                | Kind::Response
                | Kind::Bytes
                | Kind::Connection
                | Kind::Packet
                | Kind::Machine
                | Kind::Link
                | Kind::Violation => {}
            }
        }
        for (lane, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            for (index, digit) in format!("×{count}").chars().enumerate().take(self.width / 2) {
                cells[self.centre(lane) + 1 + index] = digit;
            }
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        let mut words: Vec<_> =
            names.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
        words.extend(ends.iter().map(|(name, [end, high])| format!("{name} {high}/{end}")));
        words.extend(damages.iter().map(|(what, count)| format!("{count} {what}")));
        if lost > 0 {
            words.push(format!("lost ×{lost}"));
        }
        if notes > 0 {
            words.push(format!("notes ×{notes}"));
        }
        self.line(marks[0].at, &cells, &words.join(", "));
    }

    const fn centre(&self, lane: usize) -> usize {
        lane * self.width + self.width / 2
    }

    fn line(&mut self, at: SimTime, cells: &[char], words: &str) {
        let seconds = format!("{}.{:06}", at.0 / 1_000_000_000, at.0 / 1_000 % 1_000_000);
        let lanes: String = cells.iter().collect();
        let mut words: String = words.to_owned();
        if words.chars().count() > WORDS_WIDTH {
            words = words.chars().take(WORDS_WIDTH - 1).chain(['…']).collect();
        }
        let line = format!("{seconds:>TIME_WIDTH$} {lanes} {words}");
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

/// What stands beside a mark.
fn words(mark: &Mark) -> String {
    let [first, second, third, fourth] = mark.numbers;
    let more = |text: &str| if text.is_empty() { String::new() } else { format!("  {text}") };
    match mark.kind {
        Kind::Request | Kind::Response | Kind::Bytes => {
            let fate = mark.until.map_or("never arrived".to_owned(), |until| {
                format!("+{} µs", until.since(mark.at).as_micros())
            });
            format!("{fate}{}", more(&mark.detail))
        }
        Kind::Lost => format!("{}, {third} bytes: {}", mark.label, mark.detail),
        Kind::Replica => {
            let role = if fourth == 1 { "leader" } else { "follower" };
            format!("{}: {role}, epoch {third}, end {first}, high watermark {second}", mark.label)
        }
        Kind::Machine if first >= 8 => format!("{} by {second}", mark.label),
        Kind::Damage => format!("{} ×{second}{}", mark.label, more(&mark.detail)),
        Kind::Connection
        | Kind::Packet
        | Kind::Disk
        | Kind::Machine
        | Kind::Link
        | Kind::Note
        | Kind::Violation => format!("{}{}", mark.label, more(&mark.detail)),
    }
}

const fn point(mark: &Mark) -> char {
    match mark.kind {
        Kind::Machine if matches!(mark.numbers[0], 2..=4 | 6) => '✗',
        Kind::Machine => '●',
        Kind::Replica => '◆',
        Kind::Damage | Kind::Violation => '!',
        Kind::Note => '○',
        Kind::Request
        | Kind::Response
        | Kind::Bytes
        | Kind::Connection
        | Kind::Packet
        | Kind::Lost
        | Kind::Disk
        | Kind::Link => '•',
    }
}

/// An arrow with its name on it; one that never arrives ends half way. Says whether there was room for the whole name.
fn arrow(cells: &mut [char], (start, end): (usize, usize), mark: &Mark) -> bool {
    if start == end {
        cells[start] = '↺';
        return false;
    }
    let (low, high) = (start.min(end) + 1, start.max(end));
    cells[low..high].fill('─');
    let is_rightwards = start < end;
    let is_whole = mark.until.is_some();
    let middle = usize::midpoint(start, end);
    if is_whole {
        let (head, glyph) = if is_rightwards { (high - 1, '►') } else { (low, '◄') };
        cells[head] = glyph;
    } else {
        let gone = if is_rightwards { middle + 1..high } else { low..middle };
        cells[gone].fill(' ');
    }
    let (low, high) = match (is_whole, is_rightwards) {
        (true, _) => (low, high),
        (false, true) => (low, middle),
        (false, false) => (middle + 1, high),
    };
    let room = (high - low).saturating_sub(2);
    let back = (mark.kind == Kind::Response).then_some('↩');
    let name: Vec<char> = mark.label.chars().take(room.saturating_sub(1)).chain(back).collect();
    let at = low + 1 + (room - name.len()) / 2;
    cells[at..at + name.len()].copy_from_slice(&name);
    if !is_whole {
        cells[middle] = '✗';
    }
    mark.label.chars().count() < room
}

const TIME_WIDTH: usize = 12;
/// For all lanes together, unless that leaves too little for each.
const LANES_WIDTH: usize = 120;
const LANE_WIDTH_MIN: usize = 10;
const LANE_WIDTH_MAX: usize = 18;
const WORDS_WIDTH: usize = 70;
