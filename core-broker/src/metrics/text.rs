//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write;

use super::Histogram;

/// Content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

/// Writes metrics, one family after the other.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    out: String,
}

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family {
            name: name.to_owned(),
            exposition: self,
        }
    }

    /// A family of one sample.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.out
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes all text");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.write(format_args!("{name}{suffix}"));
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\""));
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.write(format_args!(" {}\n", Number(value)));
    }
}

/// The samples of one metric.
pub(super) struct Family<'a> {
    name: String,
    exposition: &'a mut Exposition,
}

impl Family<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.exposition.sample(&self.name, "", labels, value);
    }

    /// One histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0;
        for (bound, total) in histogram.cumulative() {
            let bound = Number(bound).to_string();
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.exposition
                .sample(&self.name, "_bucket", &with_bound, total as f64);
            count = total;
        }
        self.exposition
            .sample(&self.name, "_sum", labels, histogram.sum_seconds());
        // Not counted anew: it must be what the last bucket says.
        self.exposition.sample(&self.name, "_count", labels, count as f64);
    }
}

/// A number as the format writes it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n == f64::INFINITY => f.write_str("+Inf"),
            n if n == f64::NEG_INFINITY => f.write_str("-Inf"),
            n if n.is_nan() => f.write_str("NaN"),
            n => n.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_the_format_wants_them() {
        let mut out = Exposition::default();
        out.single("up", Kind::Gauge, "Whether it is up.", 1.0);
        let mut family = out.family("sent_total", Kind::Counter, "Sent.");
        family.sample(&[("to", "a\"b\\c\nd"), ("by", "e")], 1234567890123.0);
        family.sample(&[("to", "x"), ("by", "")], 0.5);
        assert_eq!(
            out.finish(),
            "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
             # HELP sent_total Sent.\n# TYPE sent_total counter\n\
             sent_total{to=\"a\\\"b\\\\c\\nd\",by=\"e\"} 1234567890123\nsent_total{to=\"x\",by=\"\"} 0.5\n"
        );
    }

    #[test]
    fn histograms_end_with_infinity_sum_and_count() {
        let histogram = Histogram::default();
        histogram.record(std::time::Duration::from_millis(20));
        let mut out = Exposition::default();
        out.family("t_seconds", Kind::Histogram, "Time.")
            .histogram(&[("api", "Fetch")], &histogram);
        let text = out.finish();
        assert!(
            text.contains("t_seconds_bucket{api=\"Fetch\",le=\"0.01\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("t_seconds_bucket{api=\"Fetch\",le=\"0.025\"} 1\n"),
            "{text}"
        );
        assert!(text.ends_with(
            "t_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 1\nt_seconds_sum{api=\"Fetch\"} 0.02\n\
             t_seconds_count{api=\"Fetch\"} 1\n"
        ));
    }
}
