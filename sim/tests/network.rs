//! Simulated TCP, held against what Linux does in the same situation.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ottla::environment::{Elapsed, Listener, Runtime, select};
use sim::network::{LinkFaults, SimListener, SimStream};
use sim::{MachineId, Settings, SimRuntime, World, simulate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
const SECOND: Duration = Duration::from_secs(1);

/// Two machines, a process on each.
struct Two {
    world: Arc<World>,
    a: MachineId,
    b: MachineId,
    process_a: SimRuntime,
    process_b: SimRuntime,
}

/// Runs it in a world of each seed, and gathers what it gives.
fn over_seeds<T, F>(scenario: fn(Two) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let run = |seed| {
        let outcome = simulate(Settings::new(seed), move |world| {
            let (a, b) = (world.add_machine("a"), world.add_machine("b"));
            let (process_a, process_b) = (world.puppet(a), world.puppet(b));
            scenario(Two { world, a, b, process_a, process_b })
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"))
    };
    SEEDS.map(run).collect()
}

impl Two {
    async fn listen(&self) -> (SimListener, SocketAddr) {
        let any = SocketAddr::from(([0, 0, 0, 0], 9092));
        let listener = self.process_b.listen(any).await.expect("the port is free");
        (listener, SocketAddr::new(self.world.address(self.b), 9092))
    }

    /// A connection from a to b: a's end, b's end.
    async fn pair(&self) -> (SimStream, SimStream) {
        let (mut listener, address) = self.listen().await;
        let (client, server) = tokio::join!(self.process_a.connect(address), listener.accept());
        (client.expect("connected"), server.expect("accepted"))
    }

    /// What the future gives, unless it takes longer.
    async fn within<T>(
        &self,
        patience: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        select! {
            output = future => Ok(output),
            () = self.world.sleep(patience) => Err(Elapsed),
        }
    }

    async fn cut_both(&self) {
        self.world.network().partition(&[&[self.a], &[self.b]]);
        // What was on its way has arrived.
        self.world.sleep(Duration::from_millis(5)).await;
    }
}

async fn read_to_end(stream: &mut SimStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map(|_| bytes)
}

fn kind<T>(outcome: io::Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[test]
fn end_of_a_crashed_process_arrives_after_its_last_bytes() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        client.write_all(&[7; 40_000]).await.expect("open");
        two.world.crash(two.a);
        let before = two.world.now();
        let bytes = two.within(SECOND, read_to_end(&mut server)).await.expect("the end comes");
        assert_eq!(bytes.expect("an orderly end").len(), 40_000);
        assert!(two.world.now().since(before) >= Duration::from_micros(100), "before any latency");
        // What the peer then writes is answered with a reset.
        server.write_all(b"hello?").await.expect("nobody knows yet");
        two.world.sleep(SECOND).await;
        assert_eq!(kind(server.write_all(b"hello?").await), Some(ErrorKind::BrokenPipe));
    });
}

#[test]
fn crashed_process_that_has_not_read_everything_resets() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        client.write_all(b"never read").await.expect("open");
        two.world.sleep(SECOND).await;
        two.world.crash(two.b);
        let read = two.within(SECOND, client.read_u8()).await.expect("the reset comes");
        assert_eq!(kind(read), Some(ErrorKind::ConnectionReset));
        assert_eq!(client.read(&mut [0]).await.ok(), Some(0), "an error is told once");
        assert_eq!(kind(client.write_all(b"x").await), Some(ErrorKind::BrokenPipe));
        drop(server.shutdown().await);
    });
}

#[test]
fn end_of_a_process_that_crashed_behind_a_cut_comes_after_the_healing() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.cut_both().await;
        client.write_all(b"accepted by the kernel").await.expect("the kernel takes it");
        two.world.crash(two.a);
        let silence = two.within(60 * SECOND, read_to_end(&mut server)).await;
        assert!(silence.is_err(), "something crossed the cut");
        two.world.network().heal_all();
        let bytes = two.within(200 * SECOND, read_to_end(&mut server)).await.expect("it comes");
        assert_eq!(bytes.expect("an orderly end"), b"accepted by the kernel");
    });
}

