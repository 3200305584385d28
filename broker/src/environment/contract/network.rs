use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{error_kind, file_with, pattern};
use crate::environment::{Disk, Elapsed, Listener, Runtime, Stream, timeout};

/// Longer than anything here may take; what is "for ever" in a contract must end too.
const PATIENCE: Duration = Duration::from_secs(60);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A connection: the end that connected and the end that accepted.
async fn pair<R: Runtime>(runtime: &R) -> (R::Stream, R::Stream) {
    let mut listener = runtime.listen(ANY_PORT).await.expect("a port is free");
    let (connected, accepted) =
        tokio::join!(runtime.connect(listener.local_address()), listener.accept());
    (connected.expect("somebody listens"), accepted.expect("somebody connects"))
}

async fn within<R: Runtime, T>(runtime: &R, what: &str, future: impl Future<Output = T>) -> T {
    match timeout(runtime, PATIENCE, future).await {
        Ok(output) => output,
        Err(Elapsed) => panic!("{what} took too long"),
    }
}

async fn read_to_end<S: Stream>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map(|_| bytes)
}

pub(super) async fn both_ends_know_each_other<R: Runtime>(runtime: &R) {
    let (client, server) = pair(runtime).await;
    assert_eq!(client.peer_address(), server.local_address());
    assert_eq!(client.local_address(), server.peer_address());
    assert_ne!(client.peer_address().port(), 0);
    assert_ne!(client.local_address(), client.peer_address());
}

pub(super) async fn bytes_arrive_in_order_both_ways<R: Runtime>(runtime: &R) {
    let (mut client, mut server) = pair(runtime).await;
    let request = pattern(100_000);
    let (sent, received) = tokio::join!(
        async {
            // Pieces of every size, so that nothing can rely on where a write ended.
            let mut rest = &request[..];
            let mut size = 1;
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(size.min(rest.len()));
                client.write_all(piece).await?;
                rest = left;
                size = size * 2 + 1;
            }
            client.flush().await
        },
        async {
            let mut bytes = vec![0; request.len()];
            server.read_exact(&mut bytes).await.map(|_| bytes)
        }
    );
    sent.expect("the peer reads");
    assert!(received.expect("the peer writes") == request, "bytes were changed on the way");

    server.write_all(b"answer").await.expect("the peer is there");
    server.flush().await.expect("the peer is there");
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.expect("the answer comes");
    assert_eq!(&answer, b"answer");
}

pub(super) async fn half_close_is_seen_after_all_bytes<R: Runtime>(runtime: &R) {
    let (mut client, mut server) = pair(runtime).await;
    client.write_all(b"last words").await.expect("the peer is there");
    client.shutdown().await.expect("the peer is there");
    let words = within(runtime, "end of stream", read_to_end(&mut server)).await;
    assert_eq!(words.expect("an orderly end"), b"last words");
    assert!(client.write_all(b"more").await.is_err(), "written after our own end");

    // The other direction goes on.
    server.write_all(b"reply").await.expect("the peer still reads");
    server.shutdown().await.expect("the peer still reads");
    let reply = within(runtime, "the reply", read_to_end(&mut client)).await;
    assert_eq!(reply.expect("an orderly end"), b"reply");
}

pub(super) async fn dropped_stream_is_seen_by_the_peer<R: Runtime>(runtime: &R) {
    let (mut client, mut server) = pair(runtime).await;
    client.write_all(b"bye").await.expect("the peer is there");
    drop(client);
    let words = within(runtime, "end of stream", read_to_end(&mut server)).await;
    assert_eq!(words.expect("an orderly end"), b"bye");
    let error = within(runtime, "the reset", async {
        loop {
            if let Err(error) = server.write_all(&[0; 100]).await {
                return error;
            }
            runtime.sleep(Duration::from_millis(1)).await;
        }
    });
    let kind = error.await.kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
}

