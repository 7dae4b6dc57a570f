//! Variables of the server.
use std::time::Duration;

use super::{Finding, Intent};
use crate::mysql::client::server::{Facts, Flavour, Version};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(facts: &Facts, intent: Intent) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(version(facts));
    if facts.variables.on("log_bin") == Some(false) {
        let why = "the server writes no binary log, and nothing can be captured; set it in the server's configuration and start it again";
        findings.push(
            Finding::error("log_bin is OFF", why)
                .mended_by("[mysqld]\nserver_id = 1\nlog_bin = binlog\nbinlog_format = ROW"),
        );
        return findings;
    }
    findings.extend(server_id(facts, intent));
    findings.extend(rows(facts));
    findings.extend(metadata(facts));
    findings.extend(gtids(facts));
    findings.extend(retention(facts));
    findings.extend(queries(facts, intent));
    if !facts.encrypted {
        findings.push(Finding::note(
            "this connection is not encrypted",
            "what is read can be seen on its way; see database.ssl.mode",
        ));
    }
    findings
}

fn version(facts: &Facts) -> Option<Finding> {
    let least = match facts.flavour {
        Flavour::MySql => Version::new(5, 6, 5),
        Flavour::MariaDb => Version::new(10, 0, 5),
    };
    (facts.version < least).then(|| {
        let what = format!("the server is {} {}", facts.flavour, facts.version);
        Finding::error(what, format!("{} {least} or later is needed", facts.flavour))
    })
}

fn server_id(facts: &Facts, intent: Intent) -> Option<Finding> {
    if facts.server_id == 0 {
        let why = "the server sends its log to nobody; set it in the server's configuration, too";
        return Some(Finding::error("server_id is 0", why).mended_by("SET GLOBAL server_id = 1"));
    }
    let same = intent.server_id == Some(facts.server_id);
    same.then(|| {
        let what = format!(
            "database.server.id is {}, the server's own number",
            facts.server_id
        );
        Finding::error(
            what,
            "the server takes a replica with its own number for itself; choose another",
        )
    })
}

fn rows(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(format) = facts
        .variables
        .get("binlog_format")
        .filter(|format| !format.eq_ignore_ascii_case("ROW"))
    {
        let why = "changes are logged as statements, and not as rows. Sessions that are there keep their own format: connect them again";
        findings.push(
            Finding::error(format!("binlog_format is {format}"), why)
                .mended_by("SET GLOBAL binlog_format = 'ROW'"),
        );
    }
    if let Some(image) = facts
        .variables
        .get("binlog_row_image")
        .filter(|image| !image.eq_ignore_ascii_case("FULL"))
    {
        let why =
            "updates do not log all columns; what is not logged is told as unavailable.value.placeholder";
        findings.push(
            Finding::warning(format!("binlog_row_image is {image}"), why)
                .mended_by("SET GLOBAL binlog_row_image = 'FULL'"),
        );
    }
    findings
}

fn metadata(facts: &Facts) -> Option<Finding> {
    if facts.has_full_metadata() {
        return None;
    }
    let Some(level) = facts.variables.get("binlog_row_metadata") else {
        let what = format!("{} {} has no binlog_row_metadata", facts.flavour, facts.version);
        let why = "its log does not say the names and types of columns: they are asked for, and kept by place in the log";
        return Some(Finding::note(what, why));
    };
    let why = "the log does not say the names, types and keys of columns: they are asked for, and kept by place in the log; a connector that was \
               stopped while a table was altered may have to begin anew";
    Some(
        Finding::warning(format!("binlog_row_metadata is {level}"), why)
            .mended_by("SET GLOBAL binlog_row_metadata = 'FULL'"),
    )
}

fn gtids(facts: &Facts) -> Option<Finding> {
    if facts.has_gtids() {
        return None;
    }
    let mode = facts.variables.get("gtid_mode").unwrap_or("OFF");
    let why = "the place in the log is kept by file and position alone, which means nothing to another server after a failover";
    let finding = Finding::warning(format!("gtid_mode is {mode}"), why);
    if facts.version < Version::new(5, 7, 6) {
        return Some(
            finding
                .mended_by("[mysqld]\ngtid_mode = ON\nenforce_gtid_consistency = ON\nlog_slave_updates = ON"),
        );
    }
    let finding = match facts.variables.on("enforce_gtid_consistency") {
        Some(true) => finding,
        _ => finding.mended_by("SET GLOBAL enforce_gtid_consistency = ON"),
    };
    // Each step is one that others can follow.
    let steps = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let at = steps
        .iter()
        .position(|step| step.eq_ignore_ascii_case(mode))
        .unwrap_or(0);
    Some(steps[at + 1..].iter().fold(finding, |finding, step| {
        finding.mended_by(format!("SET GLOBAL gtid_mode = {step}"))
    }))
}

fn retention(facts: &Facts) -> Option<Finding> {
    let kept = facts.retention().filter(|kept| *kept < DAY)?;
    let hours = kept.as_secs_f64() / 3600.0;
    let why = "a connector that is stopped for longer has lost changes, and needs a new snapshot";
    let statement = match facts.variables.get("binlog_expire_logs_seconds") {
        Some(_) => "SET GLOBAL binlog_expire_logs_seconds = 604800",
        None => "SET GLOBAL expire_logs_days = 7",
    };
    Some(Finding::warning(format!("logs are kept for {hours:.1} hours"), why).mended_by(statement))
}

fn queries(facts: &Facts, intent: Intent) -> Option<Finding> {
    let variable = match facts.flavour {
        Flavour::MySql => "binlog_rows_query_log_events",
        Flavour::MariaDb => "binlog_annotate_row_events",
    };
    let missing = intent.include_query && facts.variables.on(variable) != Some(true);
    missing.then(|| {
        let why = "the log does not have the statements that include.query=true asks for";
        Finding::warning(format!("{variable} is OFF"), why).mended_by(format!("SET GLOBAL {variable} = ON"))
    })
}