#[test]
fn dropped_stream_and_half_close_do_not_cross_a_cut() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.cut_both().await;
        client.shutdown().await.expect("the kernel takes it");
        assert!(two.within(30 * SECOND, server.read_u8()).await.is_err());
        drop(client);
        assert!(two.within(30 * SECOND, server.read_u8()).await.is_err());
        two.world.network().heal_all();
        let end = two.within(200 * SECOND, server.read_u8()).await.expect("the end comes");
        assert_eq!(kind(end), Some(ErrorKind::UnexpectedEof));
    });
}

#[test]
fn machine_without_power_is_silent_and_answers_with_a_reset_when_it_is_back() {
    over_seeds(|two| async move {
        let (_client, mut server) = two.pair().await;
        two.world.power_loss(two.a);
        assert!(two.within(3600 * SECOND, server.read_u8()).await.is_err(), "somebody answered");
        two.world.restart(two.a);
        assert!(
            two.within(60 * SECOND, server.read_u8()).await.is_err(),
            "it knows of no connection"
        );
        server.write_all(b"still there?").await.expect("the kernel takes it");
        let answer = two.within(SECOND, server.read_u8()).await.expect("an answer comes");
        assert_eq!(kind(answer), Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn bytes_of_a_machine_that_lost_power_behind_a_cut_are_lost() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.cut_both().await;
        client.write_all(b"lost").await.expect("the kernel takes it");
        two.world.power_loss(two.a);
        two.world.network().heal_all();
        assert!(
            two.within(600 * SECOND, server.read_u8()).await.is_err(),
            "bytes came from the dead"
        );
    });
}

#[test]
fn connecting_over_a_cut_or_to_a_machine_without_power_times_out() {
    over_seeds(|two| async move {
        let (_listener, address) = two.listen().await;
        let before = two.world.now();
        two.cut_both().await;
        assert_eq!(kind(two.process_a.connect(address).await), Some(ErrorKind::TimedOut));
        assert!((120..260).contains(&two.world.now().since(before).as_secs()));
        two.world.network().heal_all();
        two.world.power_loss(two.b);
        assert_eq!(kind(two.process_a.connect(address).await), Some(ErrorKind::TimedOut));
        two.world.restart(two.b);
        assert_eq!(kind(two.process_a.connect(address).await), Some(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn connecting_needs_the_way_back_too() {
    over_seeds(|two| async move {
        let (mut listener, address) = two.listen().await;
        two.world.network().cut(two.b, two.a);
        let (connected, accepted) = tokio::join!(
            two.within(60 * SECOND, two.process_a.connect(address)),
            two.within(60 * SECOND, listener.accept()),
        );
        assert!(connected.is_err() && accepted.is_err(), "the answer crossed the cut");
        two.world.network().heal_all();
        let (connected, accepted) = tokio::join!(two.process_a.connect(address), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    });
}

#[test]
fn connecting_survives_a_cut_that_is_healed_in_time() {
    over_seeds(|two| async move {
        let (mut listener, address) = two.listen().await;
        two.cut_both().await;
        let (connected, accepted, ()) =
            tokio::join!(two.process_a.connect(address), listener.accept(), async {
                two.world.sleep(20 * SECOND).await;
                two.world.network().heal_all();
            });
        assert!(connected.is_ok() && accepted.is_ok());
    });
}

#[test]
fn address_of_nobody_is_unreachable() {
    over_seeds(|two| async move {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 9092);
        assert_eq!(kind(two.process_a.connect(nobody).await), Some(ErrorKind::HostUnreachable));
        assert!(two.process_a.listen(nobody).await.is_err(), "listens on another's address");
        let named = two.process_a.resolve("b", 9092).await.expect("a machine has a name");
        assert_eq!(named, [SocketAddr::new(two.world.address(two.b), 9092)]);
    });
}

#[test]
fn every_byte_arrives_in_order_however_many_packets_get_lost() {
    over_seeds(|two| async move {
        two.world.network().set_faults(|faults| {
            (faults.loss, faults.spike, faults.segment_max) = (0.3, 0.1, 4000);
        });
        let (mut client, mut server) = two.pair().await;
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let (sent, received) = tokio::join!(
            async {
                client.write_all(&bytes).await?;
                client.shutdown().await
            },
            read_to_end(&mut server)
        );
        sent.expect("sent");
        assert!(received.expect("an orderly end") == bytes);
    });
}

#[test]
fn reset_of_one_connection_reaches_both_sides_and_no_other() {
    over_seeds(|two| async move {
        let (mut listener, address) = two.listen().await;
        let (first, accepted) = tokio::join!(two.process_a.connect(address), listener.accept());
        let (mut first, mut server) = (first.expect("connected"), accepted.expect("accepted"));
        let (other, accepted) = tokio::join!(two.process_a.connect(address), listener.accept());
        let (mut other, mut kept) = (other.expect("connected"), accepted.expect("accepted"));
        let connections = two.world.network().connections_of(two.b);
        assert_eq!(connections.len(), 2);
        two.world.network().reset(connections[0]);
        let (a, b) = (first.read_u8().await, server.read_u8().await);
        assert_eq!(
            (kind(a), kind(b)),
            (Some(ErrorKind::ConnectionReset), Some(ErrorKind::ConnectionReset))
        );
        other.write_all(b"x").await.expect("open");
        assert_eq!(kept.read_u8().await.ok(), Some(b'x'));
    });
}

#[test]
fn what_is_held_back_comes_late_in_its_order_also_after_its_sender_has_hung_up() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        let connection = two.world.network().connections_of(two.b)[0];
        two.world.network().hold_back(connection, two.b, true, 10 * SECOND);
        client.write_all(b"a late request").await.expect("the kernel takes it");
        server.write_all(b"!").await.expect("open");
        assert_eq!(
            two.within(SECOND, client.read_u8()).await.ok().and_then(Result::ok),
            Some(b'!')
        );
        drop(client);
        let early = two.within(8 * SECOND, server.read_u8()).await;
        assert!(early.is_err(), "it came before its time");
        let bytes = two.within(4 * SECOND, read_to_end(&mut server)).await.expect("it comes");
        assert_eq!(bytes.expect("an orderly end"), b"a late request");
    });
}

#[test]
fn writer_gives_up_on_a_silent_peer_after_a_quarter_of_an_hour() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.cut_both().await;
        let before = two.world.now();
        client.write_all(b"anybody?").await.expect("the kernel takes it");
        assert_eq!(kind(client.read_u8().await), Some(ErrorKind::TimedOut));
        let waited = two.world.now().since(before).as_secs();
        assert!((15 * 60..18 * 60).contains(&waited), "gave up after {waited} s");
        // The other side has heard nothing, and waits for ever.
        two.world.network().heal_all();
        assert!(two.within(3600 * SECOND, server.read_u8()).await.is_err());
    });
}

