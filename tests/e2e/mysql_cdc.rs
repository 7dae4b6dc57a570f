//! The example of a table's changes in Protobuf and a subscriber in Python, with the example's own files: nothing but ports is put in.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use millstream_tests::broker::{BrokerProcess, free_address};
use millstream_tests::connect_worker::{ConnectWorker, await_some};
use millstream_tests::mysql::MysqlServer;
use millstream_tests::program::{self, SpawnTied, command, python, repository};

const KIND: &str = "mysql97";

/// A server that is told nothing is like this.
const AS_INSTALLED: [&str; 3] = [
    "--gtid-mode=OFF",
    "--enforce-gtid-consistency=OFF",
    "--binlog-row-metadata=MINIMAL",
];

/// The registered schema, and the one that the example ships, say the same.
const COMPARE: &str = r#"
import json, pathlib, sys
from google.protobuf import descriptor_pb2
sys.path.insert(0, ".")
import subscriber
registered = [json.loads(line) for line in open("state/schemas.jsonl", encoding="utf-8")]
assert [line["subject"] for line in registered] == ["example.shop.orders-value"], registered
pathlib.Path("registered.proto").write_text(registered[0]["schema"], encoding="utf-8")
ours, shipped = descriptor_pb2.DescriptorProto(), descriptor_pb2.DescriptorProto()
subscriber.message_class(pathlib.Path("registered.proto").resolve(), subscriber.MESSAGE).DESCRIPTOR.CopyToProto(ours)
subscriber.message_class(subscriber.HERE / "changes.proto", subscriber.MESSAGE).DESCRIPTOR.CopyToProto(shipped)
assert ours == shipped, registered[0]["schema"]
"#;

/// The example's folder, copied, with the ports of this test.
struct Example {
    folder: tempfile::TempDir,
    broker: String,
    server: MysqlServer,
}

