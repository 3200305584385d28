//! Files of the real disk against a vector of bytes; `sim/tests/contract.rs` does the same to the simulated disk.

use ottla::environment::Runtime;
use ottla::environment::contract::{FileStep, replay};
use ottla::environment::tokio::TokioRuntime;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = FileStep> {
    let bytes = prop::collection::vec(any::<u8>(), 0..2000);
    prop_oneof![
        4 => (0..10_000_u16, bytes).prop_map(|(position, bytes)| FileStep::Write { position, bytes }),
        2 => (0..10_000_u16).prop_map(FileStep::SetLength),
        3 => (0..12_000_u16, 0..5_000_u16)
            .prop_map(|(position, length)| FileStep::Read { position, length }),
        1 => Just(FileStep::Sync),
        1 => Just(FileStep::Rename),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn file_is_a_row_of_bytes(steps in prop::collection::vec(step(), 0..30)) {
        let directory = std::env::temp_dir().join(format!("ottla-disk-model-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("the temporary directory takes directories");
        let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let outcome = std::panic::catch_unwind(|| tokio.block_on(async {
            replay(TokioRuntime::new().disk(), &directory, &steps).await;
        }));
        std::fs::remove_dir_all(&directory).expect("it is ours");
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}
