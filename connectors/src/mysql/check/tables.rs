//! The tables themselves.
use super::{Finding, Intent, some_of};
use crate::mysql::binlog::ColumnType;
use crate::mysql::charset;
use crate::mysql::client::quoted;
use crate::mysql::client::server::{Facts, Flavour};
use crate::mysql::schema::describe::{Described, Descriptions};

pub(super) fn check(facts: &Facts, tables: &Descriptions, intent: Intent) -> Vec<Finding> {
    let mut findings = Vec::new();
    if tables.tables.is_empty() && tables.unknown.is_empty() {
        findings.push(Finding::warning(
            "no table is captured",
            "the filters let none through, or the account may not see it: it sees those that it may SELECT from",
        ));
    }
    findings.extend(tables.unknown.iter().map(|unknown| {
        let what = format!(
            "the type {} of {}.{} is not known",
            unknown.declared, unknown.table, unknown.column
        );
        Finding::error(
            what,
            "its rows cannot be read; exclude the table (table.exclude.list)",
        )
    }));
    findings.extend(without_key(tables, intent));
    findings.extend(charsets(tables));
    if facts.flavour == Flavour::MariaDb {
        findings.extend(old_times(tables));
    }
    findings
}

fn name(table: &Described) -> String {
    table.table.id.to_string()
}

fn without_key(tables: &Descriptions, intent: Intent) -> Option<Finding> {
    let names: Vec<String> = tables
        .tables
        .iter()
        .filter(|table| table.table.key.is_empty())
        .map(name)
        .collect();
    if names.is_empty() {
        return None;
    }
    let what = match names.len() {
        1 => format!("{} has no key", names[0]),
        count => format!("{count} tables have no key: {}", some_of(&names)),
    };
    let snapshot = match intent.snapshot {
        true => ", and a snapshot reads such a table at once, from its beginning again if it is interrupted",
        false => "",
    };
    let why = format!("records have no key, unless message.key.columns says one{snapshot}");
    Some(Finding::warning(what, why).mended_by("ALTER TABLE … ADD PRIMARY KEY (…)"))
}

/// Columns whose characters nobody here can read.
fn charsets(tables: &Descriptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in &tables.tables {
        for column in &table.table.columns {
            let collation = column.log.collation;
            let has_text = column.log.column_type.is_character() || !column.log.labels.is_empty();
            if has_text && charset::name(collation).is_none() {
                let what = format!("the collation of {}.{} is not known", table.table.id, column.name);
                let id = &table.table.id;
                findings.push(
                    Finding::error(what, "its texts cannot be read").mended_by(format!(
                        "ALTER TABLE {}.{} CONVERT TO CHARACTER SET utf8mb4",
                        quoted(&id.database),
                        quoted(&id.table)
                    )),
                );
            }
        }
    }
    findings
}

/// Times that MariaDB stored with `mysql56_temporal_format=OFF`: with fractions, their log does not tell them from those without.
fn old_times(tables: &Descriptions) -> Option<Finding> {
    let is_old = |table: &&Described| {
        table.table.columns.iter().any(|column| {
            matches!(
                column.log.column_type,
                ColumnType::OldTime | ColumnType::OldDateTime | ColumnType::OldTimestamp
            )
        })
    };
    let old: Vec<&Described> = tables.tables.iter().filter(is_old).collect();
    let names: Vec<String> = old.iter().map(|table| name(table)).collect();
    if names.is_empty() {
        return None;
    }
    let what = format!(
        "times are stored in the format of MariaDB 5.3 in {}",
        some_of(&names)
    );
    let why = "the log does not tell whether they have fractions of a second, and they would be read wrong";
    let first = Finding::error(what, why).mended_by("SET GLOBAL mysql56_temporal_format = ON");
    Some(old.iter().fold(first, |finding, table| {
        let id = &table.table.id;
        finding.mended_by(format!(
            "ALTER TABLE {}.{} FORCE",
            quoted(&id.database),
            quoted(&id.table)
        ))
    }))
}
