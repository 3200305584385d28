//! A small scenario that touches everything the world is made of: clients append lines to a file through an echoing
//! server, which answers when they are durable, while a nemesis disturbs them.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla::environment::{Disk, File, FileExt, Listener, OpenMode, Runtime, timeout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::machine::MachineId;
use crate::random::Random;
use crate::runtime::SimRuntime;
use crate::world::{Outcome, Settings, World, simulate};

/// Lines that were answered; each must be in the file at the end.
type Answered = Arc<Mutex<Vec<u64>>>;

/// What a run has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines that clients were told are durable.
    pub answered: usize,
    /// Lines in the file.
    pub stored: usize,
}

/// Runs the scenario under `settings`. It fails when an answered line is not in the file at the end.
///
/// # Panics
///
/// When the system gives no thread.
#[must_use]
pub fn echo(settings: Settings) -> Outcome<Report> {
    simulate(settings, |world| async move {
        let server = world.add_machine("server");
        world.start(server, |runtime| async move {
            // A disk or network error ends the process; the nemesis starts it again.
            let _ = serve(runtime).await;
        });
        let answered = Answered::default();
        let clients: Vec<_> = (1..=3_u64)
            .map(|number| (number, world.add_machine(&format!("client-{number}"))))
            .collect();
        for (number, machine) in clients.iter().copied() {
            let answered = Arc::clone(&answered);
            world.start(machine, move |runtime| ask(runtime, number, Arc::clone(&answered)));
        }
        let mut nemesis = world.random("nemesis");
        let mut machines = vec![server];
        machines.extend(clients.iter().map(|(_, machine)| *machine));
        for _ in 0..20 {
            world.sleep(Duration::from_millis(nemesis.between(&(50..1500)))).await;
            disturb(&world, &machines, &mut nemesis).await;
        }
        world.network().heal_all();
        world.power_loss(server);
        let stored = world.run(server, |runtime| async move { stored(&runtime).await }).await;
        let stored = stored.expect("nobody kills it any more").expect("the disk is healthy");
        let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
        for line in answered.iter() {
            assert!(stored.contains(line), "line {line:x} was answered, but is lost");
        }
        Report { answered: answered.len(), stored: stored.len() }
    })
}

async fn disturb(world: &Arc<World>, machines: &[MachineId], nemesis: &mut Random) {
    let (server, machine) = (machines[0], *nemesis.pick(machines));
    let duration = Duration::from_millis(nemesis.between(&(10..3000)));
    match nemesis.below(6) {
        0 => world.crash(server),
        1 => world.power_loss(server),
        2 => world.network().isolate(machine),
        3 => world.network().cut(server, machine),
        4 => world.pause(machine),
        _ => world.network().set_faults(|faults| faults.loss = 0.05),
    }
    world.sleep(duration).await;
    world.network().heal_all();
    world.network().set_faults(|faults| faults.loss = 0.0);
    for machine in machines {
        world.resume(*machine);
    }
    if world.state(server) != crate::machine::MachineState::Running {
        world.restart(server);
    }
}

async fn serve(runtime: SimRuntime) -> io::Result<()> {
    let disk = runtime.disk().clone();
    disk.create_directory(Path::new(DIRECTORY)).await?;
    disk.sync_directory(Path::new("/")).await?;
    let file = disk.open(&Path::new(DIRECTORY).join("lines"), OpenMode::Create).await?;
    disk.sync_directory(Path::new(DIRECTORY)).await?;
    // A torn line at the end is of a client that was never answered.
    let end = file.length().await?.next_multiple_of(LINE_BYTES);
    let log = Arc::new(tokio::sync::Mutex::new((file, end)));
    let mut listener = runtime.listen(SocketAddr::from(([0, 0, 0, 0], PORT))).await?;
    loop {
        let mut stream = listener.accept().await?;
        let log = Arc::clone(&log);
        runtime.spawn("connection", async move {
            let mut line = [0; 8];
            while stream.read_exact(&mut line).await.is_ok() {
                let mut log = log.lock().await;
                let (file, end) = &mut *log;
                let written = file.write_all_at(&[IoSlice::new(&line)], *end).await;
                *end += LINE_BYTES;
                if written.is_err() || file.sync_data().await.is_err() {
                    break;
                }
                drop(log);
                if stream.write_all(&line).await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn ask(runtime: SimRuntime, number: u64, answered: Answered) {
    let mut line = number << 32;
    loop {
        line += 1;
        let attempt = timeout(&runtime, Duration::from_secs(2), async {
            let address = runtime.resolve("server", PORT).await?;
            let mut stream = runtime.connect(address[0]).await?;
            let mut answer = [0; 8];
            while answer != line.to_be_bytes() {
                stream.write_all(&line.to_be_bytes()).await?;
                stream.read_exact(&mut answer).await?;
            }
            io::Result::Ok(())
        });
        if matches!(attempt.await, Ok(Ok(()))) {
            answered.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        runtime.sleep(Duration::from_millis(runtime.random() % 50)).await;
    }
}

async fn stored(runtime: &SimRuntime) -> io::Result<Vec<u64>> {
    let path = Path::new(DIRECTORY).join("lines");
    let bytes = match runtime.disk().open(&path, OpenMode::Read).await {
        Ok(file) => file.read_all(1 << 30).await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(bytes.as_chunks().0.iter().map(|line| u64::from_be_bytes(*line)).collect())
}

const DIRECTORY: &str = "/data";
const PORT: u16 = 9092;
const LINE_BYTES: u64 = 8;