pub(super) async fn writer_waits_for_a_peer_that_does_not_read<R: Runtime>(runtime: &R) {
    let (mut client, mut server) = pair(runtime).await;
    let piece = pattern(1 << 16);
    let mut written: u64 = 0;
    // Counted write by write: a write that is given up has taken nothing.
    while let Ok(outcome) = timeout(runtime, Duration::from_millis(300), client.write(&piece)).await
    {
        written += outcome.expect("the peer is there") as u64;
        assert!(written < 1 << 30, "a peer that does not read takes any number of bytes");
    }
    let (sender, receiver) = oneshot::channel();
    runtime.spawn("contract", async move {
        let more = client.write_all(&[7; 1 << 16]).await;
        let ended = client.shutdown().await;
        // Fails only when the contract is broken elsewhere and nobody listens any more.
        let _ = sender.send(more.and(ended));
    });
    let read =
        within(runtime, "reading on", read_to_end(&mut server)).await.expect("an orderly end");
    assert_eq!(read.len() as u64, written + (1 << 16), "bytes were lost or made up");
    let outcome = within(runtime, "the held up write", receiver).await;
    outcome.expect("the writer ends").expect("the peer has read everything");
}

pub(super) async fn ranges_of_files_are_sent<R: Runtime>(runtime: &R, directory: &Path) {
    let disk = runtime.disk();
    let path = directory.join("sent");
    let bytes = pattern(300_000);
    let file = file_with(disk, &path, &bytes).await;
    let (mut client, mut server) = pair(runtime).await;
    let (outcome, received) = tokio::join!(
        async {
            client.write_all(b"head").await?;
            client.send_file(&file, 0, 0).await?;
            client.send_file(&file, 1000, 250_000).await?;
            client.send_file(&file, 299_990, 10).await?;
            client.write_all(b"tail").await?;
            let beyond = client.send_file(&file, 299_999, 2).await;
            assert_eq!(error_kind(beyond), Some(ErrorKind::UnexpectedEof));
            client.shutdown().await
        },
        read_to_end(&mut server)
    );
    outcome.expect("the peer reads");
    let expected =
        [b"head", &bytes[1000..251_000], &bytes[299_990..], b"tail", &bytes[299_999..]].concat();
    assert!(received.expect("an orderly end") == expected, "other bytes than the file's were sent");
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn nobody_listening_is_refused<R: Runtime>(runtime: &R) {
    let listener = runtime.listen(ANY_PORT).await.expect("a port is free");
    let address = listener.local_address();
    drop(listener);
    let outcome = within(runtime, "the refusal", runtime.connect(address)).await;
    assert_eq!(error_kind(outcome), Some(ErrorKind::ConnectionRefused));
}

pub(super) async fn a_port_is_taken_once_and_free_again<R: Runtime>(runtime: &R) {
    let mut listener = runtime.listen(ANY_PORT).await.expect("a port is free");
    let address = listener.local_address();
    assert_ne!(address.port(), 0);
    assert_eq!(error_kind(runtime.listen(address).await), Some(ErrorKind::AddrInUse));
    let (client, server) = tokio::join!(runtime.connect(address), listener.accept());
    drop(listener);
    // A connection that lives on does not keep the port.
    let again = runtime.listen(address).await.expect("the port is free again");
    drop((client, server, again));
}

pub(super) async fn names_are_resolved<R: Runtime>(runtime: &R) {
    let literal = runtime.resolve("10.1.2.3", 9092).await.expect("a literal address is itself");
    assert_eq!(literal, [SocketAddr::from(([10, 1, 2, 3], 9092))]);
    let local = runtime.resolve("localhost", 1).await.expect("everybody has it");
    assert!(!local.is_empty());
    assert!(
        local.iter().all(|address| address.ip().is_loopback() && address.port() == 1),
        "{local:?}"
    );
    assert!(runtime.resolve("no-such-host.invalid", 1).await.is_err());
}
