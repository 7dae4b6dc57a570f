//! Very many files.
use super::*;

/// In the dev profile, on two cores that others use, too, this is a matter of seconds.
const FILES: usize = 100_000;

fn read_all(bench: &mut Bench, until: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < until {
        lines.extend(bench.poll(5_000, 1_000).unwrap().0.iter().map(text));
    }
    lines
}

/// A scan took a time that grew with the square of the files: 100,000 of them took more than ten minutes.
#[test]
fn a_hundred_thousand_files_are_tracked() {
    let shared = Path::new("/dev/shm");
    let folder = match shared.is_dir() {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let mut bench = Bench::within(folder, "*/*.txt", &[]);
    for number in 0..FILES {
        let below = bench.path(&format!("{}", number % 100));
        if number < 100 {
            fs::create_dir(&below).unwrap();
        }
        fs::write(below.join(format!("{number}.txt")), format!("{number}\n")).unwrap();
    }
    let mut lines = read_all(&mut bench, FILES);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), FILES);
    bench.stop();
    // Behind a restart nothing comes again, though all offsets are looked for, and files that are gone are missed.
    for number in (0..FILES).step_by(10) {
        fs::remove_file(bench.path(&format!("{}/{number}.txt", number % 100))).unwrap();
    }
    bench.append("7/7.txt", "more\n");
    assert_eq!(read_all(&mut bench, 1), ["more"]);
    assert_eq!(bench.offsets.last_batch(), 1, "only what changed is stored");
    // Files that go while they are tracked.
    for number in (1..FILES).step_by(10) {
        fs::remove_file(bench.path(&format!("{}/{number}.txt", number % 100))).unwrap();
    }
    bench.append("8/8.txt", "more\n");
    assert_eq!(read_all(&mut bench, 1), ["more"]);
}