#[test]
fn bytes_cross_when_only_the_way_back_is_cut_but_the_writer_gives_up() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.world.network().cut(two.b, two.a);
        client.write_all(b"one way").await.expect("the kernel takes it");
        let mut bytes = [0; 7];
        server.read_exact(&mut bytes).await.expect("they arrive");
        assert_eq!(&bytes, b"one way");
        assert_eq!(kind(client.read_u8().await), Some(ErrorKind::TimedOut));
    });
}

#[test]
fn what_was_written_during_a_short_cut_arrives_after_it() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.cut_both().await;
        client.write_all(&[1; 30_000]).await.expect("the kernel takes it");
        two.world.sleep(20 * SECOND).await;
        two.world.network().heal_all();
        client.write_all(&[2; 30_000]).await.expect("the kernel takes it");
        let mut bytes = vec![0; 60_000];
        two.within(60 * SECOND, server.read_exact(&mut bytes))
            .await
            .expect("in time")
            .expect("read");
        assert!(bytes[..30_000] == [1; 30_000] && bytes[30_000..] == [2; 30_000]);
    });
}

#[test]
fn paused_process_acknowledges_until_its_window_is_full() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.world.pause(two.b);
        client.write_all(&[1; 100_000]).await.expect("two buffers of it");
        let stuck = two.within(3600 * SECOND, client.write_all(&[1; 100_000])).await;
        assert!(stuck.is_err(), "nobody reads, and yet there is room");
        two.world.resume(two.b);
        let mut bytes = vec![0; 100_000];
        server.read_exact(&mut bytes).await.expect("the connection has outlived the pause");
    });
}

#[test]
fn reads_give_less_than_there_is_at_times() {
    let counts: BTreeSet<_> = over_seeds(|two| async move {
        two.world.network().set_faults(|faults| faults.short_read = 0.5);
        let (mut client, mut server) = two.pair().await;
        client.write_all(&[1; 100]).await.expect("open");
        two.world.sleep(SECOND).await;
        server.read(&mut [0; 100]).await.expect("read")
    })
    .into_iter()
    .collect();
    assert!(counts.contains(&100) && counts.len() > 3 && !counts.contains(&0), "{counts:?}");
}

