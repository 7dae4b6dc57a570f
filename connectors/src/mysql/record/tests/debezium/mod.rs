//! Real Debezium beside ours: the same log, every record, every field.
//!
//! `connectors/golden/debezium` holds what Debezium made of a server's changes (`tests/mysql/debezium`). Here its logs go through our decoder
//! and our records, and through `JsonConverter` with schemas. What differs has to be one of the [`differences`], each of which has a
//! reason and has to occur.
mod differences;
mod golden;
mod replay;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{Converter, Encoded, Registry};
use millstream_connect::record::{Datum, Record};
use serde_json::{Value as Json, json};

use self::differences::{Place, explained};
use self::golden::Golden;
use self::replay::Sides;

/// Every case that has records of rows.
const CASES: &[&str] = &[
    "mysql97-basic",
    "mysql97-columns",
    "mysql97-compressed",
    "mysql97-keys",
    "mysql97-modes",
    "mysql97-no-gtids",
    "mysql97-schemas",
    "mysql97-transactions",
    "mysql97-types",
    "mysql97-zone",
    "mariadb-basic",
    "mariadb-columns",
    "mariadb-keys",
    "mariadb-modes",
    "mariadb-schemas",
    "mariadb-transactions",
    "mariadb-types",
    "mariadb-zone",
];

/// Writes records as the golden files have them.
struct Written {
    converter: Box<dyn Converter>,
}

impl Written {
    fn new() -> Self {
        let plugin = Registry::built_in().converter("org.apache.kafka.connect.json.JsonConverter");
        let converter = plugin.unwrap().new_converter(&ConfigMap::new(), false);
        Self {
            converter: converter.unwrap(),
        }
    }

    fn datum(&mut self, datum: &Datum) -> Json {
        let mut bytes = Vec::new();
        match self.converter.encode("t", datum, &mut bytes).unwrap() {
            Encoded::Null => Json::Null,
            Encoded::Bytes => serde_json::from_slice(&bytes).unwrap(),
        }
    }

    fn record(&mut self, record: &Record) -> Json {
        let headers = record
            .headers
            .iter()
            .map(|header| json!({ "name": &*header.name, "value": self.datum(&header.datum) }));
        let headers: Vec<Json> = headers.collect();
        json!({
            "topic": &*record.topic,
            "partition": record.partition,
            "key": self.datum(&record.key),
            "value": self.datum(&record.value),
            "headers": headers,
        })
    }
}

/// What differs between two records: where, and both sides.
fn compare(ours: &Json, theirs: &Json, path: &mut Vec<String>, found: &mut Vec<(String, Json, Json)>) {
    match (ours, theirs) {
        (Json::Object(ours), Json::Object(theirs)) => {
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                path.push(name.clone());
                let side =
                    |side: &serde_json::Map<String, Json>| side.get(name).cloned().unwrap_or(Json::Null);
                compare(&side(ours), &side(theirs), path, found);
                path.pop();
            }
        }
        (Json::Array(ours), Json::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                // Fields of schemas by their names.
                let name = ours.get("field").and_then(Json::as_str).map(str::to_owned);
                path.push(name.unwrap_or_else(|| index.to_string()));
                compare(ours, theirs, path, found);
                path.pop();
            }
        }
        _ if ours == theirs => {}
        _ => found.push((path.join("."), ours.clone(), theirs.clone())),
    }
}

/// All differences of a case that no reason is known of, and the reasons that were met.
fn differences_of(case: &str) -> (Vec<String>, BTreeSet<&'static str>) {
    let golden = Golden::load(case);
    let (mut unexplained, mut reasons) = (Vec::new(), BTreeSet::new());
    for (variant, properties) in &golden.variants {
        let records = settings::records(properties, golden.connector);
        let mut written = Written::new();
        let mut check = |(ours, theirs): Sides, what: &str| {
            if ours.len() != theirs.len() {
                let topics = |side: &[Json]| {
                    let mut topics = BTreeMap::<String, usize>::new();
                    for record in side {
                        *topics.entry(record["topic"].to_string()).or_default() += 1;
                    }
                    topics
                };
                unexplained.push(format!(
                    "{case} {variant} {what}: {:?} where Debezium has {:?}",
                    topics(&ours),
                    topics(&theirs)
                ));
                return;
            }
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let mut found = Vec::new();
                compare(ours, theirs, &mut Vec::new(), &mut found);
                for (path, our, their) in found {
                    let place = Place {
                        case,
                        variant,
                        what,
                        path: &path,
                        ours,
                        theirs,
                    };
                    match explained(&place, &our, &their) {
                        Some(reason) => drop(reasons.insert(reason)),
                        None => unexplained.push(format!(
                            "{case} {variant} {what} {} {path}: {our} where Debezium has {their}",
                            ours["topic"]
                        )),
                    }
                }
            }
        };
        check(
            replay::snapshot(&golden, variant, &records, &mut written),
            "snapshot",
        );
        check(replay::stream(&golden, variant, &records, &mut written), "stream");
        check(replay::tables(&golden, variant, &records, &mut written), "tables");
    }
    (unexplained, reasons)
}

/// One test of all cases, since whether a reason is one shows only over all.
#[test]
fn records_are_those_of_debezium() {
    let (mut unexplained, mut reasons) = (Vec::new(), BTreeSet::new());
    for case in CASES {
        let (its, met) = differences_of(case);
        unexplained.extend(its);
        reasons.extend(met);
    }
    let count = unexplained.len();
    unexplained.truncate(40);
    assert!(
        unexplained.is_empty(),
        "{count} differences without a reason:\n{}",
        unexplained.join("\n")
    );
    let idle: Vec<&str> = differences::ALL
        .iter()
        .map(|difference| difference.reason)
        .filter(|reason| !reasons.contains(reason))
        .collect();
    assert!(idle.is_empty(), "differences that do not occur: {idle:#?}");
}

/// Heartbeats have no rows.
#[test]
fn heartbeats_are_those_of_debezium() {
    for case in ["mysql97-heartbeats", "mariadb-heartbeats"] {
        let golden = Golden::load(case);
        let (variant, properties) = golden.variants.iter().next().unwrap();
        let records = settings::records(properties, golden.connector);
        let theirs = golden.records(variant);
        let theirs: Vec<&Json> = theirs
            .iter()
            .filter(|record| record["partition"] == json!(0))
            .collect();
        assert!(theirs.len() > 2, "{case}");
        for theirs in theirs {
            let millis = theirs["value"]["payload"]["ts_ms"].as_i64().unwrap();
            let moment = super::super::Moment::from_micros(millis * 1000);
            let ours = super::super::Heartbeats::new(&records).record(moment);
            assert_eq!(Written::new().record(&ours), *theirs, "{case}");
        }
    }
}
