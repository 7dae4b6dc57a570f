//! What the interpreter of statements says tables become, beside what servers make of them.
mod random;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_connectors::mysql::binlog::Collation;
use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::schema::ddl::{self, After, Before, Effects, Session, Statement, Was};
use millstream_connectors::mysql::schema::{Table, TableId, describe};

use crate::servers::{KINDS, Kind, Server};

/// Bits of `sql_mode` by their names.
const MODES: [(&str, u64); 3] = [
    ("REAL_AS_FLOAT", 1),
    ("ANSI_QUOTES", 4),
    ("NO_BACKSLASH_ESCAPES", 1 << 20),
];

/// Databases that tables are made in, with what tells their character set.
const DATABASES: [(&str, &str); 3] = [
    ("ddl", ""),
    ("ddl_latin", "CHARACTER SET latin1 COLLATE latin1_german1_ci"),
    ("ddl_utf8", "CHARACTER SET utf8"),
];

/// What a statement came to.
enum Outcome {
    /// What servers say, too.
    Same,
    /// The server does not take it.
    Refused(String),
    /// It is not known what it comes to.
    Unknown(String),
    /// Something else than the server says.
    Differs(String),
}

/// A server with its tables as they are.
struct Oracle {
    kind: Kind,
    client: Client,
    server: ddl::Server,
    collations: BTreeMap<String, Collation>,
    tables: BTreeMap<TableId, Arc<Table>>,
    session: Session,
}

impl Before for Oracle {
    fn table(&self, id: &TableId) -> Was<'_> {
        self.tables.get(id).map_or(Was::Absent, |table| Was::Table(table))
    }

    fn collation(&self, database: &str) -> Option<Collation> {
        self.collations.get(database).copied()
    }
}

impl Oracle {
    /// `name` begins those of its databases.
    async fn new(server: &Server) -> Self {
        let mut client = server.root().await;
        let facts = client.facts().await.unwrap();
        let collations = describe::all_collations(&mut client).await.unwrap();
        let mut of_databases = BTreeMap::new();
        for (name, charset) in DATABASES {
            client
                .execute(&format!("CREATE DATABASE {name} {charset}"))
                .await
                .unwrap();
            let collation = describe::database_collation(&mut client, name).await.unwrap();
            of_databases.insert(name.to_owned(), collations.named(&collation.unwrap()).unwrap());
        }
        client.execute("USE ddl").await.unwrap();
        client.execute("SET SESSION sql_mode = ''").await.unwrap();
        Self {
            kind: server.kind,
            server: ddl::Server {
                flavour: facts.flavour,
                version: facts.version,
                collations: Arc::new(collations),
                explicit_timestamps: facts.variables.on("explicit_defaults_for_timestamp").unwrap(),
                lower_case: false,
            },
            client,
            collations: of_databases,
            tables: BTreeMap::new(),
            session: Session::default(),
        }
    }

    /// Drops all tables.
    async fn clear(&mut self) {
        if self.tables.is_empty() {
            return;
        }
        let quoted = |id: &TableId| {
            let [database, table] = [&id.database, &id.table].map(|name| name.replace('`', "``"));
            format!("`{database}`.`{table}`")
        };
        let names: Vec<String> = self.tables.keys().map(quoted).collect();
        for statement in [
            "SET SESSION foreign_key_checks = 0",
            &format!("DROP TABLE {}", names.join(", ")),
            "SET SESSION foreign_key_checks = 1",
        ] {
            self.client.execute(statement).await.unwrap();
        }
        self.tables.clear();
    }

    /// What the server says its tables are.
    async fn described(&mut self) -> BTreeMap<TableId, Arc<Table>> {
        let mut ids = describe::table_ids(&mut self.client).await.unwrap();
        ids.retain(|id| DATABASES.iter().any(|(name, _)| *name == &*id.database));
        let described = describe::alterable(&mut self.client, &ids).await.unwrap();
        assert_eq!(described.unknown, [], "{:?}", self.kind);
        let tables = described.tables.into_iter().map(|described| described.table);
        tables.map(|table| (table.id.clone(), Arc::new(table))).collect()
    }

