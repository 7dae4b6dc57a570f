//! `millstream mysql` as a user types it, against real servers.

use std::process::Command;

use millstream_tests::mysql::MysqlServer;
use millstream_tests::program::{self, Finished, command, millstream, run};

const PASSWORD: &str = "Tr0ub4dor&3";

fn sql(kind: &str, folder: &std::path::Path, statements: &str) {
    let mut client = Command::new(program::repository().join("tests/mysql/server"));
    client.arg("sql").arg(kind).arg(folder).args(["-e", statements]);
    program::output_of(&mut client, b"");
}

/// A server with the account `capture`, and the beginning of its URL.
fn server(kind: &str, folder: &std::path::Path, options: &[&str]) -> (MysqlServer, String) {
    let server = MysqlServer::start(kind, folder, options);
    let create = format!(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id int primary key); CREATE TABLE shop.heap (id int); \
         CREATE USER capture@localhost IDENTIFIED BY '{PASSWORD}'"
    );
    sql(kind, folder, &create);
    let place = format!("@127.0.0.1:{}", server.port());
    (server, place)
}

fn check(arguments: &[&str], password: &str) -> Finished {
    let mut all = vec!["mysql", "check"];
    all.extend_from_slice(arguments);
    let finished = run(command(&all).env("MYSQL_PWD", password), b"");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!said.contains(PASSWORD) && !said.contains("Tr0ub4dor"), "{said}");
    finished
}

#[test]
fn a_server_is_checked_and_mended() {
    for (kind, metadata) in [("mysql97", "MINIMAL"), ("mariadb", "NO_LOG")] {
        let folder = tempfile::tempdir().unwrap();
        let option = format!("--binlog-row-metadata={metadata}");
        let (_server, place) = server(kind, folder.path(), &[&option]);
        let url = format!("mysql://capture:Tr0ub4dor%263{place}");

        let found = check(&[&url], "");
        assert_eq!(found.code, 1, "{found:?}");
        assert!(
            found
                .stdout
                .contains(&format!("warning  binlog_row_metadata is {metadata}\n")),
            "{}",
            found.stdout
        );
        let statements: Vec<&str> = found
            .stdout
            .lines()
            .map(str::trim)
            .filter(|line| line.ends_with(';') && !line.starts_with("ALTER"))
            .collect();
        assert!(
            statements.contains(&"SET GLOBAL binlog_row_metadata = 'FULL';"),
            "{statements:?}"
        );
        assert!(found.stderr.contains("1 error, 2 warnings"), "{}", found.stderr);
        sql(kind, folder.path(), &statements.join(" "));
        sql(
            kind,
            folder.path(),
            "GRANT SELECT, LOCK TABLES ON shop.* TO capture@localhost",
        );

        let found = check(&[&url], "");
        assert_eq!(found.code, 1, "{found:?}");
        assert!(
            found.stdout.contains("shop.heap has no key") && !found.stdout.contains("error "),
            "{}",
            found.stdout
        );

        // The password by the environment, and only the table that is as it should be.
        let found = check(
            &[&format!("mysql://capture{place}"), "--tables", r"shop\.order.*"],
            PASSWORD,
        );
        assert_eq!(found.code, 0, "{found:?}");
        assert!(found.stdout.contains("\n1 table\n"), "{}", found.stdout);
    }
}

#[test]
fn a_server_that_cannot_be_asked_is_another_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (server, place) = server("mariadb", folder.path(), &[]);
    let found = check(&[&format!("mysql://capture{place}")], "wrong Tr0ub");
    assert_eq!(found.code, 2);
    assert!(
        found.stderr.contains("capture may not log in (1045"),
        "{}",
        found.stderr
    );
    drop(server);
    let found = check(&[&format!("mysql://capture{place}")], PASSWORD);
    assert_eq!(found.code, 2);
    assert!(
        found.stderr.contains("no server answers at 127.0.0.1"),
        "{}",
        found.stderr
    );
    let found = check(&["mysql://Tr0ub4dor&3"], "");
    assert_eq!(found.code, 2);
}

/// A terminal: types the password when asked, and prints all that was shown.
const TERMINAL: &str = r#"
import os, pty, sys
shown = b""
process, terminal = pty.fork()
if process == 0:
    os.execv(sys.argv[1], sys.argv[1:2] + sys.argv[3:])
typed = False
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if not typed and b"Password of capture: " in shown:
        os.write(terminal, sys.argv[2].encode() + b"\n")
        typed = True
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"#;

#[test]
fn a_typed_password_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, place) = server("mariadb", folder.path(), &[]);
    sql(
        "mariadb",
        folder.path(),
        "GRANT ALL PRIVILEGES ON *.* TO capture@localhost",
    );
    let url = format!("mysql://capture{place}");
    let mut terminal = Command::new("python3");
    terminal.args(["-c", TERMINAL]).arg(millstream()).arg(PASSWORD);
    terminal.args(["mysql", "check", &url, "--password", "--tables", "shop.orders"]);
    let finished = run(&mut terminal, b"");
    assert!(finished.stdout.contains("Password of capture: "), "{finished:?}");
    assert!(
        finished.stdout.contains("1 table") && finished.code == 0,
        "{finished:?}"
    );
    assert!(!finished.stdout.contains("Tr0ub4dor"), "{finished:?}");
}
