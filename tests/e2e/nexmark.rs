//! A slice of the Nexmark bench: over a few events, the job's queries answer as DuckDB does.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::cluster::Cluster;
use millstream_tests::nexmark::{Files, Layout};
use millstream_tests::program::{self, Finished, SpawnTied, output_of, python, repository};

const LAYOUT: Layout = Layout {
    events: 20_000,
    partitions: 2,
    seed: 1,
};
const PREFIX: &str = "nexmark-";

/// A running query.
struct Job(Child);

impl Job {
    fn start(cluster: &Cluster, query: &str, state: &Path) -> Self {
        cluster.line(&format!("topics --create --topic {query} --partitions 2"));
        let mut child = Command::new(program::example("nexmark_job"))
            .args([query, PREFIX, query])
            .arg(format!("application.id=job-{query}"))
            .arg(format!("bootstrap.servers={}", cluster.broker.address()))
            .arg("processing.guarantee=exactly_once_v2")
            .arg(format!("state.dir={}", state.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "started\n", "{query}");
        Self(child)
    }

    /// Ends its input, at which it stops cleanly.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The events' files, also in the topics.
fn load(cluster: &Cluster, folder: &Path) {
    Files::write(folder, &LAYOUT).unwrap();
    for topic in ["persons", "auctions", "bids", "side"] {
        let name = format!("{PREFIX}{topic}");
        cluster.line(&format!("topics --create --topic {name} --partitions 2"));
        for partition in ["0", "1"] {
            let text = std::fs::read_to_string(folder.join(format!("{topic}-{partition}.tsv"))).unwrap();
            let place = ["--topic", &name, "--partition", partition];
            cluster.run(
                &[&["produce", "--property", "parse.key=true"][..], &place].concat(),
                &text,
            );
        }
    }
}

/// What `nexmark.py check` says of an output.
fn check(query: &str, output: &Path, events: &Path) -> Finished {
    let mut command = Command::new(python());
    command.arg(repository().join("tests/benches/nexmark.py"));
    command
        .args(["check", query])
        .arg(output)
        .arg("--data")
        .arg(events);
    program::run(&mut command, b"")
}

/// Waits until what readers of committed records see is the answer; leaves it in a file.
fn await_answer(cluster: &Cluster, query: &str, folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let path = folder.join(format!("{query}.tsv"));
    loop {
        let shown = cluster.line(&format!(
            "consume --topic {query} --from-beginning --isolation-level read_committed --timeout-ms 2000 \
             --property print.offset=true --property print.key=true"
        ));
        std::fs::write(&path, shown).unwrap();
        let checked = check(query, &path, &folder.join("events"));
        if checked.success {
            assert_eq!(checked.stdout, "ok\n");
            return;
        }
        assert!(Instant::now() < deadline, "{}", checked.stderr);
    }
}

#[test]
fn the_nexmark_job_answers_as_duckdb_does() {
    let (cluster, folder) = (Cluster::start(), tempfile::tempdir().unwrap());
    let events = folder.path().join("events");
    load(&cluster, &events);
    let names = output_of(Command::new(program::example("nexmark_job")).arg("queries"), b"");
    let queries: Vec<&str> = names.lines().collect();
    assert!(queries.contains(&"q1") && queries.contains(&"q17"), "{names}");
    // All at once, and so are the checks: most of what they take is waiting.
    let state = folder.path().join("state");
    let jobs: Vec<Job> = queries
        .iter()
        .map(|query| Job::start(&cluster, query, &state))
        .collect();
    std::thread::scope(|checks| {
        for query in &queries {
            checks.spawn(|| await_answer(&cluster, query, folder.path()));
        }
    });
    jobs.into_iter().for_each(Job::stop);

    // The check would find a number that is another, and a row that lacks.
    let path = folder.path().join("q17.tsv");
    let right = std::fs::read_to_string(&path).unwrap();
    let wrong = right.replace(r#""total_bids":1,"#, r#""total_bids":2,"#);
    std::fs::write(&path, &wrong).unwrap();
    let said = check("q17", &path, &events).stderr;
    assert!(
        said.contains("q17: ") && said.contains("in total_bids:"),
        "{said}"
    );
    let (_, keyed) = right.split_once('\t').unwrap();
    let (key, _) = keyed.split_once('\t').unwrap();
    let fewer: Vec<&str> = right
        .lines()
        .filter(|line| !line.contains(&format!("\t{key}\t")))
        .collect();
    std::fs::write(&path, fewer.join("\n")).unwrap();
    let said = check("q17", &path, &events).stderr;
    assert!(said.contains("rows expected"), "{said}");
}
