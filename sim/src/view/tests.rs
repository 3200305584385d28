use std::collections::BTreeSet;

use super::{Run, Window, page, text};
use crate::events::{
    DiskOperation, Event, Fate, MachineChange, Message, MessageKind, PacketKind, Recorded,
    ReplicaStatus,
};
use crate::machine::MachineId;
use crate::timeline::SimTime;

const BROKER: MachineId = MachineId(1);
const CLIENT: MachineId = MachineId(2);

/// A small life: a broker and a client, a produce that is answered, a cut, a request that never arrives, a crash.
fn small() -> Vec<Recorded> {
    let status = |log_end, high_watermark| ReplicaStatus {
        topic: "orders".into(),
        topic_id: "id-of-orders".into(),
        partition: 0,
        is_leader: true,
        epoch: 3,
        log_end,
        high_watermark,
    };
    let replica = |status| Event::Replica { machine: BROKER, status: Box::new(status) };
    let change = |machine, change| Event::Machine { machine, change };
    let link = |is_cut| Event::Link { from: CLIENT, to: BROKER, is_cut };
    let note = |machine, text: &str| Event::Note { machine: Some(machine), text: text.to_owned() };
    let packet = Event::Packet {
        from: CLIENT,
        to: BROKER,
        connection: 4,
        kind: PacketKind::Data,
        sequence: 0,
        length: 60,
        content: 0,
        sent_at: SimTime(5_000_000),
        fate: Fate::Cut,
    };
    let disk = Event::Disk {
        machine: BROKER,
        operation: DiskOperation::Write,
        file: 9,
        position: 0,
        length: 60,
        error: None,
    };
    let events = vec![
        (0, Event::Added { machine: CLIENT, name: "client".into() }),
        (0, Event::Added { machine: BROKER, name: "broker".into() }),
        (0, change(BROKER, MachineChange::Started)),
        (0, change(CLIENT, MachineChange::Started)),
        (500, Event::Opened { machine: BROKER, file: 9, path: "/data/orders-0/0.log".into() }),
        (600, disk),
        (1_000, replica(status(0, 0))),
        (2_000, message(1, CLIENT)),
        (2_300, Event::Received { number: 1 }),
        (2_900, replica(status(1, 1))),
        (3_000, message(2, BROKER)),
        (3_400, Event::Received { number: 2 }),
        (3_400, note(CLIENT, "record 7 is acknowledged at 0")),
        (4_000, link(true)),
        (5_000, message(3, CLIENT)),
        (5_000, packet),
        (6_000, link(false)),
        (7_000, change(BROKER, MachineChange::PowerLost)),
        (8_000, Event::Note { machine: None, text: "lost-write: it is not there".into() }),
    ];
    let recorded = |(micros, event): (u64, Event)| Recorded { at: SimTime(micros * 1000), event };
    events.into_iter().map(recorded).collect()
}

fn message(number: u64, from: MachineId) -> Event {
    let (api, version, correlation_id) = ("Produce", 13, 8);
    let (to, kind) = if from == CLIENT {
        (BROKER, MessageKind::Request { api, version, correlation_id })
    } else {
        (CLIENT, MessageKind::Response { api, version, correlation_id })
    };
    Event::Sent(Box::new(Message {
        number,
        from,
        to,
        connection: 4,
        kind,
        length: 60,
        sequence: 0,
        partitions: vec![("id-of-orders".into(), 0)],
        text: "id-of-orders-0 60 bytes".into(),
    }))
}

fn run<'a>(trace: &'a [Recorded], problem: Option<&str>) -> Run<'a> {
    Run {
        scenario: "power_cut".into(),
        seed: 42,
        command: "cargo sim --seed 42".into(),
        problem: problem.map(str::to_owned),
        digest: 0xabc,
        event_count: trace.len() as u64,
        ended_at: trace.last().map_or(SimTime::default(), |last| last.at),
        trace,
    }
}

const PROBLEM: &str = "lost-write: it is not there; lost-write: record 7 at 0; </script>";

