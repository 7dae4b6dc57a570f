//! Where our records are not Debezium's, and why.
use serde_json::{Value as Json, json};

/// Where something differs.
pub(super) struct Place<'a> {
    pub(super) case: &'a str,
    pub(super) variant: &'a str,
    /// `snapshot`, `stream` or `tables`.
    pub(super) what: &'a str,
    /// Within the record.
    pub(super) path: &'a str,
    pub(super) ours: &'a Json,
    pub(super) theirs: &'a Json,
}

impl Place<'_> {
    fn mariadb(&self) -> bool {
        self.case.starts_with("mariadb")
    }

    /// Whether it is of a table.
    fn table(&self, name: &str) -> bool {
        let topic = self.ours["topic"].as_str().unwrap_or_default();
        topic.ends_with(&format!(".{name}"))
    }

    /// Whether it is a value, or a field of a value, of a column.
    fn value(&self, column: &str) -> bool {
        ["key.payload", "value.payload.before", "value.payload.after"]
            .iter()
            .any(|start| {
                self.path
                    .strip_prefix(start)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| rest.split('.').next() == Some(column))
            })
    }

    fn default(&self) -> bool {
        self.path.ends_with(".default")
    }
}

/// One kind of difference.
pub(super) struct Difference {
    pub(super) reason: &'static str,
    applies: fn(&Place<'_>, &Json, &Json) -> bool,
}

/// The reason for a difference, if there is one.
pub(super) fn explained(place: &Place<'_>, ours: &Json, theirs: &Json) -> Option<&'static str> {
    let reason = ALL
        .iter()
        .find(|difference| (difference.applies)(place, ours, theirs));
    reason.map(|difference| difference.reason)
}

/// All of them.
pub(super) const ALL: &[Difference] = &[
    Difference {
        reason: "the version is that of who made the record",
        applies: |place, _, _| place.path == "value.payload.source.version",
    },
    Difference {
        reason: "when a record was made differs from run to run",
        applies: |place, _, _| {
            let times = [
                "value.payload.ts_ms",
                "value.payload.ts_us",
                "value.payload.ts_ns",
            ];
            times.contains(&place.path) && place.ours["value"]["payload"]["op"].is_string()
        },
    },
    Difference {
        reason: "headers that trace Debezium's own run (extended.headers.enabled) say nothing of a row, and are longer than many",
        applies: |place, ours, theirs| {
            let theirs = theirs.as_array().into_iter().flatten();
            let own = theirs.filter(|header| {
                let name = header["name"].as_str().unwrap_or_default();
                !name.starts_with("__debezium.context.")
            });
            place.path == "headers" && ours.as_array().is_some_and(|ours| ours.iter().eq(own))
        },
    },
    Difference {
        reason: "a transaction's tables come in the order of their first rows, not in that of a hash",
        applies: |place, _, _| {
            let sorted = |side: &Json| {
                let tables = side["value"]["payload"]["data_collections"].as_array();
                let mut tables: Vec<String> = tables.into_iter().flatten().map(Json::to_string).collect();
                tables.sort();
                tables
            };
            place.path.starts_with("value.payload.data_collections.")
                && sorted(place.ours) == sorted(place.theirs)
        },
    },
    Difference {
        reason: "a transaction of MariaDB begins when it begins, not when the event before it was written",
        applies: |place, _, _| {
            let status = &place.ours["value"]["payload"]["status"];
            place.mariadb() && place.path == "value.payload.ts_ms" && *status == json!("BEGIN")
        },
    },
    Difference {
        reason: "a column that is left out and part of the key has its value in the key of a snapshot's row, not zero",
        applies: |place, _, theirs| {
            place.what == "snapshot"
                && place.variant == "column_exclude"
                && place.path == "key.payload.id"
                && *theirs == json!(0)
        },
    },
    Difference {
        reason: "a unique key of the first characters of a text stands for no primary key: the log knows of none",
        applies: |place, ours, _| place.table("by_prefix") && place.path == "key" && ours.is_null(),
    },
    Difference {
        reason: "a default beyond 63 bits is what such values are (bigint.unsigned.handling.mode=long), not the greatest number",
        applies: |place, ours, theirs| place.default() && *ours == json!(-1) && *theirs == json!(i64::MAX),
    },
    Difference {
        reason: "a quote in a default is one quote, as the row has it",
        applies: |place, ours, theirs| {
            let doubled = ours.as_str().map(|text| text.replace('\'', "''"));
            (place.default() || place.value("vq")) && doubled.as_deref() == theirs.as_str()
        },
    },
    Difference {
        reason: "a default of BINARY is the column's bytes, with its zeros, and not the text of a statement",
        applies: |place, ours, _| {
            let text = ours.as_str().unwrap_or_default();
            let ab = text.starts_with("YWI") || text.starts_with("6162");
            place.default() && place.path.contains(".bn.") && ab
        },
    },
    Difference {
        reason: "BOOLEAN is TINYINT(1) whoever describes it; Debezium has BOOLEAN where it read the statement itself",
        applies: |place, _, theirs| {
            let field = |end: &str| place.path.ends_with(end);
            place.what == "stream"
                && (place.table("made") || place.table("grown"))
                && (place.value("b") || field(".b.type") || field(".b.default"))
                && [json!(true), json!("boolean")].contains(theirs)
        },
    },
    Difference {
        reason: "bits of a key have the order of other bits; Debezium turns those of a snapshot's key around twice",
        applies: |place, ours, theirs| {
            place.what == "snapshot" && place.value("k") && *ours == json!("BQA=") && *theirs == json!("AAU=")
        },
    },
    Difference {
        reason: "a TIMESTAMP has the digits of its column in a snapshot, too",
        applies: |place, ours, theirs| {
            let shortened = ours.as_str().and_then(|text| {
                let text = text.strip_suffix('Z').filter(|text| text.contains('.'))?;
                Some(format!("{}Z", text.trim_end_matches('0').trim_end_matches('.')))
            });
            place.what == "snapshot" && shortened.as_deref() == theirs.as_str() && shortened.is_some()
        },
    },
    Difference {
        reason: "a FLOAT of a snapshot is the one that is stored, not its first six digits",
        applies: |place, ours, theirs| {
            let (Some(ours), Some(theirs)) = (ours.as_f64(), theirs.as_f64()) else {
                return false;
            };
            place.what == "snapshot" && place.value("fl") && format!("{ours:.5e}") == format!("{theirs:.5e}")
        },
    },
    Difference {
        reason: "the same FLOAT is written with fewer digits than Java writes",
        applies: |place, ours, theirs| {
            let float = |side: &Json| side.as_f64().map(|number| number as f32);
            place.value("fl") && float(ours).is_some() && float(ours) == float(theirs)
        },
    },
    Difference {
        reason: "the year 0000 is 0: Debezium's snapshot says 2000, its stream 1900",
        applies: |place, ours, theirs| {
            let wrong = if place.what == "snapshot" { 2000 } else { 1900 };
            place.value("ye") && *ours == json!(0) && *theirs == json!(wrong)
        },
    },
    Difference {
        reason: "a label is the label, without the backslash before commas that lists of labels have",
        applies: |place, ours, theirs| {
            let escaped = ours.as_str().map(|label| label.replace(',', "\\,"));
            place.what == "stream" && place.value("en") && escaped.as_deref() == theirs.as_str()
        },
    },
    Difference {
        reason: "texts are what the server says that they are, in character sets that Java has not, or reads otherwise",
        applies: |place, _, _| {
            let columns = [
                "armscii8", "geostd8", "hp8", "keybcs2", "koi8u", "sjis", "swe7", "ujis", "cp932", "ln",
            ];
            place.what == "stream" && columns.iter().any(|column| place.value(column))
        },
    },
    Difference {
        reason: "JSON of the log is printed as the server prints it, as in the snapshot",
        applies: |place, ours, theirs| {
            let document = |side: &Json| {
                side.as_str()
                    .and_then(|text| serde_json::from_str::<Json>(text).ok())
            };
            place.what == "stream"
                && place.value("doc")
                && document(ours).is_some()
                && document(ours) == document(theirs)
        },
    },
    Difference {
        reason: "times, bytes and large numbers within JSON are printed as the server prints them",
        applies: |place, ours, _| {
            let text = ours.as_str().unwrap_or_default();
            let printed = ["base64:type", "12:34:56.", "59:59.000000", "1e15"];
            place.what == "stream" && place.value("doc") && printed.iter().any(|part| text.contains(part))
        },
    },
    Difference {
        reason: "comments of MariaDB are told where they are asked for; Debezium tells them where they are not",
        applies: |place, _, _| {
            place.mariadb() && (place.path.ends_with(".doc") || place.path.ends_with(".comment"))
        },
    },
    Difference {
        reason: "a UUID has its bytes in their order, and its default",
        applies: |place, ours, theirs| {
            let uuid = ours.as_str().is_some_and(|text| text.len() == 36);
            place.mariadb()
                && uuid
                && (place.value("u") && place.what == "stream"
                    || place.path.ends_with(".u.default") && theirs.is_null())
        },
    },
    Difference {
        reason: "the TIMESTAMP 0000-00-00 of MariaDB's log is null, as in the snapshot and as of MySQL",
        applies: |place, ours, theirs| {
            let epoch = theirs
                .as_str()
                .is_some_and(|text| text.starts_with("1970-01-01T00:00:00"));
            place.mariadb() && place.what == "stream" && ours.is_null() && epoch
        },
    },
    Difference {
        reason: "tables that were there between two descriptions of the server have no defaults: the log has none",
        applies: |place, ours, _| {
            let between = [
                ("basic", "later"),
                ("no-gtids", "later"),
                ("compressed", "later"),
                ("schemas", "t"),
                ("schemas", "copy"),
            ];
            let is_one = between
                .iter()
                .any(|(case, table)| place.case.ends_with(case) && place.table(table));
            place.what == "stream" && is_one && place.default() && ours.is_null()
        },
    },
    Difference {
        reason: "a statement that concerns no table names none",
        applies: |place, ours, theirs| {
            place.path == "value.payload.source.table" && ours.is_null() && *theirs == json!("")
        },
    },
    Difference {
        reason: "a record of one of several tables that a statement changed names that one",
        applies: |place, ours, theirs| {
            let (Some(ours), Some(theirs)) = (ours.as_str(), theirs.as_str()) else {
                return false;
            };
            place.path == "value.payload.source.table" && theirs.split(',').any(|table| table == ours)
        },
    },
    Difference {
        reason: "a truncation of MariaDB belongs to no transaction, as of MySQL",
        applies: |place, ours, _| {
            let operation = &place.ours["value"]["payload"]["op"];
            place.mariadb()
                && place.path == "value.payload.transaction"
                && *operation == json!("t")
                && ours.is_null()
        },
    },
    Difference {
        reason: "a time that 64 bits of nanoseconds do not hold is not another time (MariaDB's connector is the older)",
        applies: |place, ours, theirs| {
            place.mariadb() && place.variant == "time_nanoseconds" && ours.is_null() && theirs.is_i64()
        },
    },
];
