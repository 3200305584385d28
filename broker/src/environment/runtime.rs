use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Add;
use std::time::Duration;

use super::{Disk, File, Listener, Stream};
use crate::model::Timestamp;

/// A point on the monotonic clock, in nanoseconds since some start of this runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The latest instant: a deadline that never comes.
    pub const FAR: Self = Self(u64::MAX);

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant and `millis` more; negative numbers count as zero.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        self + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The world as the broker sees it. Cheap to clone.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// The file system.
    type Disk: Disk<File = Self::File>;
    /// A connection.
    type Stream: Stream<File = Self::File>;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;

    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock; may jump.
    fn wall_clock(&self) -> Timestamp;

    /// 64 random bits.
    fn random(&self) -> u64;

    /// Ends at `deadline`, or at once when it has passed.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.sleep_until(self.now() + duration)
    }

    /// Runs `task` beside everything else until it ends; `name` is for people.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static);

    /// Runs work that keeps a processor busy (compression) without holding up other tasks.
    fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Listens. Port 0 lets the system choose.
    fn listen(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects. May take as long as the system's own limit: callers set a deadline.
    fn connect(&self, address: SocketAddr)
    -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Looks a host name up; a literal address is itself. Never empty when it is `Ok`.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// The file system.
    fn disk(&self) -> &Self::Disk;

    /// Asks the simulator whether to take the rare way at `site`: constant `false` in production.
    fn buggify(&self, site: &'static str) -> bool {
        let _ = site;
        false
    }
}
