use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ConnectionArguments;
use super::failure::{DENIED, FAILED, Failure, INTERRUPTED, NOT_FOUND};
use crate::client::{Admin, Client, Settings};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Disk as _, File as _, OpenMode, Runtime as _, select};

/// What a command works with.
pub(super) struct Context {
    pub(super) runtime: TokioRuntime,
    pub(super) out: Output,
    settings: Settings,
}

/// Standard output; written to a person line by line, to a pipe in blocks.
pub(super) struct Output {
    inner: BufWriter<Stdout>,
    is_terminal: bool,
}

impl Output {
    fn new() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self { inner: BufWriter::with_capacity(1 << 16, stdout), is_terminal }
    }

    /// After a record: a person sees it at once.
    pub(super) fn end_record(&mut self) -> io::Result<()> {
        if self.is_terminal { self.inner.flush() } else { Ok(()) }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Context {
    /// A client that connects when it is first used.
    pub(super) fn client(&self) -> Client<TokioRuntime> {
        Client::new(self.runtime.clone(), self.settings.clone())
    }

    pub(super) fn admin(&self) -> Admin<TokioRuntime> {
        Admin::new(self.client())
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens a file, or standard input for `-` and nothing.
    pub(super) async fn input(&self, path: Option<&Path>) -> Result<Input, Failure> {
        match path {
            Some(path) if path != Path::new("-") => {
                let file = self.runtime.disk().open(path, OpenMode::Read).await;
                let file = file.map_err(|error| cannot_read(path, &error))?;
                Ok(Input::File { path: path.to_owned(), file, position: 0 })
            }
            Some(_) | None => Ok(Input::Standard { runtime: self.runtime.clone() }),
        }
    }
}

pub(super) fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are plain failures")]
    let (code, advice) = match error.kind() {
        io::ErrorKind::NotFound => {
            (NOT_FOUND, "check the path: it begins where the program was started")
        }
        io::ErrorKind::PermissionDenied => (DENIED, "run it as a user who may read that"),
        io::ErrorKind::IsADirectory => (FAILED, "name a file in that directory"),
        _ => (FAILED, "check the disk; the system's log may say more"),
    };
    Failure::new(code, format!("cannot read {}: {error}", path.display())).advise(advice)
}

/// Where records come from.
pub(super) enum Input {
    Standard { runtime: TokioRuntime },
    File { path: PathBuf, file: <TokioRuntime as crate::environment::Runtime>::File, position: u64 },
}

impl Input {
    /// The next bytes, as many as are there; empty at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        const CHUNK_BYTES: usize = 1 << 16;
        let mut buffer = vec![0; CHUNK_BYTES];
        match self {
            Self::Standard { runtime } => {
                // A read from a terminal may take for ever, and records under way must not wait for it.
                let read = runtime.compute(move || {
                    let read = io::Read::read(&mut io::stdin().lock(), &mut buffer);
                    read.map(|read| {
                        buffer.truncate(read);
                        buffer
                    })
                });
                Ok(read.await?)
            }
            Self::File { path, file, position } => {
                let read = file.read_at(&mut buffer, *position).await;
                let read = read.map_err(|error| cannot_read(path, &error))?;
                *position += read as u64;
                buffer.truncate(read);
                Ok(buffer)
            }
        }
    }
}

/// Runs a command against brokers, until it ends or is interrupted.
pub(super) fn as_client(
    arguments: &ConnectionArguments,
    command: impl AsyncFnOnce(&mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut settings = Settings::new(arguments.bootstrap.clone());
    settings.client_id = arguments.client_id.as_str().into();
    settings.task_timeout = Duration::from_secs(arguments.timeout.into());
    // A person who mistypes an address should not wait for it.
    settings.bootstrap_timeout = FIRST_ANSWER_TIMEOUT.min(settings.task_timeout);
    settings.request_timeout = settings.request_timeout.min(settings.task_timeout);
    settings.connect_timeout = settings.connect_timeout.min(settings.task_timeout);
    run(settings, command)
}

/// How long a broker may take to be found; one that has just been started is there by then.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs a command that needs no broker.
pub(super) fn offline(
    command: impl AsyncFnOnce(&mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    run(Settings::new(Vec::new()), command)
}

/// One thread is enough for a client, and starts at once.
fn run(
    settings: Settings,
    command: impl AsyncFnOnce(&mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = tokio.block_on(async {
        let mut context = Context { runtime: TokioRuntime::new(), out: Output::new(), settings };
        let outcome = select! {
            outcome = command(&mut context) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(INTERRUPTED, "")),
        };
        let flushed = context.out.flush();
        outcome.and(flushed.map_err(Failure::from))
    });
    // A thread may wait in a read from the terminal: nobody waits for it.
    tokio.shutdown_background();
    outcome
}

/// Waits for what an operator presses to end a command that ends in an orderly way by itself.
pub(super) async fn interrupted() {
    // Without a handler the signal ends the program, which is an end too.
    let _ = tokio::signal::ctrl_c().await;
}
