//! The program in a process of its own: directories to run in, and commands.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where it is.
pub(crate) const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

/// A place for data that nobody else uses and where nothing is yet.
pub(crate) fn directory(name: &str) -> PathBuf {
    let data =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    data
}

/// Runs a command with this input; `connection` says whom it asks, and how.
pub(crate) fn run(arguments: &[&str], connection: &[&str], input: &str) -> Output {
    let mut command = Command::new(OTTLA)
        .args(arguments)
        .args(connection)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = command.stdin.take().expect("it has an input");
    stdin.write_all(input.as_bytes()).expect("it reads its input");
    drop(stdin);
    command.wait_with_output().expect("the command ends")
}

/// The output of a command that must succeed.
pub(crate) fn ok(arguments: &[&str], connection: &[&str], input: &str) -> String {
    let output = run(arguments, connection, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}
