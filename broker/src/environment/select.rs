/// Waits for the first of several futures; always biased, so that the order is ours and replays.
///
/// `tokio::select!` without `biased` draws its order from process-wide state; `tests/tidy.rs` sees to it that no other
/// file names it (clippy cannot except the use in here).
#[macro_export]
#[doc(hidden)]
macro_rules! __ottla_select {
    ($($arms:tt)*) => { ::tokio::select! { biased; $($arms)* } };
}

pub use crate::__ottla_select as select;
