//! How far a load is: a bar at a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millstream_connect::herder::SourcesProgress;
use millstream_connect::plugin::{Progress as Amount, ProgressUnit};

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The rate that is shown is that of the last so many seconds.
const RATE_SPAN: Duration = Duration::from_secs(10);

/// Shows on standard error how far a load is. The display is taken away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    /// When the last line was written, where lines are.
    lines: Option<Instant>,
    rate: Rate,
    /// What was done by earlier runs.
    before: Option<u64>,
    started: Instant,
}

/// How fast it goes.
#[derive(Debug, Default)]
struct Rate {
    last: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn note(&mut self, now: Instant, done: u64) {
        self.last.push_back((now, done));
        // One that is older than the span stays, so that the span is whole.
        while self.last.len() > 2 && now - self.last[1].0 >= RATE_SPAN {
            self.last.pop_front();
        }
    }

    /// How much in a second; none before that can be told.
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    fn a_second(&self) -> Option<f64> {
        let ((begin, before), (end, done)) = (self.last.front()?, self.last.back()?);
        let seconds = (*end - *begin).as_secs_f64();
        (seconds >= 0.2).then(|| done.saturating_sub(*before) as f64 / seconds)
    }
}

impl Progress {
    /// A display of nothing yet; with `quiet`, of nothing at all.
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::no_length();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style(false));
            bar
        });
        Self {
            bar,
            lines: (!terminal && !quiet).then(Instant::now),
            rate: Rate::default(),
            before: None,
            started: Instant::now(),
        }
    }

    /// Sources are so far.
    pub fn show(&mut self, sources: SourcesProgress) {
        let now = Instant::now();
        let text = match (sources.finished, sources.progress) {
            (true, _) => "all is read; sinks are taking it".to_owned(),
            (false, None) => "reading".to_owned(),
            (false, Some(amount)) => {
                self.before.get_or_insert(amount.before);
                self.rate.note(now, amount.done);
                line(amount, self.rate.a_second())
            }
        };
        if let Some(bar) = &self.bar {
            if let Some(total) = sources.progress.and_then(|amount| amount.total) {
                if bar.length().is_none() {
                    bar.set_style(style(true));
                }
                bar.set_length(total);
                bar.set_position(sources.progress.map_or(0, |amount| amount.done));
            }
            bar.set_message(text);
            bar.tick();
        } else if let Some(last) = &mut self.lines
            && now - *last >= LINE_INTERVAL
        {
            *last = now;
            eprintln!("millstream: {text}");
        }
    }

    /// All is done: says how much it was.
    pub fn done(&mut self, sources: SourcesProgress) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.bar.is_some() || self.lines.is_some() {
            let took = self.started.elapsed();
            match sources.progress {
                None => eprintln!("millstream: done in {:.1} s", took.as_secs_f64()),
                Some(amount) => {
                    let before = self.before.unwrap_or(amount.before);
                    eprintln!("millstream: {}", summary(amount, before, took));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = match known {
        true => "[{bar:30}] {percent:>3} % {msg}",
        false => "{spinner} {msg}",
    };
    ProgressStyle::with_template(template)
        .expect("the template is one of two constants")
        .progress_chars("=> ")
}

/// An amount with its unit: decimal, as disks are sold.
#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn shown(amount: f64, unit: ProgressUnit) -> String {
    match unit {
        ProgressUnit::Bytes if amount >= 1e9 => format!("{:.2} GB", amount / 1e9),
        ProgressUnit::Bytes if amount >= 1e5 => format!("{:.1} MB", amount / 1e6),
        ProgressUnit::Bytes => format!("{amount:.0} bytes"),
        ProgressUnit::Records => format!("{amount:.0} records"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn line(amount: Amount, rate: Option<f64>) -> String {
    let unit = amount.unit;
    let mut text = format!("read {}", shown(amount.done as f64, unit));
    if let Some(total) = amount.total {
        text.push_str(&format!(" of {}", shown(total as f64, unit)));
    }
    let Some(rate) = rate else {
        return text;
    };
    // What has come to its end is not shown here; so something waits, and perhaps without an end.
    if amount.total == Some(amount.done) && rate == 0.0 {
        text.push_str("; the source waits for more (with read.mode=once a source of files does not)");
        return text;
    }
    text.push_str(&format!(", {}/s", shown(rate, unit)));
    if let Some(total) = amount.total.filter(|_| rate >= 1.0) {
        let left = total.saturating_sub(amount.done) as f64 / rate;
        text.push_str(&format!(", {} left", span(left)));
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn summary(amount: Amount, before: u64, took: Duration) -> String {
    let read = amount.done.saturating_sub(before) as f64;
    let seconds = took.as_secs_f64();
    let mut text = format!("done: read {} in {seconds:.1} s", shown(read, amount.unit));
    if seconds > 0.0 {
        text.push_str(&format!(" ({}/s)", shown(read / seconds, amount.unit)));
    }
    if before > 0 {
        text.push_str(&format!(", and {} before", shown(before as f64, amount.unit)));
    }
    text
}

/// A time as people say it.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 5400.0 => format!("{:.1} h", seconds / 3600.0),
        seconds if seconds >= 90.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(done: u64, total: Option<u64>) -> Amount {
        Amount {
            done,
            before: 0,
            total,
            unit: ProgressUnit::Bytes,
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let known = bytes(2_500_000_000, Some(10_000_000_000));
        assert_eq!(line(known, None), "read 2.50 GB of 10.00 GB");
        assert_eq!(line(bytes(192, Some(200_000)), None), "read 192 bytes of 0.2 MB");
        assert_eq!(
            line(known, Some(50e6)),
            "read 2.50 GB of 10.00 GB, 50.0 MB/s, 2 min left"
        );
        assert_eq!(line(bytes(1_000_000, None), Some(1e5)), "read 1.0 MB, 0.1 MB/s");
        let waiting = line(bytes(5_000_000, Some(5_000_000)), Some(0.0));
        assert!(
            waiting.starts_with("read 5.0 MB of 5.0 MB; ") && waiting.contains("read.mode=once"),
            "{waiting}"
        );
        let records = Amount {
            unit: ProgressUnit::Records,
            ..bytes(10, Some(20))
        };
        assert_eq!(
            line(records, Some(5.0)),
            "read 10 records of 20 records, 5 records/s, 2 s left"
        );
    }

    #[test]
    fn what_an_earlier_run_read_counts_apart() {
        let took = Duration::from_secs(2);
        assert_eq!(
            summary(bytes(4_000_000, Some(4_000_000)), 0, took),
            "done: read 4.0 MB in 2.0 s (2.0 MB/s)"
        );
        assert_eq!(
            summary(bytes(4_000_000, Some(4_000_000)), 3_000_000, took),
            "done: read 1.0 MB in 2.0 s (0.5 MB/s), and 3.0 MB before"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.a_second(), None);
        for second in 0..60 {
            let done = if second < 40 {
                second * 100
            } else {
                4000 + (second - 40) * 10
            };
            rate.note(start + Duration::from_secs(second), done);
        }
        assert_eq!(rate.a_second(), Some(10.0));
        assert!(rate.last.len() <= 12);
    }
}
