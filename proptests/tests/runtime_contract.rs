//! The production implementation of the door, judged by the contract that the simulator is judged by too.

use std::path::{Path, PathBuf};

use ottla::environment::contract;
use ottla::environment::tokio::TokioRuntime;

/// An empty directory of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ottla-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory takes directories");
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that has failed may have left files; nobody needs them.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn clock_and_tasks_keep_the_contract() {
    contract::clock_and_tasks(&TokioRuntime::new()).await;
}

#[tokio::test]
async fn files_keep_the_contract() {
    let scratch = Scratch::new("contract-disk");
    contract::disk(&TokioRuntime::new(), scratch.path()).await;
}

#[tokio::test]
async fn connections_keep_the_contract() {
    let scratch = Scratch::new("contract-network");
    contract::network(&TokioRuntime::new(), scratch.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_keeps_the_contract_on_many_threads() {
    let scratch = Scratch::new("contract-all");
    contract::all(&TokioRuntime::new(), scratch.path()).await;
}
