//! What is durable is what was flushed, and no more.
use super::*;

/// Takes ten records, of which four are flushed, loses its partitions, and takes what comes again. Gives what is there.
fn loses_membership(keys: &[(&str, &str)], stops: bool) -> Vec<i64> {
    let disk = SimulatedDisk::default();
    disk.kill();
    let mut bench = Bench::new(Arc::new(disk.clone()), keys);
    let both = [partition(0), partition(1)];
    bench.start(&both).unwrap();
    bench.put((0..4).map(|offset| line(0, offset)).collect()).unwrap();
    let committed = bench.flush(&[(0, 4)]).unwrap();
    bench
        .put((4..10).map(|offset| line(0, offset)).collect())
        .unwrap();
    bench.close(true).unwrap();
    let known = match stops {
        true => {
            bench.stop();
            bench.start(&both).unwrap()
        }
        false => bench.open(&both).unwrap(),
    };
    let next = known.first().unwrap_or(&committed[0]).next;
    bench
        .put((next..15).map(|offset| line(0, offset)).collect())
        .unwrap();
    bench.flush(&[(0, 15)]).unwrap();
    bench.close(false).unwrap();
    bench.stop();
    lines_of(&disk.all_files())[&0].clone()
}

/// Lines that were written behind the last flush stayed when membership was lost, and came again: all of them were there twice.
#[test]
fn lost_membership_repeats_nothing() {
    for keys in [SINGLE, ROLLING, PARTITIONED] {
        for stops in [false, true] {
            assert_eq!(
                loses_membership(keys, stops),
                (0..15).collect::<Vec<_>>(),
                "{keys:?} {stops}"
            );
        }
    }
}

/// Records 0 to 20 as rows, of which the tenth has no columns.
fn rows() -> Vec<Record> {
    let schema = formats::order_schema();
    let row = |offset| match offset {
        10 => record("t", 0, offset, Datum::text("no columns")),
        _ => {
            let row = formats::order(&schema, offset, Value::Null);
            record("t", 0, offset, row.value)
        }
    };
    (0..20).map(row).collect()
}

const ROWS: &[(&str, &str)] = &[("directory", "/out"), ("format", "csv"), ("roll.records", "3")];

/// The numbers of the rows that are in complete files.
fn rows_of(disk: &SimulatedDisk) -> Vec<i64> {
    let files = disk.all_files();
    let complete = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "csv"));
    let mut rows = Vec::new();
    for (_, content) in complete {
        let text = String::from_utf8(content.clone()).unwrap();
        let numbers = text.lines().skip(1).map(|line| line.split(',').next().unwrap());
        rows.extend(numbers.map(|number| number.parse::<i64>().unwrap()));
    }
    rows.sort_unstable();
    rows
}

fn refused(bench: &mut Bench) {
    let refused = bench.put(rows()).unwrap();
    let indices: Vec<_> = refused.iter().map(|refused| refused.index).collect();
    assert_eq!(indices, [10]);
}

/// With `errors.tolerance=none`, the record that was refused was passed over when the task was started again.
#[test]
fn a_refused_record_is_never_behind_the_manifest() {
    for (lost, stops) in [(true, true), (false, true), (false, false)] {
        let disk = SimulatedDisk::default();
        disk.kill();
        let mut bench = Bench::new(Arc::new(disk.clone()), ROWS);
        bench.start(&[partition(0)]).unwrap();
        refused(&mut bench);
        assert_eq!(rows_of(&disk), (0..9).collect::<Vec<_>>());
        if stops {
            bench.close(lost).unwrap();
            bench.stop();
        } else {
            disk.kill();
        }
        assert_eq!(bench.start(&[partition(0)]).unwrap()[0].next, 9);
        // Nor is it when the sink is asked to flush what was taken before.
        refused_again(&mut bench);
        assert_eq!(bench.flush(&[(0, 9)]).unwrap()[0].next, 9);
        bench.close(false).unwrap();
        assert_eq!(bench.open(&[partition(0)]).unwrap()[0].next, 9);
        assert_eq!(rows_of(&disk), (0..9).collect::<Vec<_>>());
    }
}

fn refused_again(bench: &mut Bench) {
    let refused = bench.put(rows().split_off(9)).unwrap();
    assert_eq!(refused[0].index, 1);
}

/// With tolerance, its dead letter is safe when the sink is called again.
#[test]
fn a_call_behind_a_refused_record_goes_on() {
    let expected: Vec<i64> = (0..20).filter(|offset| *offset != 10).collect();
    for flushes in [true, false] {
        let disk = SimulatedDisk::default();
        disk.kill();
        let mut bench = Bench::new(Arc::new(disk.clone()), ROWS);
        bench.start(&[partition(0)]).unwrap();
        refused(&mut bench);
        match flushes {
            true => assert_eq!(bench.flush(&[(0, 20)]).unwrap()[0].next, 19),
            false => assert_eq!(bench.put(Vec::new()).unwrap().len(), 0),
        }
        assert_eq!(rows_of(&disk), expected[..18]);
        disk.kill();
        assert_eq!(bench.start(&[partition(0)]).unwrap()[0].next, 19);
        bench.put(rows().split_off(19)).unwrap();
        bench.flush(&[(0, 20)]).unwrap();
        bench.close(false).unwrap();
        assert_eq!(rows_of(&disk), expected);
    }
}

/// Lines that no flush covers are cut off, also when a task ends as if all were well.
#[test]
fn what_was_not_flushed_comes_again() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let mut bench = Bench::new(Arc::new(disk.clone()), SINGLE);
    bench.start(&[partition(0)]).unwrap();
    bench.put((0..4).map(|offset| line(0, offset)).collect()).unwrap();
    bench.flush(&[(0, 4)]).unwrap();
    bench.put((4..8).map(|offset| line(0, offset)).collect()).unwrap();
    assert_eq!(
        bench.flush(&[(0, 4)]).unwrap(),
        [],
        "the file cannot be told without the rest"
    );
    bench.close(false).unwrap();
    bench.stop();
    assert_eq!(bench.start(&[partition(0)]).unwrap()[0].next, 4);
    assert_eq!(lines_of(&disk.all_files())[&0], [0, 1, 2, 3]);
}
