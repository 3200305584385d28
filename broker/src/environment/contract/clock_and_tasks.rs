use std::future::{pending, ready};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::environment::{Elapsed, Instant, Runtime, Stopper, select, timeout};

pub(super) async fn now_never_goes_back<R: Runtime>(runtime: &R) {
    let mut last = runtime.now();
    for step in 0..100 {
        if step % 10 == 0 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let now = runtime.now();
        assert!(now >= last, "the clock went back from {last:?} to {now:?}");
        last = now;
    }
    let millis = runtime.wall_clock().millis();
    assert!(millis > 0, "the wall clock stands before 1970: {millis}");
}

pub(super) async fn sleep_ends_at_its_deadline_and_not_before<R: Runtime>(runtime: &R) {
    for millis in [0, 1, 5, 20] {
        let deadline = runtime.now() + Duration::from_millis(millis);
        runtime.sleep_until(deadline).await;
        assert!(runtime.now() >= deadline, "woken {:?} early", deadline.since(runtime.now()));
    }
    runtime.sleep_until(Instant::default()).await;
    let outcome =
        timeout(runtime, Duration::from_millis(5), runtime.sleep_until(Instant::FAR)).await;
    assert_eq!(outcome, Err(Elapsed), "a deadline that never comes has come");
}

pub(super) async fn deadlines_end_in_their_own_order<R: Runtime>(runtime: &R) {
    let first = select! {
        () = runtime.sleep(Duration::from_secs(60)) => "late",
        () = runtime.sleep(Duration::from_millis(2)) => "early",
    };
    assert_eq!(first, "early", "the later deadline came first");
}

pub(super) async fn timeout_gives_up_and_lets_through<R: Runtime>(runtime: &R) {
    let before = runtime.now();
    let patience = Duration::from_millis(5);
    assert_eq!(timeout(runtime, patience, pending::<()>()).await, Err(Elapsed));
    assert!(runtime.now() >= before + patience, "gave up early");
    assert_eq!(
        timeout(runtime, Duration::ZERO, ready(3)).await,
        Ok(3),
        "what is ready needs no time"
    );
}

pub(super) async fn spawned_tasks_run_beside_their_maker<R: Runtime>(runtime: &R) {
    let (sender, mut receiver) = mpsc::channel(1);
    for number in 0..20_u32 {
        let (sender, sleeper) = (sender.clone(), runtime.clone());
        runtime.spawn("contract", async move {
            sleeper.sleep(Duration::from_millis(u64::from(number % 3))).await;
            // Fails only when the contract is broken elsewhere and nobody listens any more.
            let _ = sender.send(number).await;
        });
    }
    drop(sender);
    let mut seen = Vec::new();
    while let Some(number) = receiver.recv().await {
        seen.push(number);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>(), "each task runs once, to its end");
}

pub(super) async fn compute_gives_its_answer<R: Runtime>(runtime: &R) {
    let sum = runtime.compute(|| (1..=100_u64).sum::<u64>()).await;
    assert_eq!(sum, 5050);
}

pub(super) fn random_numbers_differ<R: Runtime>(runtime: &R) {
    let mut numbers: Vec<u64> = (0..64).map(|_| runtime.random()).collect();
    let all_bits = numbers.iter().fold(0, |bits, number| bits | number);
    assert_eq!(all_bits, u64::MAX, "a bit is never set");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 64, "random numbers repeat");
}

pub(super) async fn stopper_is_heard_before_and_after<R: Runtime>(runtime: &R) {
    let stopper = Stopper::new();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let (sender, receiver) = oneshot::channel();
        let stop = stopper.stop();
        runtime.spawn("contract", async move {
            stop.stopped().await;
            // As above.
            let _ = sender.send(());
        });
        waiting.push(receiver);
    }
    runtime.sleep(Duration::from_millis(2)).await;
    assert!(
        waiting.iter_mut().all(|waiter| waiter.try_recv().is_err()),
        "ended without being told"
    );
    assert!(!stopper.stop().is_stopped());
    stopper.pull();
    for waiter in waiting {
        assert_eq!(waiter.await, Ok(()), "a task did not hear the stopper");
    }
    assert!(stopper.stop().is_stopped());
    stopper.stop().stopped().await;
}
