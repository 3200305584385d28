//! Machines, clocks, rare ways, and the end of a world.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ottla::environment::Runtime;
use sim::machine::MachineState;
use sim::{Settings, simulate};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn clocks_of_machines_drift_and_jump() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let (exact, fast) = (world.add_machine("exact"), world.add_machine("fast"));
        let (exact_process, fast_process) = (world.puppet(exact), world.puppet(fast));
        world.set_drift(fast, 100_000);
        let wall = fast_process.wall_clock().millis();
        world.sleep(10 * SECOND).await;
        assert_eq!(exact_process.now().0 / 1_000_000_000, 10);
        assert_eq!(fast_process.now().0 / 1_000_000_000, 11);
        assert!((10_990..11_010).contains(&(fast_process.wall_clock().millis() - wall)));

        let before = world.now();
        fast_process.sleep(11 * SECOND).await;
        let slept = world.now().since(before);
        assert!((9_999..10_002).contains(&slept.as_millis()), "{slept:?}");

        let (wall, now) = (fast_process.wall_clock().millis(), fast_process.now());
        world.move_wall_clock(fast, -3_600_000);
        assert!(fast_process.wall_clock().millis() - wall <= -3_599_990, "the wall clock jumps");
        assert!(fast_process.now() >= now, "the monotonic clock does not");
        assert!((exact_process.wall_clock().millis() - wall).abs() < 10_000);
    });
    outcome.result.expect("clocks are as they were set");
}

#[test]
fn sleeper_of_a_slowed_clock_is_not_woken_early() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let machine = world.add_machine("a");
        let process = world.puppet(machine);
        let deadline = process.now() + 10 * SECOND;
        let (slept, ()) = tokio::join!(process.sleep_until(deadline), async {
            world.sleep(SECOND).await;
            world.set_drift(machine, -500_000);
        });
        let () = slept;
        assert!(process.now() >= deadline);
        assert!(world.now().since(sim::timeline::SimTime(0)) >= 18 * SECOND);
    });
    outcome.result.expect("slept long enough");
}

#[test]
fn dead_processes_run_no_further_and_restarted_ones_begin_anew() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let machine = world.add_machine("a");
        let (starts, ticks) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (start_count, tick_count) = (Arc::clone(&starts), Arc::clone(&ticks));
        world.start(machine, move |runtime| {
            start_count.fetch_add(1, Ordering::Relaxed);
            let tick_count = Arc::clone(&tick_count);
            async move {
                let ticker = runtime.clone();
                runtime.spawn("ticker", async move {
                    loop {
                        ticker.sleep(SECOND).await;
                        tick_count.fetch_add(1, Ordering::Relaxed);
                    }
                });
                runtime.sleep(100 * SECOND).await;
            }
        });
        let counts = || (starts.load(Ordering::Relaxed), ticks.load(Ordering::Relaxed));
        world.sleep(Duration::from_millis(5_500)).await;
        assert_eq!(counts(), (1, 5));
        world.pause(machine);
        world.sleep(10 * SECOND).await;
        assert_eq!((counts(), world.state(machine)), ((1, 5), MachineState::Paused));
        world.resume(machine);
        world.sleep(Duration::from_millis(2_200)).await;
        let resumed = counts();
        assert!(resumed.1 > 5);
        world.crash(machine);
        world.sleep(10 * SECOND).await;
        assert_eq!((counts(), world.state(machine)), (resumed, MachineState::Idle));
        world.restart(machine);
        world.sleep(Duration::from_millis(3_500)).await;
        assert_eq!(counts(), (2, resumed.1 + 3));
        world.power_loss(machine);
        world.sleep(10 * SECOND).await;
        assert_eq!((counts(), world.state(machine)), ((2, resumed.1 + 3), MachineState::Unpowered));
        // When the main task ends, so does the rest of the process.
        world.restart(machine);
        world.sleep(200 * SECOND).await;
        assert_eq!(counts().0, 3);
        assert!((99..=100).contains(&(counts().1 - resumed.1 - 3)));
        assert_eq!(world.state(machine), MachineState::Idle);
    });
    outcome.result.expect("processes live and die as told");
}

#[test]
fn killed_process_gives_nothing_back() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let machine = world.add_machine("a");
        let (given, ()) = tokio::join!(
            world.run(machine, |runtime| async move { runtime.sleep(10 * SECOND).await }),
            async {
                world.sleep(SECOND).await;
                world.crash(machine);
            }
        );
        assert_eq!(given, None);
        assert_eq!(world.run(machine, |_| async { 7 }).await, Some(7));
    });
    outcome.result.expect("killed");
}

#[test]
fn rare_ways_are_taken_in_some_worlds_only() {
    let fired = |seed, armed_sites| {
        let outcome =
            simulate(Settings { armed_sites, ..Settings::new(seed) }, |world| async move {
                let process = world.puppet(world.add_machine("a"));
                (0..1000).filter(|_| process.buggify("tests/site")).count()
            });
        assert_eq!(outcome.counters.contains_key("tests/site"), outcome.result != Ok(0));
        outcome.result.expect("nothing can fail")
    };
    let counts: Vec<_> = (1..=40).map(|seed| fired(seed, 0.25)).collect();
    let armed = counts.iter().filter(|count| **count > 0).count();
    assert!((3..25).contains(&armed), "armed in {armed} of 40 worlds");
    assert!(counts.iter().collect::<BTreeSet<_>>().len() > 3, "each has its own probability");
    assert!((1..=40).all(|seed| fired(seed, 0.0) == 0));
}

#[test]
fn end_of_a_world_is_told_whatever_it_was() {
    let broken = simulate::<(), _>(Settings::new(1), |world| async move {
        world.sleep(SECOND).await;
        panic!("an invariant");
    });
    assert_eq!(broken.result, Err("an invariant".to_owned()));
    assert!(broken.ended_at.0 >= 1_000_000_000);

    let broken_process = simulate(Settings::new(1), |world| async move {
        let machine = world.add_machine("a");
        world.start(machine, |_| async { panic!("on a machine") });
        world.sleep(SECOND).await;
    });
    assert_eq!(broken_process.result, Err("on a machine".to_owned()));

    let stuck = simulate::<(), _>(Settings::new(1), |_| std::future::pending());
    assert!(stuck.result.is_err_and(|problem| problem.contains("block forever")));

    let limit = Settings { time_limit: 5 * SECOND, ..Settings::new(1) };
    let late = simulate(limit, |world| async move { world.sleep(60 * SECOND).await });
    assert!(late.result.is_err_and(|problem| problem.contains("time limit")));
}
