//! The production implementation: real sockets, real files, the clock of the machine.
//!
//! What keeps the data path short: `write_at` and `read_at` are one system call on the calling thread (about 1 µs into the
//! page cache, against 13 µs through the blocking pool), and `send_file` is `sendfile`. What may really wait for the
//! device, `fdatasync` and the removal of large files, goes to tokio's blocking pool.
//!
//! This folder is the only one that may name the outer world; `clippy.toml` and `tests/tidy.rs` watch all others.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this folder is the door: the bans exist so that everything else comes through here"
)]

mod disk;
mod file;
mod net;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use tokio::runtime::Handle;

pub use disk::{TokioDisk, TokioLock};
pub use file::TokioFile;
pub use net::{TokioListener, TokioStream};

use super::{Instant, Runtime};
use crate::model::Timestamp;

/// The world of a production node: tokio, the kernel's TCP and its file systems.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    /// Tokio's clock is the kernel's, and follows `tokio::time::pause` in tests.
    base: tokio::time::Instant,
    handle: Handle,
    disk: TokioDisk,
}

impl TokioRuntime {
    /// The door of the tokio runtime we are running in.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self { base: tokio::time::Instant::now(), handle: Handle::current(), disk: TokioDisk }
    }
}

/// Allows this process as many open files as it may have at all; says how many. Each segment takes one, each connection
/// another, and the soft limit of most systems, 1024, is soon reached.
///
/// # Errors
///
/// The system's.
pub fn raise_file_limit() -> io::Result<Option<u64>> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(limit.current)
}

/// Has this process told to stop (SIGTERM) when the thread that started it ends, however that comes about.
///
/// # Errors
///
/// The system's.
pub fn stop_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    Ok(())
}

/// A file at whose end another process may write.
///
/// # Errors
///
/// The system's.
pub fn append_to(path: &Path) -> io::Result<Stdio> {
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(Stdio::from)
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for TokioRuntime {
    type File = TokioFile;
    type Disk = TokioDisk;
    type Stream = TokioStream;
    type Listener = TokioListener;

    fn now(&self) -> Instant {
        Instant::default() + self.base.elapsed()
    }

    fn wall_clock(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(match since_epoch {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        })
    }

    fn random(&self) -> u64 {
        // Straight from the kernel: nonces and identifiers are made of it, and no call is on the data path.
        let mut bytes = [0; 8];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .expect("the kernel gives random bytes: the call exists since Linux 3.17");
        assert_eq!(filled, bytes.len(), "the kernel gives up to 256 random bytes in one piece");
        u64::from_ne_bytes(bytes)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let deadline = self.base.checked_add(Duration::from_nanos(deadline.0));
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(task = name, panic = panic_text(&*panic), "a task has panicked");
            }
        }));
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.handle.spawn_blocking(work).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down: nobody is left to take the answer.
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<TokioListener> {
        TokioListener::bind(address)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TokioStream> {
        TokioStream::connect(address).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
        }
        Ok(addresses)
    }

    fn disk(&self) -> &TokioDisk {
        &self.disk
    }
}

/// Runs work that waits for a device in tokio's blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wall_clock_is_in_milliseconds() {
        let year_2025 = 1_735_689_600_000;
        let now = TokioRuntime::new().wall_clock().millis();
        assert!((year_2025..year_2025 * 2).contains(&now), "{now}");
    }

    #[tokio::test]
    async fn a_panicking_task_harms_nobody_else() {
        let runtime = TokioRuntime::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        runtime.spawn("panics", async { panic!("on purpose") });
        runtime.spawn("goes on", async move { sender.send(7).expect("the test still listens") });
        assert_eq!(receiver.await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn clock_follows_the_paused_clock_of_tests() {
        let runtime = TokioRuntime::new();
        let before = runtime.now();
        runtime.sleep(Duration::from_secs(3600)).await;
        assert!(runtime.now().since(before) >= Duration::from_secs(3600));
    }
}
