//! Who writes, and whose offsets those are.
use super::*;
use crate::file::sink::offsets;

/// The runtime's own order of things when it deletes offsets: all that is known is forgotten.
fn forget_all(bench: &Bench) -> Vec<PartitionOffset> {
    let owned = offsets::owned(&*bench.disk, &bench.config).unwrap();
    let all: Vec<_> = owned.iter().map(|own| (own.partition.clone(), None)).collect();
    offsets::alter(&*bench.disk, &bench.config, &all).unwrap();
    owned
}

fn nexts(known: &[PartitionOffset]) -> Vec<(i32, i64)> {
    let nexts = known.iter().map(|known| (known.partition.partition, known.next));
    nexts.collect()
}

#[test]
fn an_older_owner_is_fenced() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut old, mut new) = (
        Bench::new(Arc::clone(&shared), ROLLING),
        Bench::new(shared, ROLLING),
    );
    old.start(&[partition(0)]).unwrap();
    old.put((0..3).map(|offset| line(0, offset)).collect()).unwrap();
    assert_eq!(new.start(&[partition(0)]).unwrap(), []);
    let error = old.put(vec![line(0, 3)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(
        old.flush(&[(0, 4)]).is_err(),
        "it may not say that anything is durable"
    );
    new.put((0..4).map(|offset| line(0, offset)).collect()).unwrap();
    assert_eq!(lines_of(&disk.all_files())[&0], [0, 1, 2, 3]);
}

/// An older task may open late, after its successor: no clock tells that. Whatever the turns they take, each line comes once.
#[test]
fn owners_that_take_turns_write_each_line_once() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut tasks = [
        Bench::new(Arc::clone(&shared), ROLLING),
        Bench::new(shared, ROLLING),
    ];
    let mut next = [0_i64; 2];
    for turn in 0..60_usize {
        let which = (turn * turn / 3) % 2;
        if turn % 3 == 0 {
            let known = tasks[which].start(&[partition(0)]).unwrap();
            next[which] = known.first().map_or(0, |known| known.next);
        }
        let batch = (next[which]..next[which] + 3).map(|offset| line(0, offset));
        match tasks[which].put(batch.collect()) {
            Ok(_) => next[which] += 3,
            Err(error) => assert_ne!(error.kind(), ErrorKind::BadRecord, "{error}"),
        }
    }
    let known = tasks[0].start(&[partition(0)]).unwrap();
    let durable = known.first().expect("something was written").next;
    assert!(durable > 12, "{durable}");
    assert_eq!(lines_of(&disk.all_files())[&0], (0..durable).collect::<Vec<_>>());
}

/// A connector went on from the offsets that one of another name had left beside the file, and passed over all that was before.
#[test]
fn a_connector_of_another_name_begins_where_its_group_says() {
    for keys in [SINGLE, ROLLING] {
        let disk = SimulatedDisk::default();
        disk.kill();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut first = Bench::new(Arc::clone(&shared), keys).named("first");
        first.start(&[partition(0)]).unwrap();
        first.put((0..8).map(|offset| line(0, offset)).collect()).unwrap();
        first.flush(&[(0, 8)]).unwrap();
        assert_eq!(nexts(&offsets::owned(&*shared, &first.config).unwrap()), [(0, 8)]);
        let mut second = Bench::new(Arc::clone(&shared), keys).named("second");
        assert_eq!(
            offsets::owned(&*shared, &second.config).unwrap(),
            [],
            "they are another's"
        );
        offsets::alter(&*shared, &second.config, &[(partition(0), None)]).unwrap();
        assert_eq!(
            nexts(&offsets::owned(&*shared, &first.config).unwrap()),
            [(0, 8)],
            "and stay"
        );
        // What was not flushed is behind the length that the manifest says: it is cut for the other connector, too.
        first.put(vec![line(0, 8)]).unwrap();
        disk.kill();
        assert_eq!(second.start(&[partition(0)]).unwrap(), [], "{keys:?}");
        second
            .put((0..4).map(|offset| line(0, offset)).collect())
            .unwrap();
        second.flush(&[(0, 4)]).unwrap();
        second.close(false).unwrap();
        second.stop();
        let mut expected: Vec<i64> = (0..8).chain(0..4).collect();
        expected.sort_unstable();
        assert_eq!(lines_of(&disk.all_files())[&0], expected, "{keys:?}");
        assert_eq!(nexts(&second.start(&[partition(0)]).unwrap()), [(0, 4)]);
    }
}

#[test]
fn two_connectors_that_write_to_one_folder_are_told() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut first = Bench::new(Arc::clone(&shared), ROLLING).named("first");
    let mut second = Bench::new(shared, ROLLING).named("second");
    first.start(&[partition(0)]).unwrap();
    second.start(&[partition(0)]).unwrap();
    let error = first
        .put((0..8).map(|offset| line(0, offset)).collect())
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::UserConfig,
        "started again it would fence the other"
    );
    assert!(error.to_string().contains("the connector second"), "{error}");
}

