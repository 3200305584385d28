//! Many short connections: some ask one thing and go, some go without a word, some in the middle of one, some say what no
//! Kafka client says. None of it may harm anybody else, and none may be kept.

use ottla::client::Admin;
use ottla::environment::{Runtime as _, timeout};
use tokio::io::AsyncWriteExt as _;

use super::{Clients, Shared, Workload, pause};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "visitors", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.3) {
        for number in 1..=random.between(&(1..4)) {
            clients.add(&format!("visitor-{number}"), visit);
        }
    }
}

async fn visit(runtime: SimRuntime, shared: Shared) {
    let habits = &shared.habits;
    while !shared.is_over() {
        if runtime.random().is_multiple_of(2) {
            // What it is told is looked at by others.
            let _ = Admin::new(habits.client(runtime.clone())).list_topics().await;
        } else {
            // It need not get through: the broker may be away.
            let _ = timeout(
                &runtime,
                habits.request_timeout,
                mutter(&runtime, habits.some_broker(&runtime)),
            )
            .await;
        }
        runtime.world().events().count("short connection", 1);
        pause(&runtime, 500).await;
    }
    std::future::pending::<()>().await;
}

/// Connects, and says nothing, half a request, or nonsense.
async fn mutter(runtime: &SimRuntime, broker: &str) -> std::io::Result<()> {
    let addresses = runtime.resolve(broker, 9092).await?;
    let Some(address) = addresses.first() else { return Ok(()) };
    let mut stream = runtime.connect(*address).await?;
    // ApiVersions, version 0, and the beginning of its header; the length says that more comes.
    let half = [0, 0, 0, 40, 0, 18, 0, 0, 0, 0, 0, 1];
    match runtime.random() % 4 {
        0 => {}
        1 => stream.write_all(&half).await?,
        2 => stream.write_all(&runtime.random().to_be_bytes()).await?,
        _ => stream.write_all(&[0xff; 100]).await?,
    }
    stream.flush().await?;
    pause(runtime, 200).await;
    Ok(())
}
