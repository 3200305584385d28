//! Other people's clients: programs by the contract of `jepsen/clients/README.md`, fed and listened to.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use history::{Event, Polled};
use ottla::client::partition_of_key;
use ottla::model::TopicPartition;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;

use crate::random::Random;
use crate::workload::{Shared, Tag, Target, key_of, tag_of, value_of};
use crate::{Failure, say};

/// Who wrote a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Java,
    Librdkafka,
    Go,
}

impl Family {
    pub(super) const ALL: &[Self] = &[Self::Java, Self::Librdkafka, Self::Go];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Librdkafka => "librdkafka",
            Self::Go => "franz-go",
        }
    }

    const fn codec(self) -> &'static str {
        match self {
            Self::Java => "lz4",
            Self::Librdkafka => "none",
            Self::Go => "zstd",
        }
    }
}

/// Where foreign clients are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// `jepsen/clients`.
    pub(super) directory: PathBuf,
    /// Kafka's libraries, beside its tools; without them there is no Java client.
    pub(super) kafka_libs: Option<PathBuf>,
    /// What they write to standard error, over all their lives.
    pub(super) log: PathBuf,
}

impl Programs {
    /// Why a family cannot take part.
    pub(super) fn obstacle(&self, family: Family) -> Option<String> {
        let is_there = |path: &Path| {
            (!path.exists())
                .then(|| format!("there is no {}: jepsen/clients/install", path.display()))
        };
        match family {
            Family::Java if self.kafka_libs.is_none() => {
                Some("KAFKA_BIN does not say where Kafka's tools are".to_owned())
            }
            Family::Java => is_there(&self.directory.join("java/Client.java")),
            Family::Librdkafka => is_there(&self.directory.join("python/confluent.py")),
            Family::Go => is_there(&self.directory.join("bin/franz")),
        }
    }

    fn start(&self, family: Family, words: [&str; 4]) -> Result<Child, Failure> {
        let mut command = match family {
            Family::Java => {
                let libs = self.kafka_libs.clone().unwrap_or_default();
                let mut java = Command::new("java");
                java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
                java.arg("-cp").arg(libs.join("*")).arg(self.directory.join("java/Client.java"));
                java
            }
            Family::Librdkafka => {
                let mut python = Command::new("python3");
                python.arg(self.directory.join("python/confluent.py"));
                python
            }
            Family::Go => Command::new(self.directory.join("bin/franz")),
        };
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        Ok(command.kill_on_drop(true).spawn()?)
    }
}

/// Who can be told to die at once.
#[derive(Debug, Default)]
pub(super) struct Crashes(Mutex<Vec<(String, Arc<Notify>)>>);

impl Crashes {
    fn enlist(&self, name: String) -> Arc<Notify> {
        let told = Arc::new(Notify::new());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((name, Arc::clone(&told)));
        told
    }

    /// Tells one, and says whom.
    pub(super) fn strike(&self, random: &mut Random) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((name, told)) = all.get(random.index(all.len())) else {
            return "nobody".to_owned();
        };
        told.notify_waiters();
        name.clone()
    }
}

/// What foreign clients share.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) programs: Programs,
    pub(super) target: Target,
    pub(super) shared: Arc<Shared>,
    pub(super) crashes: Arc<Crashes>,
    /// Every life of a producer or consumer has a number of its own.
    pub(super) lives: AtomicU32,
    pub(super) records_per_second: u64,
    pub(super) seed: u64,
}

/// Records of one producer without an answer.
const WINDOW: i64 = 2000;
/// A client that ended by itself is not started again at once.
const REST: Duration = Duration::from_secs(1);

impl Crew {
    fn bootstrap(&self) -> String {
        let all: Vec<String> = self.target.bootstrap.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    /// One producer after the other, until it is over and the last has got rid of what it holds.
    pub(super) async fn produce(self: Arc<Self>, family: Family) -> Result<(), Failure> {
        let crash = self.crashes.enlist(format!("producer {}", family.name()));
        loop {
            let number = self.lives.fetch_add(1, Ordering::SeqCst);
            say!("producer {number} is of {}", family.name());
            let words = ["stream", &self.bootstrap(), &self.target.topic, family.codec()];
            let mut child = self.programs.start(family, words)?;
            let (Some(into), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(Failure("a client without pipes".to_owned()));
            };
            let waiting = AtomicI64::new(0);
            let life = async {
                let (fed, heard) = tokio::join!(
                    self.feed(number, into, &waiting),
                    self.hear_producer(number, family, from, &waiting)
                );
                fed.and(heard)
            };
            tokio::select! {
                lived = life => {
                    let status = child.wait().await?;
                    if self.shared.is_over() && status.success() {
                        return lived;
                    }
                    self.shared.failed("client", &format!("{} ended: {status}", family.name()));
                    tokio::time::sleep(REST).await;
                }
                () = crash.notified() => child.kill().await?,
            }
            if self.shared.is_over() {
                return Ok(());
            }
        }
    }

    async fn feed(
        &self,
        number: u32,
        mut into: ChildStdin,
        waiting: &AtomicI64,
    ) -> Result<(), Failure> {
        let mut random = Random::new(self.seed, 2000 + u64::from(number));
        let mut sequence = 0;
        while !self.shared.is_over() {
            let mut lines = String::new();
            if waiting.load(Ordering::SeqCst) < WINDOW {
                for _ in 0..random.below(self.records_per_second / 5 + 1) {
                    let tag = Tag { producer: number, sequence };
                    sequence += 1;
                    let (key, value) = (key_of(tag), value_of(tag));
                    let index = partition_of_key(&key, self.target.partitions).0;
                    let partition = TopicPartition::new(&*self.target.topic, index);
                    let producer = u64::from(number);
                    self.shared.note(Event::Send { record: tag.id(), producer, partition });
                    let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
                    lines += &format!("{} {index} {key} {value}\n", tag.sequence);
                    waiting.fetch_add(1, Ordering::SeqCst);
                }
            }
            if into.write_all(lines.as_bytes()).await.is_err() {
                // It has ended; whoever waits for it notices.
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50 + random.below(100))).await;
        }
        Ok(())
    }