/// The data of a page, as its script gets it.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("const DATA = ").expect("a page has data");
    let (data, _) = rest.split_once(";\n").expect("the data ends");
    serde_json::from_str(data).expect("the data is JSON")
}

#[test]
fn page_stands_alone_and_tells_what_was_wrong() {
    let page = page(&run(&small(), Some(PROBLEM)));
    for word in ["src=", "@import", "url(", "http://", "https://", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(word), "{word} may ask somebody else");
    }
    for place in ["/*STYLE*/", "/*STORY*/", "/*VIEW*/", "/*SHAPES*/", "/*DRAW*/", "/*STEER*/"] {
        assert!(!page.contains(place), "{place} is empty");
    }
    assert_eq!(page.matches("</script>").count(), 1, "a text ends the script");
    let data = data(&page);
    let problems = ["lost-write: it is not there", "lost-write: record 7 at 0; </script>"];
    assert_eq!(data["problem"], serde_json::json!(problems));
    assert_eq!(data["lanes"][0]["name"], "broker", "whoever uses a disk comes first");
    assert_eq!(data["partitions"], serde_json::json!(["orders-0"]));
    let kinds: Vec<_> = data["kind"].as_array().expect("a column").iter().collect();
    let kind = |name: &str| {
        let known = data["kinds"].as_array().expect("a list");
        known.iter().position(|known| known == name).expect("a kind")
    };
    let count = |name| kinds.iter().filter(|code| **code == kind(name)).count();
    assert_eq!((count("Request"), count("Response"), count("Lost")), (2, 1, 1));
    assert_eq!(count("Violation"), 3, "seen, spoken of, and found at the end");
    let texts = data["texts"].to_string();
    assert!(texts.contains("orders-0 60 bytes") && !texts.contains("id-of-orders"));
}

/// What stands after `before` in the scripts, each time it stands there: the longest word.
fn words_after(before: &str) -> BTreeSet<String> {
    let scripts = [
        include_str!("page/story.js"),
        include_str!("page/view.js"),
        include_str!("page/shapes.js"),
        include_str!("page/draw.js"),
        include_str!("page/steer.js"),
        include_str!("page/page.html"),
    ];
    let is_of_word = |letter: &char| letter.is_ascii_alphanumeric();
    let word = |rest: &str| rest.chars().take_while(is_of_word).collect::<String>();
    scripts.iter().flat_map(|script| script.split(before).skip(1)).map(word).collect()
}

#[test]
fn scripts_find_in_the_data_all_that_they_read() {
    let data = data(&page(&run(&small(), Some(PROBLEM))));
    let fields: BTreeSet<_> =
        words_after("data.").into_iter().chain(words_after("DATA.")).collect();
    assert!(fields.len() > 15, "the scripts read more than {fields:?}");
    for field in &fields {
        assert!(data.get(field).is_some(), "a script reads {field}, which is not there");
    }
    for field in data.as_object().expect("an object").keys() {
        assert!(fields.contains(field), "no script reads {field}");
    }
    let list = |name: &str| data[name].as_array().expect(name).clone();
    let kinds: BTreeSet<_> = list("kinds").iter().map(|kind| kind.to_string()).collect();
    for code in words_after("story.code.") {
        assert!(kinds.contains(&format!("\"{code}\"")), "a script knows the kind {code}");
    }
}

