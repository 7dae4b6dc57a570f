//! What the account may do.
use std::collections::BTreeMap;

use super::{Finding, Intent, some_of};
use crate::mysql::client::server::{Facts, Flavour, Version};
use crate::mysql::client::{quoted, quoted_text};
use crate::mysql::schema::TableId;
use crate::mysql::schema::describe::Descriptions;

pub(super) fn check(facts: &Facts, tables: &Descriptions, intent: Intent) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(global(facts));
    findings.extend(xa(facts));
    let ids: Vec<&TableId> = tables.tables.iter().map(|table| &table.table.id).collect();
    findings.extend(on_tables(
        facts,
        &ids,
        "SELECT",
        "tables cannot be read, nor be seen to be there",
    ));
    if intent.snapshot {
        let locked: Vec<&TableId> = match locks_all(facts) {
            true => ids,
            false => tables
                .tables
                .iter()
                .filter(|table| table.table.key.is_empty())
                .map(|table| &table.table.id)
                .collect(),
        };
        let why = match locks_all(facts) {
            true => {
                "the server cannot say otherwise what a SELECT sees: a snapshot locks each table for a moment"
            }
            false => "tables without a key are locked for a moment when a snapshot of them begins",
        };
        findings.extend(on_tables(facts, &locked, "LOCK TABLES", why));
    }
    findings
}

/// Whether marks need locks.
fn locks_all(facts: &Facts) -> bool {
    match facts.flavour {
        Flavour::MariaDb => false,
        Flavour::MySql if facts.version < Version::new(5, 7, 5) => true,
        Flavour::MySql if facts.has_gtids() => false,
        Flavour::MySql => facts.version < Version::new(8, 0, 0) || !may_ask_log_status(facts),
    }
}

/// Whether the account may ask for `performance_schema.log_status`.
fn may_ask_log_status(facts: &Facts) -> bool {
    let grants = &facts.grants;
    grants.global("BACKUP_ADMIN") && grants.on_table("SELECT", "performance_schema", "log_status")
}

/// Whom to grant it.
fn grantee(facts: &Facts) -> String {
    match facts.account.rsplit_once('@') {
        Some((name, host)) => format!("{}@{}", quoted_text(name), quoted_text(host)),
        None => quoted_text(&facts.account),
    }
}

/// Privileges for the whole server.
fn global(facts: &Facts) -> Option<Finding> {
    let splits = facts.flavour == Flavour::MariaDb && facts.version >= Version::new(10, 5, 2);
    let place = if splits {
        "BINLOG MONITOR"
    } else {
        "REPLICATION CLIENT"
    };
    let needed = [
        ("REPLICATION SLAVE", "reads the log"),
        (place, "asks where the log ends"),
    ];
    let missing: Vec<_> = needed
        .iter()
        .filter(|(privilege, _)| !facts.grants.global(privilege))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let uses: Vec<_> = missing
        .iter()
        .map(|(name, what)| format!("{name} {what}"))
        .collect();
    let names = names.join(", ");
    Some(
        Finding::error(
            format!("{} does not have {names}", facts.account),
            uses.join(", "),
        )
        .mended_by(format!("GRANT {names} ON *.* TO {}", grantee(facts))),
    )
}

/// What it takes to list XA transactions, where that takes something.
fn xa(facts: &Facts) -> Option<Finding> {
    let asks = facts.flavour == Flavour::MySql && facts.version >= Version::new(8, 0, 0);
    (asks && !facts.grants.global("XA_RECOVER_ADMIN")).then(|| {
        let what = format!("{} does not have XA_RECOVER_ADMIN", facts.account);
        let why = "XA transactions that are prepared when a connector begins cannot be waited for, and their rows are not told; without such \
                   transactions it is not needed";
        Finding::note(what, why)
            .mended_by(format!("GRANT XA_RECOVER_ADMIN ON *.* TO {}", grantee(facts)))
    })
}

/// A privilege on tables, one statement for each database.
fn on_tables(facts: &Facts, tables: &[&TableId], privilege: &str, why: &str) -> Option<Finding> {
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for id in tables {
        if !facts.grants.on_table(privilege, &id.database, &id.table) {
            missing.entry(&id.database).or_default().push(id.to_string());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.values().flatten().cloned().collect();
    let what = format!(
        "{} does not have {privilege} on {}",
        facts.account,
        some_of(&names)
    );
    let grantee = grantee(facts);
    // An underscore in a grant is any character.
    let grants = missing.keys().map(|database| {
        let database = quoted(database).replace('_', "\\_").replace('%', "\\%");
        format!("GRANT {privilege} ON {database}.* TO {grantee}")
    });
    Some(grants.fold(Finding::error(what, why), Finding::mended_by))
}
