//! Small things every user of the door needs, written once on top of the traits.

use std::future::Future;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{File, Runtime, select};

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// Waits for `future`, but not longer than `duration`.
///
/// # Errors
///
/// [`Elapsed`] when time was up; `future` is dropped then.
pub async fn timeout<R: Runtime, F: Future>(
    runtime: &R,
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    select! {
        output = future => Ok(output),
        () = runtime.sleep(duration) => Err(Elapsed),
    }
}

/// What can be said with [`File`]'s words.
pub trait FileExt: File {
    /// Writes all of `parts`, however short single writes are.
    ///
    /// # Errors
    ///
    /// As [`File::write_at`]; `WriteZero` when the file takes nothing. Some of it may have been written.
    fn write_all_at(
        &self,
        parts: &[IoSlice<'_>],
        position: u64,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let total: usize = parts.iter().map(|part| part.len()).sum();
            let mut done = self.write_at(parts, position).await?;
            while done < total {
                let mut skip = done;
                let mut rest = Vec::with_capacity(parts.len());
                for part in parts {
                    if skip >= part.len() {
                        skip -= part.len();
                    } else {
                        rest.push(IoSlice::new(&part[skip..]));
                        skip = 0;
                    }
                }
                let written = self.write_at(&rest, position + done as u64).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                done += written;
            }
            Ok(())
        }
    }

    /// Reads until `buffer` is full.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`]; `UnexpectedEof` when the file ends first.
    fn read_exact_at(
        &self,
        buffer: &mut [u8],
        position: u64,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let read = self.read_full_at(buffer, position).await?;
            if read < buffer.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        }
    }

    /// Reads until `buffer` is full or the file ends; says how much was read.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`].
    fn read_full_at(
        &self,
        buffer: &mut [u8],
        position: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        async move {
            let mut done = 0;
            while done < buffer.len() {
                let read = self.read_at(&mut buffer[done..], position + done as u64).await?;
                if read == 0 {
                    break;
                }
                done += read;
            }
            Ok(done)
        }
    }

    /// The whole file, refused when it is longer than `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`]; `InvalidData` when the file is too long.
    fn read_all(&self, limit: u64) -> impl Future<Output = io::Result<Vec<u8>>> + Send {
        async move {
            let length = self.length().await?;
            if length > limit {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{length} bytes, expected at most {limit}"),
                ));
            }
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            let read = self.read_full_at(&mut bytes, 0).await?;
            bytes.truncate(read);
            Ok(bytes)
        }
    }
}

impl<F: File> FileExt for F {}

/// Tells tasks to end. Made in pairs with [`Stop`].
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<StopState>);

/// Heard by tasks that should end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    stopped: AtomicBool,
    notify: Notify,
}

impl Stopper {
    /// A stopper nobody has pulled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the tasks listen to.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }

    /// Says it, once and for all.
    pub fn pull(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }
}

impl Stop {
    /// True once the stopper has been pulled.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Ends once the stopper has been pulled.
    pub async fn stopped(&self) {
        let mut notified = std::pin::pin!(self.0.notify.notified());
        notified.as_mut().enable();
        if !self.is_stopped() {
            notified.await;
        }
    }
}
