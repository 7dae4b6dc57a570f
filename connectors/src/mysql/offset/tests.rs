use proptest::prelude::*;
use serde_json::json;

use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn stored(value: Json) -> SourceOffset {
    serde_json::from_value(value).unwrap()
}

fn read(value: Json) -> Offset {
    Offset::from_stored(&stored(value)).unwrap()
}

fn position(file: &str, position: u64, gtids: &str) -> LogPosition {
    LogPosition {
        gtids: Some(gtids.parse().unwrap()),
        ..LogPosition::at(file, position)
    }
}

/// What Debezium 3.6 stores between transactions, within one, and while a snapshot goes on.
#[test]
fn offsets_of_debezium_are_understood() {
    let offset = read(json!({
        "transaction_id": null, "ts_sec": 1_700_000_000, "file": "mysql-bin.000003", "pos": 1234, "gtids": format!("{UUID}:1-7,\n{UUID}:9"),
        "server_id": 223_344, "snapshot_completed": true, "snapshot": "INITIAL"
    }));
    let expected = position("mysql-bin.000003", 1234, &format!("{UUID}:1-7:9"));
    assert_eq!(offset.resume, Resume::at(expected));
    assert_eq!(
        (offset.server_id, offset.ts_sec),
        (Some(223_344), Some(1_700_000_000))
    );
    assert_eq!(offset.snapshot, Snapshots::At(SnapshotState::default()));
    let offset = read(json!({
        "transaction_id": "file=mysql-bin.000003,pos=154", "transaction_data_collection_order_shop.orders": 2, "file": "mysql-bin.000003", "pos": 154,
        "event": 3, "row": 1
    }));
    assert_eq!(
        (offset.resume.event, offset.resume.row, offset.resume.transaction),
        (3, 1, None)
    );
    let offset = read(
        json!({"file": "bin.000001", "pos": 4, "gtids": "0-1-5,2-1-9", "event": 1, "transaction_id": "0-1-6"}),
    );
    assert!(matches!(offset.resume.position.gtids, Some(Gtids::Mariadb(_))));
    assert_eq!(offset.resume.transaction.as_deref(), Some("0-1-6"));
    for snapshot in [json!(true), json!("INITIAL"), json!("true")] {
        let offset = read(json!({"file": "bin.000001", "pos": 4, "snapshot": snapshot}));
        assert_eq!(offset.snapshot, Snapshots::Unfinished);
    }
    for snapshot in [json!(false), json!("false"), json!("last"), json!(null)] {
        let offset = read(json!({"file": "bin.000001", "pos": 4, "snapshot": snapshot}));
        assert_eq!(offset.snapshot, Snapshots::At(SnapshotState::default()));
    }
}

/// Who reads the log from `file` and `pos` on loses nothing, whatever it knows of the rest.
#[test]
fn prepared_transactions_come_before_what_is_delivered() {
    let mut offset = Offset::at(position("bin.000004", 900, &format!("{UUID}:1-9")));
    offset.resume.read_from = Some(position("bin.000003", 154, &format!("{UUID}:1-4")));
    offset.resume.row = 7;
    offset.resume.transaction = Some(format!("{UUID}:10").into());
    let stored = offset.to_stored();
    assert_eq!(
        Json::Object(stored.0.clone()),
        json!({
            "file": "bin.000003", "pos": 154, "gtids": format!("{UUID}:1-4"),
            "delivered": {"file": "bin.000004", "pos": 900, "gtids": format!("{UUID}:1-9"), "row": 7, "transaction_id": format!("{UUID}:10")}
        })
    );
    assert_eq!(Offset::from_stored(&stored).unwrap(), offset);
}

#[test]
fn positions_have_64_bits() {
    let offset = Offset::at(LogPosition::at("bin.000001", u64::MAX));
    assert_eq!(Offset::from_stored(&offset.to_stored()).unwrap(), offset);
}

