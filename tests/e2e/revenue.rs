//! The example from MySQL to MySQL, with its own files: nothing but ports is put in.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use millstream_tests::connect_worker::await_some;
use millstream_tests::kill_mysql::revenue::{self, Plan};
use millstream_tests::mysql::MysqlServer;
use millstream_tests::program::{self, SpawnTied, repository};

const KIND: &str = "mysql97";

/// What each customer and each city brought in, as the report of the example would be of the source's own tables.
const EXPECTED: &str = "SELECT c.name, COUNT(o.id) AS orders, COALESCE(SUM(o.amount), 0.00) AS revenue FROM shop.customers c \
     LEFT JOIN shop.orders o ON o.customer = c.id GROUP BY c.id, c.name ORDER BY c.id; \
     SELECT c.city, COUNT(*) AS orders, SUM(o.amount) AS revenue FROM shop.orders o JOIN shop.customers c ON o.customer = c.id GROUP BY c.city ORDER BY c.city;";

/// The example's folder, copied, with the ports of this test.
struct Example {
    folder: tempfile::TempDir,
    _server: MysqlServer,
}

impl Example {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A server that is told nothing is like this.
        let as_installed = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
        let server = MysqlServer::start(KIND, &folder.path().join("mysql"), &as_installed);
        for file in std::fs::read_dir(repository().join("examples/revenue")).unwrap() {
            let file = file.unwrap();
            if !file.file_type().unwrap().is_file() {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = text
                .replace("database.port=3306", &format!("database.port={}", server.port()))
                .replace("127.0.0.1:3306/", &format!("127.0.0.1:{}/", server.port()))
                .replace("127.0.0.1:8083", "127.0.0.1:0");
            std::fs::write(folder.path().join(file.file_name()), text).unwrap();
        }
        Self {
            folder,
            _server: server,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    fn sql(&self, options: &[&str], statements: &str) -> String {
        let mut client = Command::new(repository().join("tests/mysql/server"));
        client
            .args(["sql", KIND])
            .arg(self.path().join("mysql"))
            .arg("--default-character-set=utf8mb4")
            .args(options);
        program::output_of(&mut client, statements.as_bytes())
    }

    /// A file with statements, as the README has it read.
    fn sql_file(&self, options: &[&str], file: &str) -> String {
        let command = ["mysql -h 127.0.0.1 -u root -p", &options.join(" ")].join(" ");
        let command = format!("{} < {file}", command.trim_end());
        let readme = self.text("README.md");
        assert!(
            readme.lines().any(|line| line == command),
            "the README does not say {command}"
        );
        self.sql(options, &self.text(file))
    }

    fn report(&self) -> String {
        self.sql_file(&["-t"], "report.sql")
    }

    /// Waits until the report is this.
    fn await_report(&self, expected: &str) {
        await_some(&format!("the report does not become\n{expected}"), || {
            (self.report() == expected).then_some(())
        });
    }

    /// The program, once all of it runs.
    fn program(&self) -> Program {
        let mut child = Command::new(program::example("revenue"))
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<String> = said.map_while(Result::ok).take(3).collect();
        assert_eq!(said, ["shop runs", "reports runs", "the job runs"]);
        Program(child)
    }
}

/// Killed when dropped.
struct Program(Child);

impl Program {
    fn stop(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "it ended with {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn revenue_is_what_the_readme_says_and_what_the_source_says_whatever_is_killed() {
    let example = Example::start();
    let readme = example.text("README.md");
    let shown: Vec<&str> = readme.split("```text\n").skip(1).collect();
    let shown: Vec<&str> = shown
        .iter()
        .map(|part| part.split("```").next().unwrap())
        .filter(|part| part.starts_with('+'))
        .collect();
    example.sql_file(&[], "shop.sql");
    example.sql_file(&[], "reports.sql");
    let mut program = Some(example.program());
    example.await_report(shown[0]);
    example.sql_file(&[], "changes.sql");
    example.await_report(shown[1]);

    for round in 0..2_u32 {
        let mut statements = "USE shop;".to_owned();
        for number in 0..300_u32 {
            let id = 100 + (number * 7 + round * 100) % 400;
            let customer = 1 + (number * 13 + round) % 6;
            statements += &match number % 6 {
                0..=2 => {
                    format!("REPLACE INTO orders VALUES ({id}, {customer}, {number}.25);")
                }
                3 => format!("UPDATE orders SET customer = {customer}, amount = amount + 1 WHERE id = {id};"),
                4 => format!("DELETE FROM orders WHERE id = {id};"),
                _ => format!(
                    "REPLACE INTO customers VALUES ({customer}, 'c{number}', 'City {}');",
                    number % 4
                ),
            };
        }
        let before = example.report();
        std::thread::scope(|scope| {
            scope.spawn(|| example.sql(&[], &statements));
            // Somewhere in the middle.
            await_some("nothing is counted", || {
                (example.report() != before).then_some(())
            });
            drop(program.take());
            program = Some(example.program());
        });
    }
    example.await_report(&example.sql(&["-t"], EXPECTED));
    program.unwrap().stop();
}

#[test]
fn revenue_of_all_processes_killed_is_what_the_source_says() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        from: KIND,
        to: "mariadb",
        rounds: 1,
        seed: 1,
    };
    let report = revenue::run(folder.path(), plan);
    assert!(report.transactions > 0 && report.rows > 10, "{report:?}");
}
