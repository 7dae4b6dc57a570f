//! Very many files.
use super::*;

fn read_all(bench: &mut Bench, until: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < until {
        lines.extend(bench.poll(5_000, 1_000).unwrap().0.iter().map(text));
    }
    lines
}

/// A scan took a time that grew with the square of the files: 100,000 of them took more than ten minutes.
#[test]
fn ten_thousand_files_are_tracked() {
    tracks(10_000);
}

#[test]
#[ignore = "a look at so many files takes a while, and looks take a twentieth of the time only: minutes where others use the machine"]
fn a_hundred_thousand_files_are_tracked() {
    tracks(100_000);
}

#[test]
fn more_files_than_are_allowed_are_an_error() {
    let mut bench = Bench::new("*.txt", &[("max.files", "3")]);
    for number in 0..4 {
        bench.write(&format!("{number}.txt"), "");
    }
    let error = bench.error();
    assert!(
        error.contains("4 files match") && error.contains("tasks.max"),
        "{error}"
    );
}

/// How much memory the process has, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

#[test]
#[ignore = "what other tests allocate would be counted: it is run alone"]
fn a_tracked_file_takes_about_a_kibibyte() {
    const COUNT: usize = 100_000;
    let mut bench = Bench::new("*.txt", &[("read.mode", "once")]);
    for number in 0..COUNT {
        bench.write(&format!("a file with a name of usual length {number}.txt"), "");
    }
    bench.start().unwrap();
    let before = resident();
    bench.poll(10, 1000).unwrap();
    let each = (resident() - before) / COUNT;
    println!("{each} bytes a file");
    assert!(each < 2048, "{each} bytes a file");
}

fn tracks(files: usize) {
    let shared = Path::new("/dev/shm");
    let folder = match shared.is_dir() {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let mut bench = Bench::within(folder, "*/*.txt", &[]);
    for number in 0..files {
        let below = bench.path(&format!("{}", number % 100));
        if number < 100 {
            fs::create_dir(&below).unwrap();
        }
        fs::write(below.join(format!("{number}.txt")), format!("{number}\n")).unwrap();
    }
    let mut lines = read_all(&mut bench, files);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), files);
    bench.stop();
    // Behind a restart nothing comes again, though all offsets are looked for, and files that are gone are missed.
    for number in (0..files).step_by(10) {
        fs::remove_file(bench.path(&format!("{}/{number}.txt", number % 100))).unwrap();
    }
    bench.append("7/7.txt", "more\n");
    assert_eq!(read_all(&mut bench, 1), ["more"]);
    assert_eq!(bench.offsets.last_batch(), 1, "only what changed is stored");
    // Files that go while they are tracked.
    for number in (1..files).step_by(10) {
        fs::remove_file(bench.path(&format!("{}/{number}.txt", number % 100))).unwrap();
    }
    bench.append("8/8.txt", "more\n");
    assert_eq!(read_all(&mut bench, 1), ["more"]);
}