#[test]
fn what_is_no_offset_is_refused_with_its_field() {
    let good = json!({"file": "bin.000001", "pos": 4});
    for (field, value, says) in [
        ("file", json!(7), "the offset's field file is 7, not a text"),
        (
            "pos",
            json!("154"),
            "the offset's field pos is \"154\", not a whole number from 0",
        ),
        ("pos", json!(-1), "field pos is -1, not a whole number"),
        ("pos", json!(1.5), "field pos is 1.5"),
        ("row", json!(1e300), "field row is 1e+300"),
        ("gtids", json!("x:1"), "field gtids: \"x:1\" is no set of GTIDs"),
        ("gtids", json!("0-1"), "field gtids: \"0-1\" is no"),
        ("server_id", json!(1_u64 << 32), "not a number of 32 bits"),
        ("snapshot", json!([]), "not a text or a boolean"),
        ("chunks", json!("x"), "not an object"),
        ("chunks", json!({"runs": 1}), "no state of a snapshot"),
        ("delivered", json!({}), "says no place"),
        (
            "delivered",
            json!({"file": "bin.000001", "raw": 1}),
            "a field \"raw\", which is not known; there are file, pos, gtids, row",
        ),
        ("position", json!(4), "a field \"position\", which is not known"),
        ("file", json!(null), "says no place"),
    ] {
        let mut fields = good.clone();
        fields[field] = value;
        let error = Offset::check("p", &partition("p"), Some(&stored(fields.clone()))).unwrap_err();
        assert!(error.to_string().contains(says), "{fields}: {error}");
    }
    assert_eq!(Offset::check("p", &partition("p"), Some(&stored(good))), Ok(()));
    assert_eq!(
        Offset::check("p", &partition("p"), Some(&stored(json!({"gtids": "0-1-5"})))),
        Ok(())
    );
    assert_eq!(Offset::check("p", &partition("p"), None), Ok(()));
}

#[test]
fn partitions_of_others_are_refused() {
    let place = stored(json!({"file": "bin.000001", "pos": 4}));
    for other in [
        partition("q"),
        SourcePartition::new(),
        partition("p").with("database", "d"),
    ] {
        let error = Offset::check("p", &other, Some(&place)).unwrap_err().to_string();
        assert!(error.contains("{\"server\": \"p\"}"), "{error}");
    }
    let table = table_partition("p", "shop.orders");
    assert_eq!(Offset::check("p", &table, None), Ok(()));
    assert_eq!(
        Offset::check("p", &table, Some(&place)),
        Err(OffsetError::Description)
    );
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        Just(Json::from(format!("{UUID}:1-5"))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map(prop::sample::select(FIELDS.to_vec()), inner, 0..6).prop_map(
                |fields| fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

proptest! {
    #[test]
    fn any_fields_are_read_or_refused(fields in prop::collection::hash_map(prop::sample::select(FIELDS.to_vec()), any_json(), 0..8)) {
        let fields = SourceOffset(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        if let Ok(offset) = Offset::from_stored(&fields) {
            let again = Offset::from_stored(&offset.to_stored()).unwrap();
            prop_assert_eq!(again, offset);
        }
        let _ = Offset::check("p", &partition("p"), Some(&fields));
    }

    #[test]
    fn offsets_come_back(
        file in "[a-z]{1,8}\\.[0-9]{6}", pos in 4_u64.., row in 0_u64.., event in 0_u64..4, mariadb: bool, held: bool, number in 1_u64..1000, uuid: Option<u32>,
    ) {
        let gtids = if mariadb { format!("0-1-{number}") } else { format!("{UUID}:1-{number}") };
        let mut offset = Offset::at(position(&file, pos, &gtids));
        offset.resume.event = event;
        offset.resume.row = row;
        offset.resume.transaction = (row > 0 || event > 0).then(|| format!("{UUID}:{}", number + 1).into());
        offset.resume.read_from = held.then(|| LogPosition::at(file, pos / 2 + 4));
        offset.server_id = uuid;
        offset.server_uuid = uuid.map(|uuid| uuid.to_string());
        offset.ts_sec = uuid.map(u64::from);
        if mariadb {
            offset.snapshot = Snapshots::At(SnapshotState::initial());
        }
        prop_assert_eq!(Offset::from_stored(&offset.to_stored()).unwrap(), offset);
    }
}
