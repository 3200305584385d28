//! A connection on which a client speaks for itself, one request at a time: for what the project's client never says.

use std::io;

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
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
        self.say(version, FIRST, request).await?;
        let mut answer = self.hear().await?;
        decode_response::<T>(&mut answer, version).map(|(_, it)| it).map_err(io::Error::other)
    }

    /// The same with another question right behind it, whose answer is at hand. Says whether the answers came in order.
    pub(super) async fn ask_two<T: Request>(
        &mut self,
        version: i16,
        request: &T,
    ) -> io::Result<(T::Response, bool)> {
        self.say(version, FIRST, request).await?;
        self.say(0, SECOND, &ApiVersionsRequest::default()).await?;
        let (mut one, mut other) = (self.hear().await?, self.hear().await?);
        let is_in_order = one.starts_with(&FIRST.to_be_bytes());
        let answer = if is_in_order { &mut one } else { &mut other };
        let answer = decode_response::<T>(answer, version).map_err(io::Error::other)?;
        Ok((answer.1, is_in_order))
    }

    async fn say<T: Request>(&mut self, version: i16, id: i32, request: &T) -> io::Result<()> {
        let frame = encode_request(version, id, Some(self.client), request);
        self.stream.write_all(&frame.map_err(io::Error::other)?).await?;
        self.stream.flush().await
    }

    async fn hear(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.stream.read_i32().await?).map_err(io::Error::other)?;
        let mut frame = vec![0; length.min(ANSWER_BYTES_MAX)];
        self.stream.read_exact(&mut frame).await?;
        Ok(Bytes::from(frame))
    }
}

/// Correlation ids.
const FIRST: i32 = 1;
const SECOND: i32 = 2;

/// More than anybody asks for here.
const ANSWER_BYTES_MAX: usize = 4 << 20;
