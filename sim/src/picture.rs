//! What one run looks like, for whoever asks.

use std::path::PathBuf;

use clap::Args;
use sim::Report;
use sim::events::Recorded;
use sim::timeline::SimTime;
use sim::view::{self, Run, Window};

/// Pictures of a run.
#[derive(Args)]
pub(crate) struct Pictures {
    /// Writes the run as a page into this file; it opens in any browser, without a network.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "planted"])]
    html: Option<PathBuf>,
    /// Draws the run on the terminal.
    #[arg(long, conflicts_with_all = ["seeds", "planted"])]
    text: bool,
    /// Draws nothing before this second.
    #[arg(long, value_name = "SECOND", requires = "text")]
    since: Option<f64>,
    /// Draws nothing after this second.
    #[arg(long, value_name = "SECOND", requires = "text")]
    until: Option<f64>,
    /// About how many lines the drawing may have; what does not fit is drawn together.
    #[arg(long, value_name = "COUNT", default_value_t = 100, requires = "text")]
    lines: usize,
}

impl Pictures {
    /// Whether any picture is wanted; events must be kept then.
    pub(crate) fn are_wanted(&self) -> bool {
        self.text || self.html.is_some()
    }

    /// Draws what was asked for of a run under `options`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    #[expect(clippy::print_stdout, reason = "the picture of a run is what was asked for")]
    pub(crate) fn draw(
        &self,
        options: &[String],
        report: &Report,
        trace: &[Recorded],
    ) -> Result<(), String> {
        let run = Run {
            scenario: options.get(1).cloned().unwrap_or_default(),
            seed: report.seed,
            command: format!("cargo sim {} --seed {}", options.join(" "), report.seed),
            problem: report.result.as_ref().err().cloned(),
            digest: report.digest,
            event_count: report.events,
            ended_at: SimTime(report.nanos),
            trace,
        };
        if self.text {
            let window = Window {
                since: self.since.map_or(SimTime::default(), second),
                until: self.until.map_or(SimTime::FAR, second),
                lines: self.lines,
            };
            print!("{}", view::text(&run, window));
        }
        if let Some(path) = &self.html {
            std::fs::write(path, view::page(&run))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            println!("picture: {}", path.display());
        }
        Ok(())
    }
}

fn second(seconds: f64) -> SimTime {
    SimTime::default() + std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
