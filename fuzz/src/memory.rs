//! Memory is part of what is promised: an allocator that counts, and ends the process on an input that takes too much.
#![expect(
    unsafe_code,
    reason = "the allocator's trait is unsafe; every call goes to the system's as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

/// Memory that any input may take, whatever its length, in bytes.
const FREE_BYTES: i64 = 16 << 20;

/// Memory that an input may take beyond [`FREE_BYTES`], per byte of its length.
const FACTOR: i64 = 100;

static LIVE: AtomicI64 = AtomicI64::new(0);
static LIMIT: AtomicI64 = AtomicI64::new(i64::MAX);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if live > LIMIT.load(Ordering::Relaxed) {
        // Once: what follows may allocate.
        LIMIT.store(i64::MAX, Ordering::Relaxed);
        eprintln!("the input takes more memory than its length deserves: {live} bytes are held");
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
        // Not a panic, which would unwind through the allocator.
        std::process::abort();
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: memory is the system allocator's; counting touches two atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout.size()));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size(layout.size()));
        // SAFETY: the pointer came from this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(size(new_size) - size(layout.size()));
        // SAFETY: as for `dealloc`; the caller's promise about `new_size` is passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Runs `check`; the process ends when it holds more memory than the input's length deserves.
///
/// Only memory that Rust allocates is counted: libzstd's own is bounded by `-rss_limit_mb`.
pub fn within_bounds(input: &[u8], check: impl Fn(&[u8])) {
    let before = LIVE.load(Ordering::Relaxed);
    LIMIT.store(before + FREE_BYTES + FACTOR * size(input.len()), Ordering::Relaxed);
    check(input);
    LIMIT.store(i64::MAX, Ordering::Relaxed);
}

/// Bytes held now.
#[must_use]
pub fn live_bytes() -> i64 {
    LIVE.load(Ordering::Relaxed)
}