/// `DELETE /connectors/x/offsets` looked at the group only: what a sink had written before its first commit stayed known.
#[test]
fn offsets_are_set_and_forgotten() {
    for keys in [SINGLE, ROLLING] {
        let disk = SimulatedDisk::default();
        disk.kill();
        let mut bench = Bench::new(Arc::new(disk.clone()), keys);
        let both = [partition(0), partition(1)];
        let write = |bench: &mut Bench, from: i64| {
            let lines = (from..8).flat_map(|offset| [line(0, offset), line(1, offset)]);
            bench.put(lines.collect()).unwrap();
            bench.flush(&[(0, 8), (1, 8)]).unwrap();
            bench.close(false).unwrap();
            bench.stop();
        };
        offsets::alter(&*bench.disk, &bench.config, &[(partition(0), Some(3))]).unwrap();
        assert_eq!(bench.start(&both).unwrap(), [], "what is not there is not made");
        write(&mut bench, 0);
        offsets::alter(&*bench.disk, &bench.config, &[(partition(0), Some(5))]).unwrap();
        assert_eq!(nexts(&bench.start(&both).unwrap()), [(0, 5), (1, 8)]);
        bench.put((5..8).map(|offset| line(0, offset)).collect()).unwrap();
        bench.flush(&[(0, 8), (1, 8)]).unwrap();
        bench.close(false).unwrap();
        bench.stop();
        assert_eq!(nexts(&forget_all(&bench)), [(0, 8), (1, 8)]);
        assert_eq!(bench.start(&both).unwrap(), [], "{keys:?}");
        write(&mut bench, 0);
        let found = lines_of(&disk.all_files());
        assert_eq!(
            (found[&0].len(), found[&1].len()),
            (19, 16),
            "nothing that was written is lost"
        );
    }
}

/// Offsets that are set while a task still hangs are not overwritten by it.
#[test]
fn who_sets_offsets_fences_what_still_runs() {
    let disk = SimulatedDisk::default();
    disk.kill();
    let mut rolling = Bench::new(Arc::new(disk), ROLLING);
    rolling.start(&[partition(0)]).unwrap();
    rolling
        .put((0..8).map(|offset| line(0, offset)).collect())
        .unwrap();
    assert_eq!(forget_all(&rolling).len(), 1);
    let late = rolling.put((8..12).map(|offset| line(0, offset)).collect());
    assert!(late.is_err());
    assert_eq!(offsets::owned(&*rolling.disk, &rolling.config).unwrap(), []);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let mut single = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    single.start(&[partition(0)]).unwrap();
    single.put(vec![line(0, 0)]).unwrap();
    single.flush(&[(0, 1)]).unwrap();
    let locked = offsets::alter(&RealDisk, &single.config, &[(partition(0), None)]).unwrap_err();
    assert!(locked.to_string().contains("locked"), "{locked}");
    single.stop();
    let altered = FileSink.alter_offsets(&single.config, &[(partition(0), None)]);
    altered.unwrap();
    assert_eq!(FileSink.owned_offsets(&single.config).unwrap(), []);
}

#[test]
fn a_manifest_of_before_names_were_written_down_holds_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    std::fs::write(&path, "0:0\n0:1\ntorn").unwrap();
    let manifest = r#"{"epoch":1,"owner":"x","offsets":[{"topic":"t","partition":0,"next":2}],"length":8,"writing":true}"#;
    std::fs::write(folder.path().join(".out.txt.manifest"), manifest).unwrap();
    let mut bench = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    assert_eq!(nexts(&bench.start(&[partition(0)]).unwrap()), [(0, 2)]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0:0\n0:1\n");
}

#[test]
fn a_single_file_is_kafkas_and_keeps_what_others_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    std::fs::write(&path, "before\n").unwrap();
    let mut bench = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    assert_eq!(bench.start(&[partition(0)]).unwrap(), []);
    bench
        .put(vec![
            line(0, 0),
            record("t", 0, 1, Datum::schemaless(Value::Null)),
        ])
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\n0:0\nnull\n",
        "it shows at once"
    );
    let mut second = Bench::new(Arc::new(RealDisk), &[("file", path.to_str().unwrap())]);
    assert!(
        second
            .start(&[partition(0)])
            .unwrap_err()
            .to_string()
            .contains("locked")
    );
    assert_eq!(bench.flush(&[(0, 2)]).unwrap()[0].next, 2);
    bench.put(vec![line(0, 2)]).unwrap();
    bench.task = FileSinkTask::default();
    let known = bench.start(&[partition(0)]).unwrap();
    assert_eq!(known[0].next, 2);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\n0:0\nnull\n",
        "what was not flushed comes again"
    );
    bench.put(vec![line(0, 1), line(0, 2)]).unwrap();
    bench.flush(&[(0, 3)]).unwrap();
    bench.close(false).unwrap();
    bench.stop();
    crate::file::source::tests::append(&path, "by hand\n");
    bench.start(&[partition(0)]).unwrap();
    bench.put(vec![line(0, 3)]).unwrap();
    let content = std::fs::read_to_string(&path).unwrap();
    assert_eq!(content, "before\n0:0\nnull\n0:2\nby hand\n0:3\n");
    bench.stop();
}
