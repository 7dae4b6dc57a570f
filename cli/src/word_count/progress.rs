//! How far the run is: a bar at a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows the progress of one run on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: Option<Mutex<Instant>>,
    bytes_total: Option<u64>,
}

impl Progress {
    /// A display for reading `bytes_total` bytes, unknown for standard input.
    pub fn new(bytes_total: Option<u64>, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = bytes_total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(bytes_style(bytes_total.is_some()));
            bar.set_message("loading");
            bar
        });
        let lines = (!terminal && !quiet).then(|| Mutex::new(Instant::now()));
        Self {
            bar,
            lines,
            bytes_total,
        }
    }

    /// `bytes` more bytes of `bytes_done` in all were read and handed to the log.
    pub fn loaded(&self, bytes: u64, bytes_done: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
        let total = self
            .bytes_total
            .map_or_else(String::new, |total| format!(" of {:.1}", megabytes(total)));
        self.line(|| format!("loaded {:.1}{total} MB", megabytes(bytes_done)));
    }

    /// All is loaded; `records` are going to be counted.
    pub fn start_counting(&self, records: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(records);
            bar.set_position(0);
            bar.set_style(records_style());
            bar.set_message("counting");
        }
    }

    /// `done` of `records` are counted.
    pub fn counted(&self, done: u64, records: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.min(records));
        }
        self.line(|| format!("counted {} of {records} lines", done.min(records)));
    }

    /// A remark that must not be lost among the progress.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("millstream: {text}")),
            None => eprintln!("millstream: {text}"),
        }
    }

    /// Takes the display away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: impl FnOnce() -> String) {
        if let Some(last) = &self.lines {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= LINE_INTERVAL {
                *last = Instant::now();
                eprintln!("millstream: {}", text());
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn bytes_style(known: bool) -> ProgressStyle {
    let template = if known {
        "{msg:9} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}"
    } else {
        "{msg:9} {spinner} {bytes} {bytes_per_sec}"
    };
    ProgressStyle::with_template(template)
        .expect("the template is one of two constants")
        .progress_chars("=> ")
}

fn records_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:9} [{bar:40}] {human_pos}/{human_len} lines")
        .expect("the template is a constant")
        .progress_chars("=> ")
}
