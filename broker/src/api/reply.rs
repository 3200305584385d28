use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::log::FileSlice;

/// A response as it goes out: bytes we made and pieces of files that nobody copies.
#[derive(Debug)]
pub struct Response<F> {
    /// In order; the first begins with the length prefix.
    pub parts: Vec<Part<F>>,
}

/// One piece of a response.
#[derive(Debug)]
pub enum Part<F> {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A piece of a log segment, sent by `sendfile`.
    File(FileSlice<F>),
}

impl<F> Response<F> {
    /// A response that is all in memory.
    #[must_use]
    pub fn of(frame: Bytes) -> Self {
        Self { parts: vec![Part::Bytes(frame)] }
    }
}

/// What becomes of a request.
pub enum Reply<F> {
    /// The answer.
    Now(Response<F>),
    /// The answer comes later; the connection may read its next request now.
    Later(BoxFuture<'static, Verdict<F>>),
    /// There is no answer (`acks=0`).
    Nothing,
    /// The connection is closed, as Kafka does; the text says why, for the log.
    Close(String),
}

/// How a parked request ends.
pub enum Verdict<F> {
    /// The answer.
    Answer(Response<F>),
    /// As [`Reply::Close`].
    Close(String),
}

/// What a handler says; the response is encoded by the one place that knows versions.
pub(super) enum Outcome<T> {
    /// The answer.
    Now(T),
    /// Once this ends, its value is the answer.
    Later(BoxFuture<'static, T>),
    /// There is no answer.
    Nothing,
    /// The connection is closed; the text says why.
    Close(String),
}
