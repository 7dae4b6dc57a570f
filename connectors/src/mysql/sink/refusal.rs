//! What a server's refusal of a statement means.

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// One of the rows is wrong.
    Row,
    /// Rows that are referred to are not there, or are still referred to: they may come, from another partition.
    Reference,
    /// The transaction was in the way of another one.
    Again,
    /// The table is not what it was.
    Table,
    /// The connection is of no use any more.
    Connection,
    /// Anything else is of the server, or of the account.
    Server,
}

/// The error of the guard that upserts have: a row with another key is in the way.
pub(super) const ANOTHER_ROW: u16 = 1242;

/// Errors that a row's values make, beyond those whose state says so.
const OF_ROWS: [u16; 29] = [
    1048,
    1062,
    1118,
    1169,
    ANOTHER_ROW,
    1261,
    1264,
    1265,
    1292,
    1300,
    1364,
    1366,
    1367,
    1406,
    1411,
    1416,
    1425,
    1526,
    1644,
    1690,
    1748,
    3140,
    3141,
    3144,
    3156,
    3643,
    3819,
    4025,
    4078,
];

impl Refusal {
    /// Of an error's code and state.
    pub fn of(code: u16, state: &str) -> Self {
        match code {
            1205 | 1213 | 1020 | 1637 | 3101 | 3572 => Self::Again,
            1216 | 1217 | 1451 | 1452 => Self::Reference,
            // Unknown column, no such table, another number of columns.
            1054 | 1136 | 1146 | 1412 => Self::Table,
            1040 | 1053 | 1077 | 1079 | 1080 | 1153 | 1158..=1161 | 1184 | 1203 | 1927 | 3169 | 4031 => {
                Self::Connection
            }
            // The server became a replica, or its disk is full: another one may answer next time.
            1021 | 1028 | 1114 | 1290 | 1792 | 1836 => Self::Server,
            // A statement was stopped, by KILL QUERY or for its time.
            1317 | 1969 | 3024 => Self::Again,
            // Geometries, vectors.
            3616 | 3617 | 3705..=3732 | 6136..=6139 => Self::Row,
            code if OF_ROWS.contains(&code) => Self::Row,
            _ if state.starts_with("22") || state.starts_with("23") || state == "45000" => Self::Row,
            _ => Self::Server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_states_say_whose_fault_it_is() {
        for (code, state, expected) in [
            (1406, "22001", Refusal::Row),
            (1265, "01000", Refusal::Row),
            (1366, "HY000", Refusal::Row),
            (1062, "23000", Refusal::Row),
            (3819, "HY000", Refusal::Row),
            (1644, "45000", Refusal::Row),
            (9999, "22032", Refusal::Row),
            (1452, "23000", Refusal::Reference),
            (1213, "40001", Refusal::Again),
            (1205, "HY000", Refusal::Again),
            (1054, "42S22", Refusal::Table),
            (1053, "08S01", Refusal::Connection),
            (1153, "08S01", Refusal::Connection),
            (4031, "HY000", Refusal::Connection),
            (1114, "HY000", Refusal::Server),
            (1142, "42000", Refusal::Server),
            (1064, "42000", Refusal::Server),
        ] {
            assert_eq!(Refusal::of(code, state), expected, "{code} {state}");
        }
    }
}
