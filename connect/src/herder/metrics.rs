//! Figures of a herder, in the text format of Prometheus.
use std::fmt::Write;

use super::StatusBoard;

/// States in which connectors and tasks may be; each has its figure, so that none comes and goes.
const STATES: [&str; 6] = [
    "RUNNING",
    "PAUSED",
    "FAILED",
    "RESTARTING",
    "STOPPED",
    "UNASSIGNED",
];

/// How many connectors and tasks are in each state, and how often something was started again by itself.
pub(super) fn write(board: &StatusBoard, restarts: u64, out: &mut String) {
    let (connectors, tasks) = board.counts();
    for (what, counts) in [("connectors", connectors), ("tasks", tasks)] {
        let name = format!("millstream_connect_{what}");
        let text = format!("# HELP {name} How many {what} are in each state.\n# TYPE {name} gauge\n");
        out.push_str(&text);
        for state in STATES {
            let count = counts.get(state).copied().unwrap_or_default();
            let state = state.to_lowercase();
            // Writing to a text cannot fail.
            let _ = writeln!(out, "{name}{{state=\"{state}\"}} {count}");
        }
    }
    let name = "millstream_connect_supervised_restarts_total";
    let help = "How often a failed connector or task was started again by itself.";
    let _ = writeln!(
        out,
        "# HELP {name} {help}\n# TYPE {name} counter\n{name} {restarts}"
    );
}
