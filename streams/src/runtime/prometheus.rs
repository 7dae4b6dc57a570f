//! The counters of a job in Prometheus' text format.
use std::fmt::Write;

use super::metrics::MetricsSnapshot;

impl MetricsSnapshot {
    /// The counters as a page that Prometheus scrapes; `application_id` becomes a label of each.
    ///
    /// ```
    /// let page = millstream_streams::MetricsSnapshot::default().prometheus("shop");
    /// assert!(page.contains("millstream_streams_epochs_total{application_id=\"shop\"} 0\n"));
    /// ```
    pub fn prometheus(&self, application_id: &str) -> String {
        let mut page = Page {
            text: String::new(),
            application_id: escaped(application_id),
        };
        self.job(&mut page);
        self.restores(&mut page);
        self.sub_topologies(&mut page);
        self.tasks(&mut page);
        page.text
    }

    fn job(&self, page: &mut Page) {
        let counters = [
            ("records_read", "Records read from source topics", self.records_in),
            (
                "bytes_read",
                "Bytes of the values of records read from source topics",
                self.bytes_in,
            ),
            (
                "records_written",
                "Records written to output topics",
                self.records_out,
            ),
            (
                "bytes_written",
                "Bytes of keys and values written to output topics",
                self.bytes_out,
            ),
            (
                "repartition_records",
                "Records written to repartition topics",
                self.batches_shuffled,
            ),
            (
                "repartition_bytes",
                "Bytes written to repartition topics",
                self.bytes_shuffled,
            ),
            ("changelog_records", "Records written to changelogs", self.changes),
            (
                "changelog_bytes",
                "Bytes written to changelogs",
                self.bytes_changed,
            ),
            (
                "dropped_rows",
                "Rows and records skipped because of an error",
                self.rows_skipped,
            ),
            (
                "dead_letters",
                "Rows and records written to dead letter topics",
                self.rows_dead_lettered,
            ),
            (
                "truncated_dead_letters",
                "Dead letters of which something was left out, because a record takes no more",
                self.dead_letters_truncated,
            ),
            ("epochs", "Epochs committed", self.epochs),
            (
                "restored_states",
                "States loaded from local checkpoints",
                self.states_loaded,
            ),
            (
                "restored_records",
                "Records of changelogs read to rebuild state",
                self.records_restored,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("{name}_total");
            page.head(&name, help, "counter");
            page.line(&name, &[], value);
        }
    }

    fn restores(&self, page: &mut Page) {
        page.head(
            "restore_lag_records",
            "Records of changelogs that are still to be read before all tasks work",
            "gauge",
        );
        page.line("restore_lag_records", &[], self.restore_left);
        let name = "standby_records_total";
        page.head(name, "Records of changelogs taken into standby copies", "counter");
        page.line(name, &[], self.standby_records);
        page.head(
            "standby_lag_records",
            "Offsets of a changelog that a standby copy in this process has not taken yet",
            "gauge",
        );
        for ((changelog, partition), standby) in &self.standbys {
            if let Some(lag) = standby.lag {
                let partition = partition.to_string();
                page.line(
                    "standby_lag_records",
                    &[("store", changelog), ("partition", &partition)],
                    lag,
                );
            }
        }
    }

    fn sub_topologies(&self, page: &mut Page) {
        page.head(
            "late_rows_total",
            "Rows that came too late for their windows",
            "counter",
        );
        for (number, sub) in self.sub_topologies.iter().enumerate() {
            let number = number.to_string();
            page.line("late_rows_total", &[("sub_topology", &number)], sub.late_rows);
        }
    }

    fn tasks(&self, page: &mut Page) {
        let ids = || {
            self.tasks
                .iter()
                .map(|((sub, partition), task)| (sub.to_string(), partition.to_string(), task))
        };
        page.head(
            "watermark_milliseconds",
            "How far the task is in event time, since 1970",
            "gauge",
        );
        for (sub, partition, task) in ids() {
            if let Some(watermark) = task.watermark {
                let labels = [("sub_topology", sub.as_str()), ("partition", &partition)];
                page.line("watermark_milliseconds", &labels, watermark);
            }
        }
        page.head("lag_records", "Records behind the end of a partition", "gauge");
        for (_, partition, task) in ids() {
            for input in &task.inputs {
                page.line(
                    "lag_records",
                    &[("topic", &input.topic), ("partition", &partition)],
                    input.lag,
                );
            }
        }
        page.head("store_keys", "Keys of a store in memory", "gauge");
        for (_, partition, task) in ids() {
            for store in &task.stores {
                page.line(
                    "store_keys",
                    &[("store", &store.changelog), ("partition", &partition)],
                    store.keys,
                );
            }
        }
        page.head("store_bytes", "Memory of a store", "gauge");
        for (_, partition, task) in ids() {
            for store in &task.stores {
                page.line(
                    "store_bytes",
                    &[("store", &store.changelog), ("partition", &partition)],
                    store.bytes,
                );
            }
        }
        for (name, help) in [
            ("step_rows_in_total", "Rows that a step took"),
            ("step_rows_out_total", "Rows that a step gave to the steps below"),
            (
                "step_busy_seconds_total",
                "Time that a step took, without the steps below",
            ),
        ] {
            page.head(name, help, "counter");
            for (sub, partition, task) in ids() {
                for (number, step) in task.steps.iter().enumerate() {
                    let number = number.to_string();
                    let labels = [
                        ("sub_topology", sub.as_str()),
                        ("partition", &partition),
                        ("number", &number),
                        ("step", &step.name),
                    ];
                    match name {
                        "step_rows_in_total" => page.line(name, &labels, step.rows_in),
                        "step_rows_out_total" => page.line(name, &labels, step.rows_out),
                        _ => page.line(name, &labels, step.busy.as_secs_f64()),
                    }
                }
            }
        }
    }
}

struct Page {
    text: String,
    application_id: String,
}

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let name = format!("millstream_streams_{name}");
        self.add(format_args!("# HELP {name} {help}.\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let id = self.application_id.clone();
        self.add(format_args!("millstream_streams_{name}{{application_id=\"{id}\""));
        for (label, text) in labels {
            self.add(format_args!(",{label}=\"{}\"", escaped(text)));
        }
        self.add(format_args!("}} {value}\n"));
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("writing to a String does not fail");
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::runtime::StandbyMetrics;
    use crate::task::{InputMetrics, StepMetrics, StoreMetrics, TaskMetrics};

    use super::*;

    #[test]
    fn every_task_step_and_store_has_its_lines() {
        let mut task = TaskMetrics {
            watermark: Some(1_700_000_000_000),
            ..TaskMetrics::default()
        };
        task.steps.push(StepMetrics {
            name: "filter \"a\" > 1".to_owned(),
            rows_in: 10,
            rows_out: 4,
            busy: Duration::from_millis(1500),
        });
        task.stores.push(StoreMetrics {
            changelog: "app-counts-changelog".to_owned(),
            keys: 3,
            bytes: 300,
        });
        task.inputs.push(InputMetrics {
            topic: "in".to_owned(),
            position: Some(7),
            lag: 2,
        });
        let mut snapshot = MetricsSnapshot {
            epochs: 9,
            ..MetricsSnapshot::default()
        };
        snapshot.tasks.insert((1, 5), task);
        let copy = StandbyMetrics { lag: Some(4) };
        snapshot
            .standbys
            .insert(("app-counts-changelog".to_owned(), 2), copy);
        let page = snapshot.prometheus("app");
        for line in [
            "millstream_streams_epochs_total{application_id=\"app\"} 9",
            "millstream_streams_watermark_milliseconds{application_id=\"app\",sub_topology=\"1\",partition=\"5\"} 1700000000000",
            "millstream_streams_lag_records{application_id=\"app\",topic=\"in\",partition=\"5\"} 2",
            "millstream_streams_store_keys{application_id=\"app\",store=\"app-counts-changelog\",partition=\"5\"} 3",
            "millstream_streams_standby_lag_records{application_id=\"app\",store=\"app-counts-changelog\",partition=\"2\"} 4",
            "millstream_streams_step_busy_seconds_total{application_id=\"app\",sub_topology=\"1\",partition=\"5\",number=\"0\",\
             step=\"filter \\\"a\\\" > 1\"} 1.5",
        ] {
            assert!(page.lines().any(|own| own == line), "{line}\n{page}");
        }
        let typed = |name: &str| page.contains(&format!("# TYPE millstream_streams_{name} "));
        assert!(typed("store_bytes") && typed("late_rows_total"));
    }
}