#[test]
fn columns_have_a_row_for_each_mark_and_point_at_what_is_there() {
    let data = data(&page(&run(&small(), Some(PROBLEM))));
    let list = |name: &str| data[name].as_array().expect(name).clone();
    let count = list("kind").len();
    assert!(count > 10);
    for name in ["at", "lasts", "lane", "to", "label", "detail", "set", "numbers"] {
        assert_eq!(list(name).len(), count, "{name}");
    }
    let bounds = [
        ("kind", "kinds", 0),
        ("lane", "lanes", -1),
        ("to", "lanes", -1),
        ("label", "texts", 0),
        ("detail", "texts", 0),
        ("set", "sets", 0),
    ];
    for (name, of, least) in bounds {
        let end = i64::try_from(list(of).len()).expect("few");
        for number in list(name) {
            let number = number.as_i64().expect(name);
            assert!((least..end).contains(&number), "{name} {number} of {end} {of}");
        }
    }
    for partition in list("sets").iter().flat_map(|set| set.as_array().expect("a set").clone()) {
        let number = partition.as_u64().and_then(|number| usize::try_from(number).ok());
        assert!(number.expect("a number") < list("partitions").len());
    }
    let travelled: i64 = list("at").iter().filter_map(serde_json::Value::as_i64).sum();
    assert!(travelled <= data["endedAt"].as_i64().expect("a time"), "times are steps");
}

#[test]
fn page_of_a_hundred_thousand_events_stays_small() {
    let mut trace = small();
    for number in 10..100_000_u64 {
        let at = SimTime(8_000_000 + number * 1_234_567);
        let from = if number % 2 == 0 { CLIENT } else { BROKER };
        let mut event = message(number, from);
        if let Event::Sent(message) = &mut event {
            message.text = format!("id-of-orders-0 at {number}");
        }
        trace.push(Recorded { at, event });
    }
    let page = page(&run(&trace, None));
    assert!(page.len() < 10 << 20, "{} bytes", page.len());
    assert!(data(&page)["leftOut"].as_array().expect("a list").is_empty());
    for number in 0..30_000 {
        trace.push(Recorded {
            at: SimTime(u64::MAX / 4),
            event: Event::Note { machine: None, text: format!("a note {number}") },
        });
    }
    let page = super::page(&run(&trace, None));
    assert!(page.len() < 10 << 20, "{} bytes", page.len());
    assert_eq!(data(&page)["leftOut"].as_array().expect("a list").len(), 2);
}

#[track_caller]
fn check(window: Window, expected: &str) {
    let drawn = text(&run(&small(), Some(PROBLEM)), window);
    assert_eq!(drawn.trim_end(), expected.trim(), "drawn:\n{drawn}");
}

#[test]
fn text_draws_lanes_arrows_and_what_broke() {
    let window = Window { since: SimTime(0), until: SimTime::FAR, lines: 100 };
    check(
        window,
        "
power_cut, seed 42: FAILED: lost-write: it is not there; lost-write: record 7 at 0; </script>
     seconds       broker            client
    0.000000          ●                           started
    0.000000          │                 ●         started
    0.001000          ◆                 │         orders-0: leader, epoch 3, end 0, high watermark 0
    0.002000          │◄────Produce─────│         +300 µs  orders-0 60 bytes
    0.002900          ◆                 │         orders-0: leader, epoch 3, end 1, high watermark 1
    0.003000          │────Produce↩────►│         +400 µs  orders-0 60 bytes
    0.003400          │                 !         !! record 7 is acknowledged at 0
    0.004000          │╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳│         cut
    0.005000          │        ✗─Produ──│         Produce, never arrived  orders-0 60 bytes
    0.005000          │        ✗──data──│         data, 60 bytes: the link was cut, with it a piece of Produce
    0.006000          │╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌│         healed
    0.007000          ✗                 │         power lost
    0.008000 ▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚ VIOLATED: lost-write: it is not there
    0.008000 ▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚▚ VIOLATED: lost-write: it is not there …",
    );
}

#[test]
fn text_of_a_window_knows_what_was_before_and_counts_what_does_not_fit() {
    let window = Window { since: SimTime(1_500_000), until: SimTime(4_500_000), lines: 2 };
    check(
        window,
        "
power_cut, seed 42: FAILED: lost-write: it is not there; lost-write: record 7 at 0; </script>
     seconds       broker            client
    0.002000          │×2               │×2       Produce ×1, orders-0 1/1
    0.003400          │                 !         !! record 7 is acknowledged at 0
    0.004000          │╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳╳│         cut",
    );
}