    async fn hear_producer(
        &self,
        number: u32,
        family: Family,
        from: ChildStdout,
        waiting: &AtomicI64,
    ) -> Result<(), Failure> {
        let mut lines = BufReader::new(from).lines();
        while let Some(line) = lines.next_line().await? {
            waiting.fetch_sub(1, Ordering::SeqCst);
            let mut words = line.splitn(3, ' ');
            let (word, sequence) = (words.next(), words.next().and_then(|word| word.parse().ok()));
            let (Some(sequence), rest) = (sequence, words.next().unwrap_or("")) else {
                return Err(Failure(format!("{} says {line}", family.name())));
            };
            let record = Tag { producer: number, sequence }.id();
            if word == Some("ok") {
                let offset = rest.parse().ok().filter(|offset| *offset >= 0);
                self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                self.shared.note(Event::Acknowledged { record, offset });
            } else {
                // Whether it was written after all, a client's error does not say.
                self.shared.failed(family.name(), &rest);
            }
        }
        Ok(())
    }

    /// One consumer after the other, each where the last one was, until `ends` is told and reached.
    pub(super) async fn consume(
        self: Arc<Self>,
        family: Family,
        ends: tokio::sync::watch::Receiver<Option<Vec<i64>>>,
    ) -> Result<(), Failure> {
        let crash = self.crashes.enlist(format!("consumer {}", family.name()));
        let partitions = usize::try_from(self.target.partitions).unwrap_or(0);
        let places: Vec<AtomicI64> = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        loop {
            let consumer = u64::from(self.lives.fetch_add(1, Ordering::SeqCst));
            say!("consumer {consumer} is of {}", family.name());
            let here = places.iter().enumerate();
            let here = here.map(|(index, at)| format!("{index}:{}", at.load(Ordering::SeqCst)));
            let here = here.collect::<Vec<_>>().join(",");
            let words = ["tail", &self.bootstrap(), &self.target.topic, &here];
            let mut child = self.programs.start(family, words)?;
            let from = child.stdout.take().ok_or_else(|| Failure("no pipe".to_owned()))?;
            tokio::select! {
                () = until_at(&places, ends.clone()) => return Ok(child.kill().await?),
                heard = self.hear_consumer(consumer, from, &places) => {
                    heard?;
                    let status = child.wait().await?;
                    self.shared.failed("client", &format!("{} ended: {status}", family.name()));
                    tokio::time::sleep(REST).await;
                }
                () = crash.notified() => child.kill().await?,
            }
        }
    }

    async fn hear_consumer(
        &self,
        consumer: u64,
        from: ChildStdout,
        places: &[AtomicI64],
    ) -> Result<(), Failure> {
        let mut lines = BufReader::new(from).lines();
        while let Some(line) = lines.next_line().await? {
            let read = Line::parse(&line);
            let read = read.ok_or_else(|| Failure(format!("a consumer says {line}")))?;
            let Line { poll, index, offset, key, value } = read;
            let partition = TopicPartition::new(&*self.target.topic, index);
            let record = tag_of(key.as_ref(), value.as_ref()).map(Tag::id);
            let polled = Polled { consumer, partition, offset, record, poll, is_in_one_run: true };
            self.shared.note(Event::Poll(polled));
            if let Some(place) = usize::try_from(index).ok().and_then(|index| places.get(index)) {
                place.store(offset + 1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// Comes back when all places are at their ends.
async fn until_at(places: &[AtomicI64], mut ends: tokio::sync::watch::Receiver<Option<Vec<i64>>>) {
    loop {
        let is_there = ends.borrow_and_update().as_ref().is_some_and(|ends| {
            ends.iter().zip(places).all(|(end, place)| place.load(Ordering::SeqCst) >= *end)
        });
        if is_there {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A record as a consumer prints it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    poll: u64,
    index: i32,
    offset: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("read ")?.split(' ');
        let poll = words.next()?.parse().ok()?;
        let index = words.next()?.parse().ok()?;
        let offset = words.next()?.parse().ok()?;
        let mut bytes = || match words.next()? {
            "-" => Some(None),
            text => STANDARD.decode(text).ok().map(|bytes| Some(Bytes::from(bytes))),
        };
        Some(Self { poll, index, offset, key: bytes()?, value: bytes()? })
    }
}

/// The longest time in which nothing was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Silence {
    acknowledged: u64,
    since: Option<tokio::time::Instant>,
    pub(super) longest: Duration,
}

impl Silence {
    /// Looks; to be called often.
    pub(super) fn look(&mut self, acknowledged: &AtomicU64) {
        let (now, count) = (tokio::time::Instant::now(), acknowledged.load(Ordering::SeqCst));
        if count != self.acknowledged {
            self.acknowledged = count;
            self.since = Some(now);
        }
        let lasts = self.since.map_or(Duration::ZERO, |since| now - since);
        self.longest = self.longest.max(lasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumers_line_is_read_as_it_was_written() {
        let (key, value) = (Some(Bytes::from("k")), None);
        let line = Line { poll: 3, index: 1, offset: 17, key, value };
        assert_eq!(Line::parse("read 3 1 17 aw== -"), Some(line));
        assert_eq!(Line::parse("read 3 1 17 aw=="), None);
        assert_eq!(Line::parse("% reached end"), None);
    }
}
