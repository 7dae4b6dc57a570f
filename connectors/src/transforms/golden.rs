//! What Debezium's own transforms make of the same records: `golden/debezium/transforms.jsonl.gz`, written by `tests/mysql/debezium transforms`.
use std::io::Read;

use bytes::Bytes;
use millstream_connect::config::{ConfigMap, DefaultValue};
use millstream_connect::plugin::{Converter, Encoded, Plugin, Registry};
use millstream_connect::record::{Datum, Header, Record};
use serde_json::{Value as Json, json};

const GOLDEN: &[u8] = include_bytes!("../../golden/debezium/transforms.jsonl.gz");

fn lines() -> Vec<Json> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(GOLDEN)
        .read_to_string(&mut text)
        .unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn config(json: &Json) -> ConfigMap {
    let all = json.as_object().unwrap().iter();
    all.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// Records as the golden file has them: with Kafka Connect's converter, whose schemas say all that matters.
struct Records(Box<dyn Converter>);

impl Records {
    fn new() -> Self {
        let plain = [("schemas.enable", "true"), ("replace.null.with.default", "false")];
        let plain: ConfigMap = plain
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let registry = Registry::built_in();
        let plugin = registry
            .converter("org.apache.kafka.connect.json.JsonConverter")
            .unwrap();
        Self(plugin.new_converter(&plain, false).unwrap())
    }

    fn read_datum(&mut self, json: &Json) -> Datum {
        let bytes = (!json.is_null()).then(|| Bytes::from(json.to_string()));
        self.0.decode("", bytes.as_ref()).unwrap()
    }

    fn read(&mut self, json: &Json) -> Record {
        let headers = json["headers"].as_array().into_iter().flatten();
        let headers = headers.map(|header| Header {
            name: header["name"].as_str().unwrap().into(),
            datum: self.read_datum(&header["value"]),
        });
        let headers = headers.collect();
        Record {
            topic: json["topic"].as_str().unwrap().into(),
            partition: json["partition"]
                .as_i64()
                .map(|number| i32::try_from(number).unwrap()),
            key: self.read_datum(&json["key"]),
            value: self.read_datum(&json["value"]),
            headers,
            timestamp: json["timestamp"].as_i64(),
            origin: None,
        }
    }

    fn write_datum(&mut self, datum: &Datum) -> Result<Json, String> {
        let mut bytes = Vec::new();
        match self.0.encode("", datum, &mut bytes) {
            Ok(Encoded::Null) => Ok(Json::Null),
            Ok(Encoded::Bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn write(&mut self, record: &Record) -> Result<Json, String> {
        let mut json = json!({ "topic": &*record.topic, "key": self.write_datum(&record.key)?, "value": self.write_datum(&record.value)? });
        if let Some(partition) = record.partition {
            json["partition"] = partition.into();
        }
        if let Some(timestamp) = record.timestamp {
            json["timestamp"] = timestamp.into();
        }
        let headers = record.headers.iter();
        let headers = headers
            .map(|header| Ok(json!({ "name": &*header.name, "value": self.write_datum(&header.datum)? })))
            .collect::<Result<Vec<Json>, String>>()?;
        if !headers.is_empty() {
            json["headers"] = headers.into();
        }
        Ok(json)
    }
}

/// Where ours does something else, and why: part of the class's name, of the configuration, and what Debezium does.
struct Difference {
    class: &'static str,
    config: &'static str,
    debezium: &'static str,
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[];

fn registry() -> Registry {
    crate::register(Registry::built_in())
}

#[test]
fn records_come_out_as_from_debezium() {
    let (registry, lines) = (registry(), lines());
    let records: Vec<&Json> = lines.iter().filter_map(|line| line.get("record")).collect();
    let mut converter = Records::new();
    let (mut cases, mut wrong, mut met) = (0, Vec::new(), vec![0; DIFFERENCES.len()]);
    for line in lines.iter().filter(|line| line.get("class").is_some()) {
        let class = line["class"].as_str().unwrap();
        let input = records[usize::try_from(line["input"].as_u64().unwrap()).unwrap()];
        let record = converter.read(input);
        let plugin = registry.transform(class).unwrap();
        let ours = plugin
            .new_transform(&config(&line["config"]))
            .and_then(|mut transform| transform.apply(record))
            .map_err(|error| error.to_string())
            .and_then(|out| out.map_or(Ok(Json::Null), |out| converter.write(&out)));
        let debeziums = match line.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(line["output"].clone()),
        };
        cases += 1;
        let same = match (&ours, &debeziums) {
            (Ok(ours), Ok(debeziums)) => ours == debeziums,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if !same {
            let says = debeziums.as_ref().map_or_else(Clone::clone, Json::to_string);
            let listed = DIFFERENCES.iter().position(|its| {
                class.ends_with(its.class)
                    && line["config"].to_string().contains(its.config)
                    && says.contains(its.debezium)
            });
            match listed {
                Some(index) => met[index] += 1,
                None => wrong.push(format!(
                    "{class} {}\n  of {input}\n  ours  {ours:?}\n  their {debeziums:?}",
                    line["config"]
                )),
            }
        }
    }
    assert!(cases > 5000, "{cases}");
    let shown = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases differ:\n{shown}",
        wrong.len()
    );
    for (difference, met) in DIFFERENCES.iter().zip(met) {
        assert!(met > 0, "nothing differs any more where {}", difference.why);
    }
}

/// What ours refuses and Debezium does not, with the reason.
const REFUSED: &[(&str, &str)] = &[];

#[test]
fn what_debezium_refuses_is_refused() {
    let registry = registry();
    for line in lines().iter().filter(|line| line.get("refuses").is_some()) {
        let class = line["refuses"].as_str().unwrap();
        let ours = registry
            .transform(class)
            .unwrap()
            .new_transform(&config(&line["config"]));
        let listed = REFUSED
            .iter()
            .any(|(config, _)| line["config"].to_string().contains(config));
        let Err(error) = ours else {
            assert!(line["error"].is_null(), "{line}");
            assert!(!listed, "{line}");
            continue;
        };
        assert!(listed || !line["error"].is_null(), "{line}: {error}");
        let error = error.to_string();
        // What is wrong is named, in Debezium's words where it has some that say more.
        let named = line["config"]
            .as_object()
            .unwrap()
            .keys()
            .any(|key| error.contains(key.as_str()));
        assert!(named || error.contains("topic.re"), "{line}: {error}");
        for message in line["messages"].as_array().unwrap() {
            assert!(error.contains(message.as_str().unwrap()), "{line}: {error}");
        }
    }
}

#[test]
fn keys_are_declared_as_in_debezium() {
    let registry = registry();
    let all = registry.all();
    let mut plugins = 0;
    for line in lines().iter().filter(|line| line.get("declares").is_some()) {
        let class = line["declares"].as_str().unwrap();
        let (_, plugin): &(_, &dyn Plugin) = all.iter().find(|(_, plugin)| plugin.class() == class).unwrap();
        let keys = plugin.config_def();
        for java in line["keys"].as_array().unwrap() {
            let name = java["name"].as_str().unwrap();
            let key = keys.key(name).unwrap_or_else(|| panic!("{class} has no {name}"));
            let default = match &key.default {
                DefaultValue::Value(text) => Json::from(text.as_str()),
                DefaultValue::Required | DefaultValue::Null => Json::Null,
            };
            assert_eq!(
                format!("{:?}", key.kind).to_uppercase(),
                java["type"],
                "{class} {name}"
            );
            assert_eq!(default, java["default"], "{class} {name}");
            assert_eq!(
                format!("{:?}", key.importance).to_uppercase(),
                java["importance"],
                "{class} {name}"
            );
            assert_eq!(
                format!("{:?}", key.width).to_uppercase(),
                java["width"],
                "{class} {name}"
            );
            assert_eq!(json!(key.group), java["group"], "{class} {name}");
            assert_eq!(json!(key.order_in_group), java["order"], "{class} {name}");
        }
        plugins += 1;
    }
    assert_eq!(plugins, 3);
}
