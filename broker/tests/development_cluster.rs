//! `ottla dev --brokers 3` as people use it: a cluster from one command, one of its brokers killed, all gone with the command.

mod program;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use program::OTTLA;

/// The command and what it told; everything is gone afterwards.
struct Cluster {
    process: Child,
    told: BufReader<ChildStderr>,
    ready: serde_json::Value,
}

impl Cluster {
    fn start(data: &Path, port: u16) -> Self {
        let mut process = Command::new(OTTLA)
            .args(["dev", "--brokers", "3", "--restart", "1", "--print-ready-json", "--data"])
            .arg(data)
            .args(["--port", &port.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().expect("it has an output"));
        out.read_line(&mut line).expect("it says that it is ready");
        let mut told = BufReader::new(process.stderr.take().expect("it has an error output"));
        if line.is_empty() {
            let mut text = String::new();
            told.read_to_string(&mut text).expect("text");
            panic!("it is not ready: {text}");
        }
        Self { process, told, ready: serde_json::from_str(&line).expect("one line of JSON") }
    }

    fn pid(&self, place: usize) -> String {
        self.ready["brokers"][place]["pid"].to_string()
    }

    /// The next line for people.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("it says something");
        line
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let bootstrap = self.ready["bootstrap"].as_str().expect("addresses");
        program::ok(arguments, &["-b", bootstrap, "--timeout", "120"], input)
    }

    /// Stops it as a service manager would; the brokers go, too.
    fn stop(mut self) {
        send("-TERM", &self.process.id().to_string());
        assert!(self.process.wait().expect("it ends").success());
        for place in 0..3 {
            let running = Path::new("/proc").join(self.pid(place));
            assert!(!running.exists(), "a broker outlives the command");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The brokers hear of that from the system.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().expect("it runs").success());
}

/// Six ports in a row that nobody uses, below those that the system gives to connections.
fn free_ports() -> u16 {
    let first = 10_000 + u16::try_from(std::process::id() % 2_000).expect("small") * 10;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut bases = (0..2_000).map(|n: u16| 10_000 + (first - 10_000 + n * 10) % 20_000);
    bases.find(|base| (*base..base + 6).all(|port| is_free(&port))).expect("free ports")
}

#[test]
fn three_brokers_from_one_command_survive_one_of_them_and_are_there_again_next_time() {
    let (data, port) = (program::directory("three"), free_ports());
    let mut cluster = Cluster::start(&data, port);
    cluster.ok(&["topic", "create", "orders", "-p", "3"], "");
    let listed = cluster.ok(&["topic", "list"], "");
    assert_eq!(listed, "NAME    PARTITIONS  REPLICAS\norders  3           3\n");
    cluster.ok(&["produce", "orders", "-f", "%k=%v\\n"], "a=1\nb=2\n");

    let killed = cluster.pid(1);
    send("-KILL", &killed);
    let line = cluster.line();
    assert!(line.starts_with(&format!("broker 2 (pid {killed}) was killed by signal 9")), "{line}");
    cluster.ok(&["produce", "orders", "-f", "%k=%v\\n"], "c=3\nd=4\n");
    let line = cluster.line();
    assert!(line.starts_with("broker 2 is back: pid "), "{line}");
    cluster.stop();

    let cluster = Cluster::start(&data, port);
    let mut read: Vec<String> = cluster
        .ok(&["consume", "orders", "-e", "-f", "%k=%v\\n"], "")
        .lines()
        .map(str::to_owned)
        .collect();
    read.sort();
    assert_eq!(read, ["a=1", "b=2", "c=3", "d=4"]);
    cluster.stop();

    let refused = |arguments: &[&str], why: &str| {
        let output = Command::new(OTTLA)
            .args(["dev", "--data"])
            .arg(&data)
            .args(arguments)
            .output()
            .expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(why), "{arguments:?}: {stderr}");
    };
    refused(&["--brokers", "2"], "has more brokers");
    refused(&["--brokers", "3", "--any-port"], "say --port");
    refused(&["--restart", "1"], "say --brokers");
    std::fs::remove_dir_all(data.join("node-2")).expect("it is there");
    refused(&["--brokers", "3", "--port", &port.to_string()], "node-2 is not formatted");
    let _ = std::fs::remove_dir_all(&data);
}
