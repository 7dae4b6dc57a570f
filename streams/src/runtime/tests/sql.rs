//! SQL over a worker's stores.
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::super::queries::{QueryError, answer_sql};
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

impl Bench {
    /// Asks on another thread, while the worker answers.
    fn sql(&mut self, text: &str) -> Result<RecordBatch, QueryError> {
        let (shared, text) = (Arc::clone(&self.shared), text.to_owned());
        let asking = std::thread::spawn(move || answer_sql(&shared, &text, PATIENCE));
        while !asking.is_finished() {
            self.worker.answer_questions().unwrap();
            std::thread::yield_now();
        }
        let rows = asking.join().unwrap()?;
        Ok(concat_batches(&rows[0].schema(), &rows).unwrap())
    }

    /// The rows as text: values with a blank between them.
    fn lines(&mut self, text: &str) -> Vec<String> {
        let rows = self.sql(text).unwrap();
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<ArrayFormatter<'_>> = rows
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        let row = |row: usize| {
            let values = columns.iter().map(|column| column.value(row).to_string());
            values.collect::<Vec<_>>().join(" ")
        };
        (0..rows.num_rows()).map(row).collect()
    }

    fn refused(&mut self, text: &str) -> String {
        self.sql(text).unwrap_err().to_string()
    }
}

/// A worker that has counted words: with a local store, or without.
fn counted(local: bool) -> (Option<tempfile::TempDir>, Bench) {
    let (directory, mut bench) = match local {
        true => {
            let (directory, bench) = checkpoints::begun(Guarantee::ExactlyOnce);
            (Some(directory), bench)
        }
        false => {
            let bench = Bench::of(Guarantee::ExactlyOnce);
            bench.change(Polled::Assigned(Bench::all_partitions()));
            bench.line("a b a");
            (None, bench)
        }
    };
    bench.line("c c c d");
    bench.steps(12);
    (directory, bench)
}

#[test]
fn statements_read_what_is_committed() {
    for local in [true, false] {
        let (_directory, mut bench) = counted(local);
        for (statement, expected) in [
            ("SELECT word, n FROM counts WHERE word = 'a'", &["a 2"][..]),
            (
                "SELECT n, word FROM counts WHERE word IN ('c', 'a', 'x') ORDER BY 1",
                &["2 a", "3 c"],
            ),
            (
                "SELECT word FROM counts WHERE word = 'b' OR word = 'd' ORDER BY word",
                &["b", "d"],
            ),
            (
                "SELECT word FROM counts WHERE word > 'a' AND word <= 'c' ORDER BY word",
                &["b", "c"],
            ),
            ("SELECT word FROM counts WHERE word = 'a' AND n = 1", &[]),
            (
                "SELECT word FROM counts WHERE n >= 2 ORDER BY n DESC LIMIT 1",
                &["c"],
            ),
            ("SELECT count(*), sum(n), max(word) FROM counts", &["4 7 d"]),
            (
                "SELECT n, count(*) FROM counts GROUP BY n HAVING count(*) > 1",
                &["1 2"],
            ),
            ("SELECT upper(word) FROM counts WHERE word LIKE 'c%'", &["C"]),
            (
                "SELECT l.word, r.word FROM counts l JOIN counts r ON l.n = r.n AND l.word < r.word",
                &["b d"],
            ),
            (
                "WITH often AS (SELECT * FROM counts WHERE n > 1) SELECT count(*) AS c FROM often UNION ALL SELECT 9 ORDER BY c",
                &["2", "9"],
            ),
            (
                "SELECT word FROM counts WHERE n > (SELECT avg(n) FROM counts) ORDER BY word",
                &["a", "c"],
            ),
            (
                "SELECT word, rank() OVER (ORDER BY n DESC) AS r FROM counts ORDER BY r LIMIT 2",
                &["c 1", "a 2"],
            ),
            ("SELECT 1 + 1", &["2"]),
        ] {
            assert_eq!(bench.lines(statement), expected, "{local}: {statement}");
        }
        assert_eq!(bench.lines("SELECT word FROM counts LIMIT 2").len(), 2);
        let none = bench.sql("SELECT word, n FROM counts WHERE word = 'x'").unwrap();
        assert_eq!(
            (none.num_rows(), none.schema().field(1).name().as_str()),
            (0, "n")
        );

        bench.slow();
        bench.line("a e");
        bench.steps(3);
        let sum = |bench: &mut Bench| {
            let rows = bench.sql("SELECT sum(n) AS n FROM counts").unwrap();
            rows.column(0).as_primitive::<Int64Type>().value(0)
        };
        assert_eq!(sum(&mut bench), 7, "nothing is committed");
        bench.worker.end_epoch().unwrap();
        bench.steps(2);
        bench.worker.end_epoch().unwrap();
        assert_eq!(sum(&mut bench), 9);
    }
}

#[test]
fn what_is_no_select_of_stores_is_refused() {
    let (_directory, mut bench) = counted(true);
    for statement in [
        "CREATE TABLE t AS SELECT * FROM counts",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO counts VALUES ('x', 1)",
        "UPDATE counts SET n = 1",
        "DELETE FROM counts",
        "TRUNCATE counts",
        "DROP TABLE counts",
        "COPY counts TO '/tmp/counts.csv'",
        "COPY (SELECT * FROM counts) TO '/tmp/counts.csv'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN SELECT * FROM counts",
        "SHOW TABLES",
    ] {
        let refused = bench.refused(statement);
        assert!(
            refused.contains("only SELECT reads stores"),
            "{statement}: {refused}"
        );
    }
    for (statement, expected) in [
        ("SELECT * FROM count", "there is counts; did you mean \"counts\"?"),
        ("SELECT * FROM '/etc/passwd'", "has no store /etc/passwd"),
        (
            "SELECT * FROM generate_series(1, 1000000000)",
            "has no store generate_series",
        ),
        ("SELECT * FROM public.counts", "name the store alone"),
        ("SELECT * FROM information_schema.tables", "name the store alone"),
        ("SELECT m FROM counts", "No field named m"),
        ("SELECT FROM WHERE", ""),
        ("SELECT 1; SELECT 2", "single SQL statement"),
        ("", "No SQL statements"),
        ("SELECT * INTO t FROM counts", ""),
        ("SELECT word FROM counts WHERE", ""),
    ] {
        let refused = bench.refused(statement);
        assert!(refused.contains(expected), "{statement}: {refused}");
    }
    let long = format!("SELECT {}1", "1 + ".repeat(1_000));
    assert!(
        bench
            .refused(&long)
            .contains("more than 1000 words, signs and spaces")
    );
    // As deep as it gets, and far from the end of the stack.
    let deep = format!("SELECT {}n FROM counts WHERE word = 'a'", "n + ".repeat(230));
    assert_eq!(bench.lines(&deep), ["462"]);
    let nested = format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200));
    assert!(bench.sql(&nested).is_err());
    let many = "SELECT * FROM counts a, counts b, counts c, counts d, counts e, counts f, counts g, counts h, counts i";
    assert!(bench.refused(many).contains("more than 100000 rows"));
    assert_eq!(
        bench.sql("SELECT m FROM counts").unwrap_err().kind(),
        crate::ErrorKind::FixInput
    );
}
