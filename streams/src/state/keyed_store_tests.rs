//! Records of custom operators.
use super::*;

fn store_of<S: Serialize + DeserializeOwned>(meaning: &str) -> KeyedStore<S> {
    KeyedStore::new("log".into(), 0, meaning, Share::of(&Arc::default()))
}

fn change(state: Option<f64>, timers: &[i64]) -> KeyChange<f64> {
    KeyChange {
        state: Some(state),
        timers: Some(timers.iter().copied().collect()),
    }
}

fn values(records: &RecordBuffer) -> Vec<Option<String>> {
    let values = records.records().map(|record| record.value);
    values
        .map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
        .collect()
}

#[test]
fn keys_are_written_once_an_epoch_and_deleted_when_empty() {
    let mut store = store_of::<f64>("of a test");
    let (a, b): (KeyBytes, KeyBytes) = ([1, 1].into(), [1, 2].into());
    store.apply(&a, change(Some(0.5), &[7, 3]));
    store.apply(&a, change(Some(1.5), &[3, 9]));
    store.apply(&b, change(Some(2.0), &[]));
    store.apply(&b, change(None, &[]));
    let records = store.changes().unwrap().unwrap();
    let first = r#"{"state":1.5,"timers":[3,9]}"#.to_owned();
    assert_eq!(values(&records), [Some("v1 of a test".to_owned()), Some(first)]);
    assert_eq!(store.size(), (1, 30));
    assert!(store.changes().unwrap().is_none());

    let mut next = store_of::<f64>("of a test");
    for record in records.records() {
        next.restore(record.key, record.value).unwrap();
    }
    next.end_restore().unwrap();
    assert_eq!(next.size(), (1, 30));
    assert!(next.take_due(Watermark::NONE).unwrap().is_none());
    assert!(next.take_due(Watermark::at(2)).unwrap().is_none());
    assert_eq!(
        next.take_due(Watermark::at(8)).unwrap(),
        Some((3, Arc::clone(&a)))
    );
    assert_eq!(next.take_due(Watermark::at(8)).unwrap(), None);
    next.apply(&a, change(None, &[]));
    assert_eq!(values(&next.changes().unwrap().unwrap()), [None]);
    assert_eq!(next.size(), (0, 0));
    assert!(next.take_due(Watermark::at(100)).unwrap().is_none());
}

#[test]
fn what_cannot_be_read_again_is_not_written() {
    let mut store = store_of::<f64>("of a test");
    store.apply(&[1].into(), change(Some(f64::INFINITY), &[]));
    let error = store.changes().unwrap_err().to_string();
    assert!(
        error.contains("f64") && error.contains("cannot be read"),
        "{error}"
    );

    let mut store = store_of::<f64>("of a test");
    let error = store
        .restore(Some(&[1]), Some(br#"{"state":"x","timers":[]}"#))
        .unwrap_err();
    assert!(error.to_string().contains("it is no f64"), "{error}");
    let error = store.restore(Some(MEANING_KEY), Some(b"v1 other")).unwrap_err();
    assert!(error.to_string().contains("v1 other"), "{error}");

    let mut units = store_of::<()>("of units");
    units
        .restore(Some(&[1]), Some(br#"{"state":null,"timers":[]}"#))
        .unwrap();
    assert_eq!(units.get(&[1]).0, Some(&()));
    assert!(
        units
            .restore(None, None)
            .unwrap_err()
            .to_string()
            .contains("no key")
    );
}
