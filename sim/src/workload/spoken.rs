//! A connection on which a client speaks for itself, one request at a time: for what the project's client never says.

use std::io;

use bytes::Bytes;
use kafka_protocol::protocol::Request;
use ottla::environment::Runtime as _;
use ottla::protocol::{decode_response, encode_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::network::SimStream;
use crate::runtime::SimRuntime;

/// The connection.
pub(super) struct Line {
    stream: SimStream,
    client: &'static str,
}

impl Line {
    pub(super) async fn open(
        runtime: &SimRuntime,
        broker: &str,
        client: &'static str,
    ) -> io::Result<Self> {
        let addresses = runtime.resolve(broker, 9092).await?;
        let address = addresses.first().ok_or_else(|| io::Error::other("nobody of that name"))?;
        Ok(Self { stream: runtime.connect(*address).await?, client })
    }

    /// Asks, and waits for the answer; whoever calls sets a deadline.
    pub(super) async fn ask<T: Request>(
        &mut self,
        version: i16,
        request: &T,
    ) -> io::Result<T::Response> {
        let frame = encode_request(version, 1, Some(self.client), request);
        self.stream.write_all(&frame.map_err(io::Error::other)?).await?;
        self.stream.flush().await?;
        let length = usize::try_from(self.stream.read_i32().await?).map_err(io::Error::other)?;
        let mut answer = vec![0; length.min(ANSWER_BYTES_MAX)];
        self.stream.read_exact(&mut answer).await?;
        let answer = decode_response::<T>(&mut Bytes::from(answer), version);
        answer.map(|(_, response)| response).map_err(io::Error::other)
    }
}

/// More than anybody asks for here.
const ANSWER_BYTES_MAX: usize = 4 << 20;
