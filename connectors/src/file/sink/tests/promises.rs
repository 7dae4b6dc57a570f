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
