//! Tables that change at random, from a seed.
use millstream_connectors::mysql::schema::{Table, TableId};

use super::{Oracle, Outcome};
use crate::servers::{KINDS, Server};

/// Statements for each server.
const STATEMENTS: usize = 150;

/// So many of them may not be known: places behind columns that the same statement moves.
const UNKNOWN_MAX: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

const TYPES: [&str; 34] = [
    "TINYINT",
    "SMALLINT UNSIGNED",
    "INT",
    "INT(7) ZEROFILL",
    "BIGINT",
    "BIGINT UNSIGNED",
    "DECIMAL(10,2)",
    "DECIMAL(5)",
    "FLOAT",
    "DOUBLE",
    "BOOL",
    "BIT(5)",
    "YEAR",
    "DATE",
    "TIME(2)",
    "DATETIME",
    "DATETIME(6)",
    "TIMESTAMP NULL",
    "TIMESTAMP",
    "CHAR(10)",
    "VARCHAR(30)",
    "VARCHAR(20) CHARACTER SET latin1",
    "VARCHAR(20) COLLATE utf8_bin",
    "VARCHAR(9) BINARY",
    "NATIONAL VARCHAR(8)",
    "BINARY(8)",
    "VARBINARY(12)",
    "TEXT",
    "TINYTEXT CHARACTER SET latin2",
    "TEXT(500)",
    "BLOB",
    "LONGBLOB",
    "ENUM('a','b','c')",
    "SET('x','y')",
];

/// A type with what may follow it.
fn definition(random: &mut Random) -> String {
    let own = random.one(&TYPES);
    let mut text = own.to_owned();
    if random.chance(3) && !own.contains(" NULL") {
        text.push_str(" NOT NULL");
    }
    let is = |words: &[&str]| words.iter().any(|word| own.starts_with(word));
    if random.chance(3) {
        let default = if is(&[
            "TINYINT", "SMALLINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE",
        ]) {
            random.one(&["0", "1", "'12'", "7"])
        } else if is(&["CHAR", "VARCHAR", "NATIONAL"]) {
            random.one(&["''", "'x'", "'it''s'", "5"])
        } else if is(&["DATETIME(6)"]) {
            "CURRENT_TIMESTAMP(6)"
        } else if is(&["DATETIME"]) {
            random.one(&["CURRENT_TIMESTAMP", "'2020-02-02 02:02:02'"])
        } else if is(&["ENUM"]) {
            "'b'"
        } else if is(&["DATE"]) {
            "'2020-02-02'"
        } else {
            ""
        };
        if !default.is_empty() {
            text.push_str(" DEFAULT ");
            text.push_str(default);
        }
    }
    if random.chance(8) {
        text.push_str(" UNIQUE");
    }
    if random.chance(8) {
        text.push_str(" COMMENT 'for, (something)'");
    }
    text
}

fn column(random: &mut Random, table: &Table) -> String {
    let column = &table.columns[random.below(table.columns.len())];
    format!("`{}`", column.name)
}

fn place(random: &mut Random, table: &Table) -> String {
    match random.below(4) {
        0 => " FIRST".to_owned(),
        1 => format!(" AFTER {}", column(random, table)),
        _ => String::new(),
    }
}

fn columns(random: &mut Random, table: &Table) -> String {
    let mut names = vec![column(random, table)];
    let other = column(random, table);
    if random.chance(2) && !names.contains(&other) {
        names.push(other);
    }
    names.join(", ")
}

fn action(random: &mut Random, table: &Table, number: usize) -> String {
    let own = column(random, table);
    match random.below(16) {
        0..=3 => format!(
            "ADD COLUMN c{number} {}{}",
            definition(random),
            place(random, table)
        ),
        4 => format!("ADD (c{number} {}, d{number} INT)", definition(random)),
        5 | 6 => format!("DROP COLUMN {own}"),
        7 | 8 => format!("MODIFY {own} {}{}", definition(random), place(random, table)),
        9 => format!(
            "CHANGE {own} r{number} {}{}",
            definition(random),
            place(random, table)
        ),
        10 => format!("ALTER COLUMN {own} DROP DEFAULT"),
        11 => format!("ADD UNIQUE ({})", columns(random, table)),
        12 => format!("ADD INDEX i{number} ({})", columns(random, table)),
        13 => match random.chance(2) {
            true => "DROP PRIMARY KEY".to_owned(),
            false => format!("ADD PRIMARY KEY ({})", columns(random, table)),
        },
        14 => {
            let indexes = &table.structure.as_ref().expect("servers say it").indexes;
            match indexes.is_empty() {
                true => "ENGINE=InnoDB".to_owned(),
                false => format!("DROP INDEX `{}`", indexes[random.below(indexes.len())].name),
            }
        }
        _ => random
            .one(&[
                "DEFAULT CHARACTER SET utf8",
                "DEFAULT CHARSET latin1",
                "COMMENT 'new'",
                "FORCE",
            ])
            .to_owned(),
    }
}

fn statement(random: &mut Random, table: &Table, number: usize) -> String {
    if random.chance(20) {
        let charset = random.one(&["latin1", "utf8", "utf8mb4"]);
        return format!("ALTER TABLE t CONVERT TO CHARACTER SET {charset}");
    }
    let count = 1 + random.below(3);
    let actions: Vec<String> = (0..count)
        .map(|part| action(random, table, number * 10 + part))
        .collect();
    format!("ALTER TABLE t {}", actions.join(", "))
}

#[tokio::test]
async fn tables_that_change_at_random_are_known() {
    let mut wrong = Vec::new();
    for (kind, seed) in KINDS.into_iter().zip(1..) {
        let server = Server::lent(kind, &[]);
        let mut oracle = Oracle::new(&server).await;
        let mut random = Random(seed);
        let id = TableId::new("ddl", "t");
        let (mut same, mut unknown) = (0, 0);
        for number in 0..STATEMENTS {
            if number.is_multiple_of(25) {
                oracle.clear().await;
                let create = format!(
                    "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT, a {}, b {}, c VARCHAR(20), PRIMARY KEY (id))",
                    definition(&mut random),
                    definition(&mut random)
                );
                if !matches!(oracle.run(&create).await, Outcome::Same) {
                    oracle.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
                }
            }
            let table = oracle.tables[&id].clone();
            let text = statement(&mut random, &table, number);
            match oracle.run(&text).await {
                Outcome::Same => same += 1,
                Outcome::Refused(_) => {}
                Outcome::Unknown(what) => {
                    unknown += 1;
                    println!("{kind:?}: {text}: not known: {what}");
                }
                Outcome::Differs(what) => wrong.push(format!("{kind:?}: {text}: differs: {what}")),
            }
        }
        assert!(
            same > STATEMENTS / 3,
            "{kind:?}: {same} the same, {unknown} not known"
        );
        assert!(unknown <= UNKNOWN_MAX, "{kind:?}: {unknown} not known");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
