//! One hostile connection after another.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Buf as _;
use ottla::protocol::ApiKey;
use ottla::protocol::schema::response_schema;
use ottla::protocol::schema_walk::walk;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::frames::{Expected, Maker, Target};
use crate::random::Random;

/// What is counted over all connections.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connections: AtomicU64,
    pub(super) refused_connections: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) responses: AtomicU64,
    pub(super) closed_by_broker: AtomicU64,
    /// Batches whose answers had not all come in time, with nothing to excuse it.
    pub(super) unanswered: AtomicU64,
    /// Batches left because a group kept a member waiting for the others.
    pub(super) kept_waiting: AtomicU64,
    complaints: Mutex<Vec<String>>,
}

impl Tally {
    fn count(&self, whole: usize, is_damaged: bool) {
        let damaged = u64::from(is_damaged);
        let frames = u64::try_from(whole).unwrap_or(0) + damaged;
        self.frames.fetch_add(frames, Ordering::Relaxed);
        self.damaged.fetch_add(damaged, Ordering::Relaxed);
    }

    fn complain(&self, complaint: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < COMPLAINTS_MAX {
            complaints.push(complaint);
        }
    }

    /// Counts what was wrong with the answers to a batch, and complains unless it is excused.
    fn miss(&self, miss: Miss, expected: &[Expected]) {
        match miss {
            Miss::Late(Late::KeptWaiting) => {
                self.kept_waiting.fetch_add(1, Ordering::Relaxed);
            }
            Miss::Late(Late::Unanswered(expects)) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                self.complain(format!("no answer in time to {expects:?}, one of {expected:?}"));
            }
            Miss::Unread => {
                self.complain(format!("the broker does not read on after {expected:?}"));
            }
            Miss::Closed(why) | Miss::Wrong(why) => self.complain(why),
        }
    }

    /// What broke the protocol.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const COMPLAINTS_MAX: usize = 50;

/// An answer is due by then, counted from when nothing excused any longer that it was not given.
const ANSWERS_DUE: Duration = Duration::from_secs(10);

/// How long the broker has to show what it makes of a damaged frame.
const VERDICT_DUE: Duration = Duration::from_millis(10);

/// Connections refused one after another before nobody seems to be there.
const REFUSALS_MAX: u32 = 40;

/// Batches of one connection that nobody closes.
const BATCHES_MAX: u32 = 20;

/// Who leaves a connection.
enum End {
    ByBroker,
    ByUs,
}

/// What is wrong with the answers to a batch.
enum Miss {
    /// There are no more.
    Closed(String),
    /// One is not what was asked for.
    Wrong(String),
    /// The next one did not come in time.
    Late(Late),
    /// All came, but the broker does not read on.
    Unread,
}

/// Why an answer did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// It waits for other members of a group, as long as their rebalance timeouts say; damaged requests may have named
    /// long ones.
    KeptWaiting,
    /// Nothing excuses it.
    Unanswered(Expected),
}

/// When which of a batch's answers is due.
///
/// Answers come in the order of the requests, so one that a group holds back holds back those behind it: they have all
/// their time from then on.
#[derive(Debug)]
struct Due<'a> {
    unanswered: &'a [Expected],
    at: Instant,
}

impl<'a> Due<'a> {
    fn new(expected: &'a [Expected], now: Instant) -> Self {
        Self { unanswered: expected, at: now + ANSWERS_DUE }
    }

    /// The request whose answer comes next.
    fn next(&self) -> Option<Expected> {
        self.unanswered.first().copied()
    }

    /// The next answer has come.
    fn answered(&mut self, now: Instant) {
        let Some((answered, rest)) = self.unanswered.split_first() else { return };
        self.unanswered = rest;
        if may_be_held(answered.key) {
            self.at = now + ANSWERS_DUE;
        }
    }

    /// What it means that the answer to `next` has not come in time.
    fn late(next: Expected) -> Late {
        if may_be_held(next.key) { Late::KeptWaiting } else { Late::Unanswered(next) }
    }
}

/// True when a group answers once its other members have come.
const fn may_be_held(key: ApiKey) -> bool {
    matches!(key, ApiKey::JoinGroup | ApiKey::SyncGroup)
}

