use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The bytes of requests that a node holds at a time, over all connections.
///
/// A frame is admitted while less than the limit is held, and may then pass it by its own length (as Kafka's memory pool
/// does, so that frames half read never wait for each other).
#[derive(Clone, Debug)]
pub(super) struct RequestMemory(Arc<State>);

#[derive(Debug)]
struct State {
    limit: usize,
    held: AtomicUsize,
    freed: Notify,
}

/// The part of one frame; given back on drop.
#[derive(Debug)]
pub(super) struct Charge {
    state: Arc<State>,
    bytes: usize,
}

impl RequestMemory {
    /// At most about `limit` bytes (`queued.max.request.bytes`).
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(State { limit, held: AtomicUsize::new(0), freed: Notify::new() }))
    }

    /// Waits until there is room for another frame.
    pub(super) async fn admit(&self) -> Charge {
        while self.0.held.load(Ordering::SeqCst) >= self.0.limit {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if self.0.held.load(Ordering::SeqCst) >= self.0.limit {
                freed.await;
            }
        }
        Charge { state: Arc::clone(&self.0), bytes: 0 }
    }
}

impl Charge {
    /// Counts bytes that have arrived.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.state.held.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.state.held.fetch_sub(self.bytes, Ordering::SeqCst);
        if before >= self.state.limit {
            self.state.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RequestMemory;

    #[tokio::test]
    async fn a_full_memory_admits_again_once_a_frame_is_gone() {
        let memory = RequestMemory::new(10);
        let mut first = memory.admit().await;
        first.add(10);
        let mut second = Box::pin(memory.admit());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let _charge = second.await;
    }
}
