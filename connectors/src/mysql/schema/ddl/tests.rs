use std::collections::BTreeMap;

use super::*;
use crate::mysql::binlog::ColumnType;

/// What a test knows.
#[derive(Default)]
struct World(BTreeMap<TableId, Arc<Table>>);

impl Before for World {
    fn table(&self, id: &TableId) -> Was<'_> {
        match self.0.get(id) {
            Some(table) => Was::Table(table),
            None if id.database.starts_with("unknown") => Was::Unknown,
            None => Was::Absent,
        }
    }

    fn collation(&self, database: &str) -> Option<Collation> {
        (database == "d").then_some(8)
    }
}

fn server(flavour: Flavour, version: Version) -> Server {
    let names = [
        ("latin1_swedish_ci", 8, true),
        ("latin1_bin", 47, false),
        ("utf8_general_ci", 33, true),
        ("utf8_bin", 83, false),
        ("utf8mb4_general_ci", 45, true),
        ("utf8mb4_bin", 46, false),
        ("utf8mb4_0900_ai_ci", 255, false),
        ("binary", 63, true),
    ];
    let all = names.map(|(name, number, is_default)| (name.to_owned(), number, is_default));
    Server {
        flavour,
        version,
        collations: Arc::new(Collations::new(all)),
        explicit_timestamps: false,
        lower_case: false,
    }
}

fn old() -> Server {
    server(Flavour::MySql, Version::new(5, 6, 24))
}

fn run(server: &Server, world: &mut World, text: &str, sql_mode: u64) -> Result<(), DdlError> {
    let statement = Statement {
        text,
        database: "d",
        session: Session {
            sql_mode,
            ..Session::default()
        },
    };
    let Effects::Tables(all) = effects(server, world, &statement)? else {
        return Ok(());
    };
    for (id, after) in all {
        match after {
            After::Table(table) => drop(world.0.insert(id, table)),
            After::Gone => drop(world.0.remove(&id)),
            After::Unknown(error) => return Err(error),
        }
    }
    Ok(())
}

/// A table as its columns with their types, and its key.
fn shown(world: &World, name: &str) -> String {
    let table = &world.0[&TableId::new("d", name)];
    let columns = table.columns.iter().map(|column| {
        let null = if column.log.nullable { "" } else { "!" };
        let default = column.default.as_ref().map(|default| format!("={default}"));
        format!(
            "{} {}{null}{}",
            column.name,
            column.declared.as_deref().unwrap_or_default(),
            default.unwrap_or_default()
        )
    });
    let columns: Vec<String> = columns.collect();
    let key: Vec<&str> = table
        .key
        .iter()
        .map(|index| &*table.columns[*index].name)
        .collect();
    format!("{} ({})", columns.join(", "), key.join(", "))
}

#[test]
fn statements_follow_each_other() {
    let (server, mut world) = (old(), World::default());
    let create =
        "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, a VARCHAR(10) DEFAULT 'x', u INT NOT NULL UNIQUE)";
    for (statement, expected) in [
        (create, "id int(10) unsigned!, a varchar(10)=x, u int(11)! (id)"),
        (
            "ALTER TABLE t DROP PRIMARY KEY, ADD (b DECIMAL(5,2) DEFAULT 1, c TEXT)",
            "id int(10) unsigned!, a varchar(10)=x, u int(11)!, b decimal(5,2)=1.00, c text (u)",
        ),
        (
            "ALTER TABLE d.t MODIFY c TINYTEXT FIRST, CHANGE u v BIGINT NOT NULL AFTER c, DROP b",
            "c tinytext, v bigint(20)!, id int(10) unsigned!, a varchar(10)=x (v)",
        ),
        (
            "ALTER TABLE t CONVERT TO CHARACTER SET utf8",
            "c text, v bigint(20)!, id int(10) unsigned!, a varchar(10)=x (v)",
        ),
        (
            "DROP INDEX u ON t",
            "c text, v bigint(20)!, id int(10) unsigned!, a varchar(10)=x ()",
        ),
    ] {
        run(&server, &mut world, statement, 0).unwrap();
        assert_eq!(shown(&world, "t"), expected, "{statement}");
    }
    let table = &world.0[&TableId::new("d", "t")];
    assert_eq!(
        table.columns[3].log.column_type,
        ColumnType::Varchar { length_max: 30 }
    );
    assert_eq!(
        (table.columns[3].log.collation, table.charset.as_deref()),
        (33, Some("utf8"))
    );
    run(
        &server,
        &mut world,
        "RENAME TABLE t TO other, d.other TO d.t, t TO s",
        0,
    )
    .unwrap();
    assert_eq!(
        world.0.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["d.s"]
    );
    run(&server, &mut world, "DROP TABLE IF EXISTS s, nothing", 0).unwrap();
    assert!(world.0.is_empty());
}