/// Talks over one connection after another until `frames_wanted` have been sent by all together.
pub(super) async fn converse(
    address: &str,
    target: &Target,
    tally: &Tally,
    random: Random,
    frames_wanted: u64,
) {
    let mut maker = Maker { target, random };
    let mut refused_in_a_row = 0;
    while tally.frames.load(Ordering::Relaxed) < frames_wanted {
        let Ok(stream) = TcpStream::connect(address).await else {
            refused_in_a_row += 1;
            if refused_in_a_row > REFUSALS_MAX {
                return tally.complain("the broker does not accept connections".to_owned());
            }
            tally.refused_connections.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        refused_in_a_row = 0;
        tally.connections.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        if maker.random.chance(3) {
            deaf(stream, &mut maker, tally).await;
        } else if let End::ByBroker = talk(stream, &mut maker, tally).await {
            tally.closed_by_broker.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Asks and never listens.
async fn deaf(mut stream: TcpStream, maker: &mut Maker<'_>, tally: &Tally) {
    let mut bytes = Vec::new();
    for correlation_id in 0..200 {
        bytes.extend(maker.valid(correlation_id).0);
        tally.frames.fetch_add(1, Ordering::Relaxed);
    }
    // The broker stops to read when nobody takes its answers.
    let _ = timeout(Duration::from_millis(200), stream.write_all(&bytes)).await;
}

async fn talk(stream: TcpStream, maker: &mut Maker<'_>, tally: &Tally) -> End {
    let (mut reader, mut writer) = stream.into_split();
    let mut correlation_id = 0;
    for _ in 0..BATCHES_MAX {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..maker.random.below(16) {
            let (frame, expects) = maker.valid(correlation_id);
            correlation_id += 1;
            bytes.extend(frame);
            expected.push(expects);
        }
        let damaged = maker.random.chance(70).then(|| maker.damaged());
        tally.count(expected.len(), damaged.is_some());
        // In one go, the broker's reset may overtake its answers: then they are not missed.
        let is_one_go = maker.random.chance(30);
        if let (true, Some(damaged)) = (is_one_go, &damaged) {
            bytes.extend(damaged);
        }
        let writing = write(&mut writer, &bytes, &mut maker.random);
        let reading = read_answers(&mut reader, &expected, tally);
        let is_written = match exchange(writing, reading).await {
            Ok(is_written) => is_written,
            Err(Miss::Closed(_)) if is_one_go && damaged.is_some() => return End::ByBroker,
            Err(miss) => {
                tally.miss(miss, &expected);
                return End::ByUs;
            }
        };
        let Some(damaged) = damaged else { continue };
        if is_written && !is_one_go {
            let _ = write(&mut writer, &damaged, &mut maker.random).await;
        }
        return match timeout(VERDICT_DUE, reader.read_u8()).await {
            Ok(Err(_)) => End::ByBroker,
            Ok(Ok(_)) => {
                tally.responses.fetch_add(1, Ordering::Relaxed);
                End::ByUs
            }
            Err(_) => End::ByUs,
        };
    }
    End::ByUs
}

/// Writes and reads at the same time, and says whether all was written; a miss ends both.
async fn exchange(
    writing: impl Future<Output = std::io::Result<()>>,
    reading: impl Future<Output = Result<(), Miss>>,
) -> Result<bool, Miss> {
    let (mut writing, mut reading) = (pin!(writing), pin!(reading));
    tokio::select! {
        biased;
        answers = &mut reading => {
            answers?;
            let written = timeout(ANSWERS_DUE, writing).await;
            written.map(|written| written.is_ok()).map_err(|_| Miss::Unread)
        }
        written = &mut writing => reading.await.map(|()| written.is_ok()),
    }
}

/// Writes at once, or in pieces that are cut anywhere.
async fn write(
    writer: &mut OwnedWriteHalf,
    mut bytes: &[u8],
    random: &mut Random,
) -> std::io::Result<()> {
    let mut is_cut = random.chance(20);
    while is_cut && bytes.len() > 1 {
        let (piece, rest) = bytes.split_at(1 + random.index(bytes.len() - 1));
        writer.write_all(piece).await?;
        tokio::task::yield_now().await;
        bytes = rest;
        is_cut = random.chance(80);
    }
    writer.write_all(bytes).await
}

/// Takes one answer for each request, in order.
async fn read_answers(
    reader: &mut OwnedReadHalf,
    expected: &[Expected],
    tally: &Tally,
) -> Result<(), Miss> {
    let mut frame = Vec::new();
    let mut due = Due::new(expected, Instant::now());
    while let Some(expects) = due.next() {
        let read = timeout_at(due.at, read_frame(reader, &mut frame)).await;
        let read = read.map_err(|_| Miss::Late(Due::late(expects)))?;
        read.map_err(|error| Miss::Closed(format!("{expects:?} was not answered: {error}")))?;
        tally.responses.fetch_add(1, Ordering::Relaxed);
        judge(&frame, expects).map_err(|why| Miss::Wrong(format!("{expects:?}: {why}")))?;
        due.answered(Instant::now());
    }
    Ok(())
}

async fn read_frame(reader: &mut OwnedReadHalf, frame: &mut Vec<u8>) -> std::io::Result<()> {
    let length = usize::try_from(reader.read_i32().await?).unwrap_or(usize::MAX);
    if length > RESPONSE_BYTES_MAX {
        return Err(std::io::Error::other(format!("an answer of {length} bytes")));
    }
    frame.resize(length, 0);
    reader.read_exact(frame).await.map(drop)
}

const RESPONSE_BYTES_MAX: usize = 100 << 20;

/// Holds an answer against what was asked.
fn judge(frame: &[u8], expected: Expected) -> Result<(), String> {
    let mut body = frame;
    let correlation_id = body.try_get_i32().map_err(|error| error.to_string())?;
    if correlation_id != expected.correlation_id {
        return Err(format!("correlation id {correlation_id}"));
    }
    if expected.key.response_header_version(expected.version) >= 1 && body.try_get_u8() != Ok(0) {
        return Err("a response header with tagged fields".to_owned());
    }
    match walk(response_schema(expected.key), expected.version, body) {
        Ok(length) if length == body.len() => Ok(()),
        Ok(length) => Err(format!("{} bytes behind the answer", body.len() - length)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(keys: &[ApiKey]) -> Vec<Expected> {
        let expected = |(correlation_id, key): (i32, &ApiKey)| Expected {
            key: *key,
            version: 0,
            correlation_id,
        };
        (0..).zip(keys).map(expected).collect()
    }

    /// Of these requests the first `answered` are answered at once and the rest never.
    fn complaints(keys: &[ApiKey], answered: usize) -> (u64, usize) {
        let expected = requests(keys);
        let now = Instant::now();
        let mut due = Due::new(&expected, now);
        (0..answered).for_each(|_| due.answered(now));
        let tally = Tally::default();
        if let Some(next) = due.next() {
            tally.miss(Miss::Late(Due::late(next)), &expected);
        }
        (tally.kept_waiting.load(Ordering::Relaxed), tally.complaints().len())
    }

    #[test]
    fn a_member_kept_waiting_by_its_group_is_counted_and_no_violation() {
        assert_eq!(complaints(&[ApiKey::JoinGroup], 0), (1, 0));
        assert_eq!(complaints(&[ApiKey::Fetch, ApiKey::SyncGroup], 1), (1, 0));
    }

    #[test]
    fn requests_behind_a_held_one_are_excused_with_it() {
        assert_eq!(complaints(&[ApiKey::JoinGroup, ApiKey::Metadata], 0), (1, 0));
    }

    #[test]
    fn every_other_late_answer_is_a_violation() {
        assert_eq!(complaints(&[ApiKey::Metadata, ApiKey::JoinGroup], 0), (0, 1));
        assert_eq!(complaints(&[ApiKey::SyncGroup, ApiKey::Heartbeat], 1), (0, 1));
        assert_eq!(complaints(&[ApiKey::Heartbeat], 1), (0, 0));
    }

    #[test]
    fn what_stood_behind_a_held_answer_has_all_its_time_once_that_came() {
        let expected = requests(&[ApiKey::Metadata, ApiKey::JoinGroup, ApiKey::Metadata]);
        let start = Instant::now();
        let mut due = Due::new(&expected, start);
        due.answered(start + Duration::from_secs(9));
        assert_eq!(due.at, start + ANSWERS_DUE, "an ordinary answer gives nobody more time");
        due.answered(start + Duration::from_secs(9));
        assert_eq!(due.at, start + Duration::from_secs(9) + ANSWERS_DUE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_answers_all_and_reads_no_further_is_found() {
        let outcome = exchange(std::future::pending(), async { Ok(()) }).await;
        assert!(matches!(outcome, Err(Miss::Unread)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_miss_ends_the_exchange_though_not_all_is_written() {
        let miss = Miss::Late(Late::KeptWaiting);
        let outcome = exchange(std::future::pending(), async { Err(miss) }).await;
        assert!(matches!(outcome, Err(Miss::Late(Late::KeptWaiting))));
    }
}
