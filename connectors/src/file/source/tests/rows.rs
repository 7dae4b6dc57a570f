//! Rows of JSON and CSV.
use super::*;

#[test]
fn lines_of_json() {
    let mut bench = Bench::new("a.jsonl", &[("format", "jsonl")]);
    bench.write(
        "a.jsonl",
        "{\"a\":1,\"b\":[1.5,null,true,\"\\u00e4\"]}\n\n18446744073709551615\n\"x\"\nnull\n",
    );
    let records = bench.drain().unwrap();
    let array = Value::Array(vec![
        Value::Float64(1.5),
        Value::Null,
        Value::Boolean(true),
        Value::from("ä"),
    ]);
    let map = Value::Map(vec![
        (Value::from("a"), Value::Int64(1)),
        (Value::from("b"), array),
    ]);
    let values: Vec<Value> = records.into_iter().map(|record| record.value.value).collect();
    assert_eq!(
        values,
        [
            map,
            Value::Float64(18446744073709551615.0),
            Value::from("x"),
            Value::Null
        ]
    );
    bench.append("a.jsonl", "{\"a\":\n");
    let error = bench.error();
    assert!(error.contains("no JSON") && error.contains("byte 68"), "{error}");
    let mut bench = Bench::new("a.jsonl", &[("format", "jsonl"), ("invalid.rows", "skip")]);
    bench.write("a.jsonl", "{]\n1\n");
    assert_eq!(bench.lines(), ["Int64(1)"]);
}

#[test]
fn rows_of_csv() {
    let keys = [("format", "csv"), ("csv.types", "id:int64, price:float64")];
    let mut bench = Bench::new("*.csv", &keys);
    bench.write(
        "a.csv",
        "\u{feff}id,name,price\r\n1,\"a, \"\"b\"\"\nc\",1.5\r\n2,,\n",
    );
    let fields = |records: Vec<Record>| -> Vec<Vec<Value>> {
        let structs = records.into_iter().map(|record| {
            record
                .value
                .schema
                .as_ref()
                .unwrap()
                .check(&record.value.value)
                .unwrap();
            match record.value.value {
                Value::Struct(fields) => fields.into_values(),
                other => panic!("{other:?}"),
            }
        });
        structs.collect()
    };
    assert_eq!(
        fields(bench.drain().unwrap()),
        [
            vec![Value::Int64(1), Value::from("a, \"b\"\nc"), Value::Float64(1.5)],
            vec![Value::Int64(2), Value::Null, Value::Null],
        ]
    );
    bench.stop();
    bench.append("a.csv", "3,\"\",2\n");
    assert_eq!(
        fields(bench.drain().unwrap()),
        [vec![Value::Int64(3), Value::from(""), Value::Float64(2.0)]]
    );
    bench.append("a.csv", "4,x\n");
    assert!(bench.error().contains("it has 2 fields"));
    let keys = [
        ("format", "csv"),
        ("csv.header", "false"),
        ("csv.names", "a,b"),
        ("csv.delimiter", ";"),
        ("invalid.rows", "skip"),
    ];
    let mut bench = Bench::new("a.csv", &keys);
    bench.write("a.csv", "1;2\n3\n");
    assert_eq!(
        fields(bench.drain().unwrap()),
        [[Value::from("1"), Value::from("2")]]
    );
    for wrong in [
        ("csv.types", "a"),
        ("csv.delimiter", "ab"),
        ("csv.header", "false"),
        ("multiline.start", "x"),
    ] {
        assert!(
            Bench::new("a.csv", &[("format", "csv"), wrong]).start().is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_stray_quote_is_of_its_row_only() {
    let keys = [("format", "csv"), ("invalid.rows", "skip")];
    let text = "id,size\n1,a\n2,5\" pipe\n3,\"6\" pipe\n4,\"b\n\"\"c\"\n5,d\n";
    let sizes = |records: Vec<Record>| -> Vec<String> {
        let sizes = records.iter().map(|record| match &record.value.value {
            Value::Struct(fields) => fields.get("size").and_then(Value::as_str).unwrap().to_owned(),
            other => panic!("{other:?}"),
        });
        sizes.collect()
    };
    for mode in ["tail", "once"] {
        let mut bench = Bench::new("*.csv", &[&keys[..], &[("read.mode", mode)]].concat());
        bench.write("a.csv", text);
        assert_eq!(
            sizes(bench.drain().unwrap()),
            ["a", "5\" pipe", "b\n\"c", "d"],
            "{mode}"
        );
    }
    let mut bench = Bench::new("*.csv", &[("format", "csv")]);
    bench.write("a.csv", text);
    let error = bench.error();
    assert!(
        error.contains("byte 22 of") && error.contains("closing quote"),
        "{error}"
    );
    // A quote that nothing closes takes no more than its line.
    let mut bench = Bench::new("*.csv", &[&keys[..], &[("read.mode", "once")]].concat());
    bench.write("a.csv", "id,size\n1,a\n2,\"b\n3,c\n");
    assert_eq!(sizes(bench.drain().unwrap()), ["a", "c"]);
}