    /// Runs a statement, and compares what it made with what was computed.
    async fn run(&mut self, text: &str) -> Outcome {
        if text.starts_with("SET SESSION sql_mode") {
            self.client.execute(text).await.unwrap();
            let modes = MODES.iter().filter(|(name, _)| text.contains(name));
            self.session.sql_mode = modes.map(|(_, bit)| bit).sum();
            return Outcome::Same;
        }
        let statement = Statement {
            text,
            database: "ddl",
            session: self.session,
        };
        let effects = ddl::effects(&self.server, self, &statement);
        if let Err(error) = self.client.execute(text).await {
            return Outcome::Refused(error.to_string());
        }
        let now = self.described().await;
        let before = std::mem::replace(&mut self.tables, now);
        let mut expected = before;
        let effects = match effects {
            Err(error) => return Outcome::Unknown(error.to_string()),
            Ok(Effects::Tables(effects)) => effects,
            Ok(other) => panic!("{text}: {other:?}"),
        };
        for (id, after) in effects {
            match after {
                After::Table(table) => drop(expected.insert(id, table)),
                After::Gone => drop(expected.remove(&id)),
                After::Unknown(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        match self.difference(&expected) {
            None => Outcome::Same,
            Some(difference) => Outcome::Differs(difference),
        }
    }

    fn difference(&self, expected: &BTreeMap<TableId, Arc<Table>>) -> Option<String> {
        let names = |tables: &BTreeMap<TableId, Arc<Table>>| -> Vec<String> {
            tables.keys().map(ToString::to_string).collect()
        };
        if names(expected) != names(&self.tables) {
            return Some(format!(
                "tables {:?}, not {:?}",
                names(&self.tables),
                names(expected)
            ));
        }
        let pairs = expected.values().zip(self.tables.values());
        let differs = pairs.into_iter().find(|(computed, own)| computed != own)?;
        Some(table_difference(differs.0, differs.1))
    }
}

fn table_difference(computed: &Table, own: &Table) -> String {
    let pairs = computed.columns.iter().zip(&own.columns);
    for (computed, own) in pairs {
        if computed != own {
            return format!("the column\n  {own:?}, computed\n  {computed:?}");
        }
    }
    format!(
        "{} columns, key {:?}, {:?} {:?} {:?}, computed\n {} columns, key {:?}, {:?} {:?} {:?}",
        own.columns.len(),
        own.key,
        own.comment,
        own.charset,
        own.structure,
        computed.columns.len(),
        computed.key,
        computed.comment,
        computed.charset,
        computed.structure,
    )
}

/// A line of the corpus: where it runs, where it is not understood, and the statement.
fn parsed(line: &str) -> (Option<Vec<&str>>, Option<Vec<&str>>, &str) {
    let (mut only, mut unknown, mut rest) = (None, None, line);
    while let Some((words, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let mut words = words.split(' ');
        match words.next() {
            Some("only") => only = Some(words.collect()),
            Some("unknown") => unknown = Some(words.collect()),
            other => panic!("{other:?} in {line}"),
        }
        rest = behind.trim_start();
    }
    (only, unknown, rest)
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::MySql97 => "mysql97",
        Kind::MySql56 => "mysql56",
        Kind::MariaDb => "mariadb",
    }
}

/// Cases of statements. A line that begins with a space or a parenthesis belongs to the one before.
fn cases() -> Vec<Vec<String>> {
    let mut cases: Vec<Vec<String>> = vec![Vec::new()];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ddl/corpus.sql");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case = cases.last_mut().expect("there is one from the beginning");
        match case.last_mut() {
            _ if line.starts_with("# ") => {}
            _ if line.is_empty() => cases.push(Vec::new()),
            Some(last) if line.starts_with([' ', ')']) => {
                last.push('\n');
                last.push_str(line);
            }
            _ => case.push(line.to_owned()),
        }
    }
    cases.retain(|case| !case.is_empty());
    cases
}

#[tokio::test]
async fn statements_make_of_tables_what_servers_make_of_them() {
    let cases = cases();
    assert!(cases.iter().map(Vec::len).sum::<usize>() >= 190);
    let mut wrong = Vec::new();
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut oracle = Oracle::new(&server).await;
        for case in &cases {
            oracle.clear().await;
            for line in case {
                let (only, unknown, text) = parsed(line);
                if only.is_some_and(|only| !only.contains(&name(kind))) {
                    continue;
                }
                let is_unknown = unknown.is_some_and(|kinds| kinds.is_empty() || kinds.contains(&name(kind)));
                match oracle.run(text).await {
                    Outcome::Same if !is_unknown => {}
                    Outcome::Unknown(_) if is_unknown => {}
                    Outcome::Same => wrong.push(format!("{kind:?}: {text}: known, against expectation")),
                    Outcome::Refused(what) => wrong.push(format!("{kind:?}: {text}: refused: {what}")),
                    Outcome::Unknown(what) => wrong.push(format!("{kind:?}: {text}: not known: {what}")),
                    Outcome::Differs(what) => wrong.push(format!("{kind:?}: {text}: differs: {what}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