impl Example {
    fn start() -> (Self, BrokerProcess) {
        let folder = tempfile::tempdir().unwrap();
        let server = MysqlServer::start(KIND, &folder.path().join("mysql"), &AS_INSTALLED);
        let broker = free_address();
        let process = BrokerProcess::start_at(&folder.path().join("state/broker"), &broker, &[]);
        for file in std::fs::read_dir(repository().join("examples/mysql_cdc")).unwrap() {
            let file = file.unwrap();
            if !file.file_type().unwrap().is_file() {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = text
                .replace("127.0.0.1:9092", &broker)
                .replace("127.0.0.1:3306", &format!("127.0.0.1:{}", server.port()))
                .replace("database.port=3306", &format!("database.port={}", server.port()))
                .replace("127.0.0.1:8083", "127.0.0.1:0");
            std::fs::write(folder.path().join(file.file_name()), text).unwrap();
        }
        let example = Self {
            folder,
            broker,
            server,
        };
        (example, process)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// The README has this command, but for where Python stands.
    fn says(&self, command: &str) {
        let readme = self.text("README.md");
        assert!(
            readme.lines().any(|line| line == command),
            "the README does not say {command}"
        );
    }

    fn sql(&self, statements: &str) {
        let mut client = Command::new(repository().join("tests/mysql/server"));
        client.args(["sql", KIND]).arg(self.path().join("mysql"));
        program::output_of(
            client.arg("--default-character-set=utf8mb4"),
            statements.as_bytes(),
        );
    }

    /// A file with statements, as the README has it read.
    fn sql_file(&self, file: &str) {
        self.says(&format!("mysql -h 127.0.0.1 -u root -p < {file}"));
        self.sql(&self.text(file));
    }

    fn worker(&self) -> ConnectWorker {
        ConnectWorker::start(self.path(), &["worker.properties", "source.properties"])
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut python = Command::new(python());
        python.args(arguments).current_dir(self.path());
        python
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8");
        python
    }
}

/// The subscriber, and what it printed.
struct Subscriber {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber {
    fn start(example: &Example) -> Self {
        let mut child = example
            .python(&["subscriber.py"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What it printed once there are so many lines.
    fn await_lines(&self, count: usize) -> Vec<String> {
        await_some("the subscriber prints too little", || {
            let lines = self.lines();
            (lines.len() >= count).then_some(lines)
        })
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn inserts_are_printed_once_and_nothing_else_is() {
    let (example, _broker) = Example::start();
    example.says(
        "millstream broker --data-dir state/broker --listener 127.0.0.1:9092"
            .replace("127.0.0.1:9092", &example.broker)
            .as_str(),
    );
    example.says("millstream connect standalone worker.properties source.properties");
    example.says("python/bin/python subscriber.py");
    example.sql_file("server.sql");
    let check = example
        .text("README.md")
        .lines()
        .find_map(|line| line.strip_prefix("millstream mysql check ").map(str::to_owned))
        .unwrap();
    let (url, tables) = check.split_once(" --tables ").unwrap();
    let checked = program::run(
        &mut command(&["mysql", "check", url, "--tables", tables.trim_matches('\'')]),
        b"",
    );
    assert!(
        checked.stdout.contains("\n1 table\n") && !checked.stdout.contains("\nerror "),
        "{checked:?}"
    );

    let mut worker = Some(example.worker());
    // The rows that were there: with another group, which wants them.
    let mut existing = example.python(&["subscriber.py", "--existing", "--group", "all", "--count", "2"]);
    let existing = program::output_of(&mut existing, b"");
    assert!(
        existing.starts_with(r#"{"id": 1, "customer": "Ada", "amount": "19.99", "placed_at": "#)
            && existing
                .lines()
                .nth(1)
                .unwrap()
                .starts_with(r#"{"id": 2, "customer": "Grace", "amount": "120.50""#),
        "{existing}"
    );
    let subscriber = Subscriber::start(&example);
    example.sql_file("changes.sql");
    let readme = example.text("README.md");
    let expected = readme
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let mut expected: Vec<String> = expected.lines().map(str::to_owned).collect();
    assert_eq!(subscriber.await_lines(2), expected);
    program::output_of(&mut example.python(&["-c", COMPARE]), b"");

    for round in 0..4_usize {
        let ids = (0..100).map(|number| 1_000 + round * 100 + number);
        let mut statements = "USE shop;".to_owned();
        for id in ids {
            statements += &format!(
                "INSERT INTO orders VALUES ({id}, 'c', {id}.5, '2026-01-01', 'it''s {id}'); UPDATE orders SET note = 'n' WHERE id = {id};"
            );
            if id % 3 == 0 {
                statements += &format!("DELETE FROM orders WHERE id = {id};");
            }
            expected.push(format!(
                r#"{{"id": {id}, "customer": "c", "amount": "{id}.50", "placed_at": 1767225600000, "note": "it's {id}"}}"#
            ));
        }
        let before = expected.len() - 100;
        std::thread::scope(|scope| {
            scope.spawn(|| example.sql(&statements));
            // Somewhere in the middle.
            subscriber.await_lines(before + 5 + 20 * round);
            drop(worker.take());
            worker = Some(example.worker());
        });
    }
    assert_eq!(subscriber.await_lines(expected.len()), expected);
    // Behind everything that might have come once more.
    worker.unwrap().stop();
    let worker = example.worker();
    example.sql("INSERT INTO shop.orders VALUES (5000, 'last', 1, '2026-01-01', NULL)");
    expected
        .push(r#"{"id": 5000, "customer": "last", "amount": "1.00", "placed_at": 1767225600000}"#.to_owned());
    assert_eq!(subscriber.await_lines(expected.len()), expected);
    worker.stop();
    drop(example.server);
}

/// The commands of the README are the example's, in its order.
#[test]
fn the_readme_has_the_commands_of_the_example() {
    let text = |file: &str| std::fs::read_to_string(repository().join(file)).unwrap();
    let readme = text("README.md");
    let section = readme.split_once("## Changes of a database\n").unwrap().1;
    let block = section.split_once("```console\n").unwrap().1;
    let block = block.split_once("```").unwrap().0;
    let mut commands = block.lines();
    assert_eq!(commands.next(), Some("cd examples/mysql_cdc"));
    let example = text("examples/mysql_cdc/README.md");
    let mut fences = example.split("```sh\n").skip(1);
    let of_example: Vec<&str> = fences
        .by_ref()
        .flat_map(|part| part.split("```").next().unwrap().lines())
        .collect();
    assert_eq!(commands.collect::<Vec<_>>(), of_example);
}