#[test]
fn what_is_not_understood_is_an_error() {
    let (server, mut world) = (old(), World::default());
    run(
        &server,
        &mut world,
        "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        0,
    )
    .unwrap();
    let before = shown(&world, "t");
    for (statement, expected) in [
        (
            "ALTER TABLE t ADD b BIGGER",
            "it is not understood from \"BIGGER\" on",
        ),
        ("ALTER TABLE t ADD b", "its end is not understood"),
        (
            "ALTER TABLE t ADD b INT FROBNICATE",
            "it is not understood from \"FROBNICATE\" on",
        ),
        ("ALTER TABLE t ADD (b INT", "its end is not understood"),
        (
            "ALTER TABLE t ADD a INT",
            "it adds a, which is in what is known of the table already",
        ),
        (
            "ALTER TABLE t DROP b",
            "it names b, which is not in what is known of the table",
        ),
        (
            "ALTER TABLE t DROP a, DROP a",
            "a column that is changed twice is not read from statements",
        ),
        (
            "ALTER TABLE none ADD b INT",
            "it is not known what d.none was before",
        ),
        (
            "CREATE TABLE IF NOT EXISTS unknown.t (a INT)",
            "it is not known what unknown.t was before",
        ),
        (
            "CREATE TABLE s AS SELECT 1",
            "a table that a query makes is not read from statements",
        ),
        (
            "CREATE TABLE s (a INT) SELECT 1",
            "it is not understood from \"SELECT 1\" on",
        ),
        (
            "CREATE TABLE other.s (a VARCHAR(3))",
            "the default character set of its database is not known",
        ),
        (
            "ALTER TABLE t ADD b VARCHAR(3) CHARACTER SET klingon",
            "the character set or collation klingon is not known",
        ),
        (
            "ALTER TABLE t ADD b DOUBLE DEFAULT 1.23456789",
            "what the default of b is as a value of its type is not known",
        ),
        (
            "ALTER TABLE t ADD b VARCHAR(70000)",
            "what the type of varchar(70000) becomes is not known",
        ),
        (
            "ALTER TABLE t ADD `\u{fffd}` INT",
            "a text that is not of its character set is not read from statements",
        ),
        ("FLUSH TABLES", "it is not understood from \"FLUSH TABLES\" on"),
    ] {
        let error = run(&server, &mut world, statement, 0).unwrap_err();
        assert_eq!(error.to_string(), expected, "{statement}");
        assert_eq!(shown(&world, "t"), before, "{statement}");
    }
    let error = run(&server, &mut world, "ALTER TABLE t ADD b INT", MAXDB).unwrap_err();
    assert!(error.to_string().contains("sql_mode"), "{error}");
}

/// A table without texts needs no default; nothing with characters can be added to it.
#[test]
fn a_table_may_do_without_the_default_of_its_database() {
    let (server, mut world) = (old(), World::default());
    run(
        &server,
        &mut world,
        "CREATE TABLE other.t (id INT PRIMARY KEY)",
        0,
    )
    .unwrap();
    let table = &world.0[&TableId::new("other", "t")];
    assert_eq!((table.columns.len(), &table.structure), (1, &None));
    let error = run(&server, &mut world, "ALTER TABLE other.t ADD a INT", 0).unwrap_err();
    assert_eq!(error.to_string(), "it is not known what other.t was before");
}

#[test]
fn servers_and_sessions_decide() {
    let columns = |server: &Server, text: &str, mode: u64| {
        let mut world = World::default();
        run(server, &mut world, text, mode).map(|()| shown(&world, "t"))
    };
    let new = server(Flavour::MySql, Version::new(9, 7, 1));
    let maria = server(Flavour::MariaDb, Version::new(10, 11, 6));
    let create = "CREATE TABLE t (a INT, b YEAR, c TIMESTAMP /*M! NULL */, d GEOMETRYCOLLECTION)";
    assert_eq!(
        columns(&old(), create, 0).unwrap(),
        "a int(11), b year(4), c timestamp!=CURRENT_TIMESTAMP, d geometrycollection ()"
    );
    assert_eq!(
        columns(&maria, create, 0).unwrap(),
        "a int(11), b year(4), c timestamp, d geometrycollection ()"
    );
    let explicit = Server {
        explicit_timestamps: true,
        ..new
    };
    assert_eq!(
        columns(&explicit, create, 0).unwrap(),
        "a int, b year, c timestamp, d geomcollection ()"
    );
    let quoted = "CREATE TABLE \"t\" (\"a\" REAL, b VARCHAR(5) DEFAULT '\\')";
    assert_eq!(
        columns(&old(), quoted, 1 | 4 | 1 << 20).unwrap(),
        "a float, b varchar(5)=\\ ()"
    );
    assert!(columns(&old(), quoted, 0).is_err());
}
