//! One hostile connection after another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Buf as _;
use ottla::protocol::schema::response_schema;
use ottla::protocol::schema_walk::walk;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

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
    /// Batches whose answers had not all come in time.
    pub(super) unanswered: AtomicU64,
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

    /// What broke the protocol.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const COMPLAINTS_MAX: usize = 50;

/// All answers of a batch are due by then; some wait for a group to come together.
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
        let exchange = async {
            tokio::join!(
                write(&mut writer, &bytes, &mut maker.random),
                read_answers(&mut reader, &expected, tally),
            )
        };
        let exchanged = timeout(ANSWERS_DUE, exchange).await;
        let is_written = exchanged.as_ref().is_ok_and(|(written, _)| written.is_ok());
        match exchanged.map(|(_, answers)| answers) {
            Err(_) => {
                tally.unanswered.fetch_add(1, Ordering::Relaxed);
                tally.complain(format!("no answer in time to one of {expected:?}"));
                return End::ByUs;
            }
            Ok(Err(Miss::Closed(_))) if is_one_go && damaged.is_some() => return End::ByBroker,
            Ok(Err(Miss::Closed(why) | Miss::Wrong(why))) => {
                tally.complain(why);
                return End::ByUs;
            }
            Ok(Ok(())) => {}
        }
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
    for expects in expected {
        let read = read_frame(reader, &mut frame).await;
        read.map_err(|error| Miss::Closed(format!("{expects:?} was not answered: {error}")))?;
        tally.responses.fetch_add(1, Ordering::Relaxed);
        judge(&frame, *expects).map_err(|why| Miss::Wrong(format!("{expects:?}: {why}")))?;
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
