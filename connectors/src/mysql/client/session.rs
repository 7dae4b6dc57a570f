//! What each session is set to, so that values are printed the same everywhere.
use super::server::{Flavour, Version};

/// How long a server keeps a session that has nothing to do, or whose client reads slowly: a week. A snapshot waits for its reader.
const PATIENCE_SECONDS: u32 = 7 * 24 * 3600;

/// How long it keeps one that holds locks and says nothing: whoever is gone without a word does not block writers for longer.
const LOCKING_PATIENCE_SECONDS: u32 = 120;

/// The statement that has the server keep a session for as long as its locks, or the lack of them, allow.
pub(super) fn patience(locking: bool) -> String {
    let seconds = match locking {
        true => LOCKING_PATIENCE_SECONDS,
        false => PATIENCE_SECONDS,
    };
    format!("SET SESSION wait_timeout={seconds}")
}

/// The statements, one at a time: older servers know fewer variables.
///
/// Modes that change how statements are read or values printed are off; zero dates may be compared with; writes are strict.
pub(super) fn statements(flavour: Flavour, version: Version) -> Vec<String> {
    let mut common = String::from(
        "SET SESSION sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES', time_zone='+00:00', autocommit=1, \
         sql_auto_is_null=0, sql_safe_updates=0, sql_quote_show_create=1, sql_big_selects=1, \
         sql_select_limit=18446744073709551615",
    );
    for variable in ["net_write_timeout", "net_read_timeout", "wait_timeout"] {
        common.push_str(&format!(", {variable}={PATIENCE_SECONDS}"));
    }
    let mut statements = vec!["SET NAMES utf8mb4".to_owned(), common];
    match flavour {
        Flavour::MySql if version >= Version::new(5, 7, 8) => {
            statements.push("SET SESSION max_execution_time=0".to_owned());
        }
        Flavour::MariaDb if version >= Version::new(10, 1, 1) => {
            statements.push("SET SESSION max_statement_time=0".to_owned());
        }
        _ => {}
    }
    if flavour == Flavour::MySql && version >= Version::new(8, 0, 30) {
        // Rows have these keys in the log, whether they are shown or not.
        statements.push("SET SESSION show_gipk_in_create_table_and_information_schema=ON".to_owned());
    }
    statements.push("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned());
    statements
}