#[test]
fn something_on_the_way_can_reset_a_connection() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        two.world.network().set_faults(|faults| faults.reset = 1.0);
        client.write_all(b"x").await.expect("the kernel takes it");
        two.world.sleep(SECOND).await;
        assert_eq!(kind(client.read_u8().await), Some(ErrorKind::ConnectionReset));
        // The byte may have been faster than the reset.
        let end = read_to_end(&mut server).await;
        assert_eq!(kind(end), Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn slow_link_takes_its_time_in_its_direction() {
    over_seeds(|two| async move {
        let (mut client, mut server) = two.pair().await;
        let slow =
            LinkFaults { latency_us: 50_000, bandwidth: Some(100_000), ..LinkFaults::default() };
        two.world.network().set_link_faults(two.a, two.b, Some(slow));
        let before = two.world.now();
        let (sent, received) = tokio::join!(client.write_all(&[1; 200_000]), async {
            server.read_exact(&mut vec![0; 200_000]).await.map(drop)
        });
        sent.and(received).expect("slow, but sure");
        let took = two.world.now().since(before);
        assert!((2 * SECOND..10 * SECOND).contains(&took), "{took:?}");
        let before = two.world.now();
        server.write_all(b"x").await.expect("open");
        client.read_u8().await.expect("open");
        assert!(two.world.now().since(before) < Duration::from_millis(10), "the way back is fast");
    });
}

#[test]
fn full_accept_queue_makes_clients_wait() {
    over_seeds(|two| async move {
        two.world.network().set_faults(|faults| faults.backlog = 2);
        let (mut listener, address) = two.listen().await;
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(two.process_a.connect(address).await.expect("queued"));
        }
        two.world.sleep(SECOND).await;
        let connect = || two.within(10 * SECOND, two.process_a.connect(address));
        assert!(connect().await.is_err(), "the queue is full");
        drop(listener.accept().await);
        assert!(connect().await.expect("there is room again").is_ok());
    });
}

#[test]
fn connections_nobody_has_any_more_are_forgotten() {
    over_seeds(|two| async move {
        for round in 0..10 {
            let (mut client, server) = two.pair().await;
            client.write_all(b"x").await.expect("open");
            match round % 4 {
                0 => drop((client, server)),
                1 => {
                    drop(server);
                    two.world.sleep(SECOND).await;
                    drop(client);
                }
                2 => {
                    two.cut_both().await;
                    drop((client, server));
                    two.world.sleep(SECOND).await;
                    two.world.network().heal_all();
                }
                _ => {
                    client.shutdown().await.expect("open");
                    two.world.sleep(SECOND).await;
                    drop((client, server));
                }
            }
        }
        two.world.sleep(1000 * SECOND).await;
        assert_eq!(two.world.network().endpoint_count(), 0);
    });
}

#[test]
fn half_a_cluster_can_be_cut_off() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let machines: Vec<_> =
            (0..4).map(|number| world.add_machine(&format!("m{number}"))).collect();
        let processes: Vec<_> = machines.iter().map(|machine| world.puppet(*machine)).collect();
        let mut listeners = Vec::new();
        for process in &processes {
            let any = SocketAddr::from(([0, 0, 0, 0], 1));
            listeners.push(process.listen(any).await.expect("free"));
        }
        world.network().set_faults(|faults| faults.connect_give_up = Duration::from_secs(3));
        world.network().partition(&[&machines[..2], &machines[2..]]);
        let reach = async |from: usize, to: usize| {
            let address = SocketAddr::new(world.address(machines[to]), 1);
            processes[from].connect(address).await.is_ok()
        };
        assert!(reach(0, 1).await && reach(3, 2).await && reach(1, 1).await);
        assert!(!reach(0, 2).await && !reach(2, 1).await);
        world.network().heal(machines[0], machines[2]);
        assert!(!reach(0, 2).await, "the way back is still cut");
        world.network().heal(machines[2], machines[0]);
        assert!(reach(0, 2).await);
        world.network().heal_all();
        world.network().isolate(machines[3]);
        assert!(!reach(3, 0).await && !reach(0, 3).await && reach(0, 2).await && reach(3, 3).await);
    });
    outcome.result.expect("links are as they were set");
}
