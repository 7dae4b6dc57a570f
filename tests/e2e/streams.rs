//! Stream jobs as services, and looking after them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::cluster::Cluster;
use millstream_tests::program::{self, SpawnTied};

/// A running `word_count_service`.
struct Service(Child);

impl Service {
    fn start(cluster: &Cluster, state: &Path) -> Self {
        Self::with_session(cluster, state, 6_000)
    }

    fn with_session(cluster: &Cluster, state: &Path, timeout_ms: u32) -> Self {
        Self::with(cluster, state, timeout_ms, &[])
    }

    /// The same with more properties.
    fn with(cluster: &Cluster, state: &Path, timeout_ms: u32, properties: &[&str]) -> Self {
        let mut child = Command::new(program::example("word_count_service"))
            .arg(format!("bootstrap.servers={}", cluster.broker.address()))
            .arg(format!("session.timeout.ms={timeout_ms}"))
            .arg("commit.interval.ms=50")
            .arg(format!("state.dir={}", state.display()))
            .args(properties)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "started\n");
        Self(child)
    }

    /// Ends its input, at which it stops cleanly.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `streams` prints of the job, once an instance answers.
fn await_answer(cluster: &Cluster, arguments: &str, holds: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = cluster.line(arguments);
        if holds(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{arguments}: {answer}");
    }
}

#[test]
fn a_running_job_is_asked_through_any_instance() {
    let cluster = Cluster::start();
    let (one_state, two_state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cluster.line("topics --create --topic lines --partitions 2");
    cluster.line("topics --create --topic word-counts");
    cluster.run(&["produce", "--topic", "lines"], "to be or\nnot to be\n");
    let unknown = cluster.line_fails("streams state --application-id word-count");
    assert!(unknown.contains("set queries.listener"), "{unknown}");

    let listener = ["queries.listener=127.0.0.1:0"];
    let one = Service::with(&cluster, one_state.path(), 6_000, &listener);
    let two = Service::with(&cluster, two_state.path(), 6_000, &listener);
    await_count(&cluster, 2);
    let id = "--application-id word-count";
    let spread = |answer: &str| {
        let rows: Vec<Vec<&str>> = answer
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        matches!(&rows[..], [one, other] if one[3] != other[3] && one[3] != "-" && other[3] != "-")
    };
    let state = await_answer(&cluster, &format!("streams state {id}"), spread);
    assert!(state.starts_with("STORE"), "{state}");
    let described = cluster.line(&format!("streams describe {id}"));
    assert!(
        described.contains("Store counts (table): word Utf8View → count Int64"),
        "{described}"
    );
    let instances: Vec<&str> = state
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(3))
        .collect();
    for instance in instances {
        let query = format!("streams query {id} --instance http://{instance} --store counts");
        let all = await_answer(&cluster, &query, |rows| rows.lines().count() == 4);
        let mut rows: Vec<&str> = all.lines().collect();
        rows.sort_unstable();
        let expected = [
            r#"{"word":"be","count":2}"#,
            r#"{"word":"not","count":1}"#,
            r#"{"word":"or","count":1}"#,
            r#"{"word":"to","count":2}"#,
        ];
        assert_eq!(rows, expected);
        for (word, count) in [("to", 2), ("or", 1), ("be", 2), ("not", 1)] {
            let answer = cluster.line(&format!("{query} --key [\"{word}\"]"));
            assert_eq!(answer, format!("{{\"word\":\"{word}\",\"count\":{count}}}\n"));
        }
    }
    let mut words: Vec<&str> = "streams query".split(' ').chain(id.split(' ')).collect();
    words.extend([
        "--sql",
        "SELECT word, \"count\" AS n FROM counts WHERE word < 'not' OR word = 'to' ORDER BY word",
    ]);
    let rows = cluster.run(&words, "");
    assert_eq!(rows, "{\"word\":\"be\",\"n\":2}\n{\"word\":\"to\",\"n\":2}\n");
    *words.last_mut().unwrap() = "DELETE FROM counts";
    let refused = cluster.fails(&words);
    assert!(refused.contains("only SELECT reads stores"), "{refused}");
    let wrong = cluster.line_fails(&format!("streams query {id} --store count"));
    assert!(wrong.contains("did you mean \"counts\"?"), "{wrong}");
    one.stop();
    two.stop();
    let gone = cluster.line_fails(&format!("streams state {id}"));
    assert!(
        gone.contains("no instance of the job word-count answers"),
        "{gone}"
    );
    let done = cluster.line(&format!(
        "streams reset {id} --state-dir {}",
        one_state.path().display()
    ));
    assert!(done.contains("word-count-instances-changelog"), "{done}");
    assert_eq!(
        cluster.line("topics --list --exclude-internal"),
        "lines\nword-counts\n"
    );
}

/// Waits until the last count of "to" is this one.
fn await_count(cluster: &Cluster, count: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let expected = format!("to\t{{\"count\":{count}}}");
    loop {
        let arguments = "consume --topic word-counts --from-beginning --timeout-ms 2000 --property print.key=true \
                         --isolation-level read_committed";
        let shown = cluster.line(arguments);
        let last = shown.lines().rfind(|line| line.starts_with("to\t"));
        if last == Some(expected.as_str()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{expected:?} does not come, only {last:?}"
        );
    }
}

#[test]
fn a_job_goes_on_where_it_was_and_begins_anew_after_a_reset() {
    let cluster = Cluster::start();
    let state = tempfile::tempdir().unwrap();
    let reset = format!("streams reset --state-dir {}", state.path().display());
    cluster.line("topics --create --topic lines --partitions 2");
    cluster.line("topics --create --topic word-counts");
    cluster.run(&["produce", "--topic", "lines"], "to be or\nnot to be\n");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 2);
    let refused = cluster.line_fails("streams reset --application-id word-count");
    assert!(refused.contains("still has 1 members"), "{refused}");
    service.stop();

    cluster.run(&["produce", "--topic", "lines"], "to\n");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 3);
    service.stop();

    let reset_lines = format!("{reset} --application-id word-count --input-topics lines --to-earliest");
    let planned = cluster.line(&format!("{reset_lines} --dry-run"));
    let expected = format!(
        "Reset-offsets for input topics [lines]\n\
                    Following input topics offsets will be reset to (for consumer group word-count)\n\
                    Topic: lines Partition: 0 Offset: 0\nTopic: lines Partition: 1 Offset: 0\n\
                    Deleting internal topics [word-count-counts-changelog, word-count-counts-repartition]\n\
                    Deleting local state in {}/word-count/0\n",
        state.path().display()
    );
    assert!(planned.starts_with("----Dry run"), "{planned}");
    assert!(planned.ends_with(&expected), "{planned}");
    let done = cluster.line(&reset_lines);
    assert_eq!(done, format!("{expected}Done.\n"));
    assert_eq!(
        cluster.line("topics --list --exclude-internal"),
        "lines\nword-counts\n"
    );
    let left = std::fs::read_dir(state.path().join("word-count/0")).unwrap();
    assert_eq!(left.count(), 1, "only the lock");
    // Without its state, the job counts from one again.
    cluster.line("topics --delete --topic word-counts");
    cluster.line("topics --create --topic word-counts");
    let service = Service::start(&cluster, state.path());
    await_count(&cluster, 3);
    service.stop();

    let wrong = cluster.line_fails(&format!("{reset} --application-id word-coun"));
    assert!(wrong.contains("nothing of a job word-coun"), "{wrong}");
    let wrong = cluster.line_fails(&format!(
        "{reset} --application-id word-count --internal-topics lines"
    ));
    assert!(
        wrong.contains("lines is no internal topic of word-count"),
        "{wrong}"
    );
}

#[test]
fn the_successor_of_a_job_that_was_killed_goes_on_at_once() {
    let cluster = Cluster::start();
    let state = tempfile::tempdir().unwrap();
    cluster.line("topics --create --topic lines --partitions 2");
    cluster.line("topics --create --topic word-counts");
    // Far longer than the test: nobody waits for the session to end, or for the transaction that was open (10 s).
    let start = || Service::with_session(&cluster, state.path(), 200_000);
    let mut service = start();
    cluster.run(&["produce", "--topic", "lines"], "to be or\nnot to be\n");
    await_count(&cluster, 2);
    for round in 0..3 {
        cluster.run(&["produce", "--topic", "lines"], "to\n");
        service.0.kill().unwrap();
        service.0.wait().unwrap();
        let killed = Instant::now();
        service = start();
        await_count(&cluster, 3 + round);
        let gap = killed.elapsed();
        assert!(gap < Duration::from_secs(9), "the next went on after {gap:?}");
    }
    service.stop();
}

/// The orders that the example makes, each with where its customer lived when it came.
#[test]
fn the_orders_customers_example_counts_by_the_city_of_the_time() {
    const CITIES: [&str; 4] = ["Bergen", "Lagos", "Lima", "Osaka"];
    let mut counts = BTreeMap::<&str, (u64, u64)>::new();
    let mut expected = String::new();
    for (round, when) in ["at first", "after half of them moved"].into_iter().enumerate() {
        let first = round as u64 * 1_000;
        for order in first..first + 1_000 {
            let customer = order * 7 % 50;
            let city = match (order % 10 == 9, round == 1 && customer < 25) {
                (true, _) => "nobody knows",
                (false, true) => "Quito",
                (false, false) => CITIES[customer as usize % 4],
            };
            let count = counts.entry(city).or_default();
            *count = (count.0 + 1, count.1 + 100 + order % 400);
        }
        expected += &format!("{when}:\n");
        for (city, (orders, cents)) in &counts {
            expected += &format!("{city}\t{{\"orders\":{orders},\"cents\":{cents}}}\n");
        }
    }
    let run = Command::new(program::example("orders_customers"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8(run.stdout).unwrap(), expected);
}

/// The views that the example makes, each judged by what came before it.
#[test]
fn the_page_views_example_finds_its_windows_and_what_came_too_late() {
    const PAGES: [&str; 4] = ["home", "search", "product", "basket"];
    let (mut windows, mut late, mut latest) =
        (BTreeMap::<(String, u64), BTreeMap<u64, u64>>::new(), 0, 0_i64);
    for view in 0..3_000_u64 {
        let delay = view * 7_919 % 4_000 + if view % 100 == 99 { 30_000 } else { 0 };
        let (page, user, at) = (
            PAGES[(view * view % 7 % 4) as usize],
            view * 31 % 50,
            60_000 + view * 100 - delay,
        );
        let end = at / 10_000 * 10_000 + 10_000;
        match (end + 3_000) as i64 <= latest - 2_000 {
            true => late += 1,
            false => {
                *windows
                    .entry((page.to_owned(), end))
                    .or_default()
                    .entry(user)
                    .or_default() += 1
            }
        }
        latest = latest.max(at as i64);
    }
    windows.retain(|(_, end), _| (end + 3_000) as i64 <= latest - 2_000);
    let mut expected: Vec<String> = windows
        .iter()
        .map(|((page, end), users)| {
            let time = |ms: u64| format!("1970-01-01T00:{:02}:{:02}Z", ms / 60_000, ms / 1_000 % 60);
            let (views, users) = (users.values().sum::<u64>(), users.len());
            let key = format!("[\"{page}\",\"{}\",\"{}\"]", time(end - 10_000), time(*end));
            format!("{key}\t{{\"views\":{views},\"users\":{users}}}")
        })
        .collect();
    expected.sort();
    let run = Command::new(program::example("page_views")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let shown = String::from_utf8(run.stdout).unwrap();
    let mut lines: Vec<&str> = shown.lines().collect();
    let summary = lines.pop().unwrap();
    lines.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(
        summary,
        format!("{} windows, {late} views too late", windows.len())
    );
    assert!(late > 0);
}

/// The clicks that the example makes: those of a user that are no further apart than ten seconds are a session.
#[test]
fn the_session_activity_example_finds_when_users_were_active() {
    type Click = (i64, usize);
    let (mut clicks, mut late, mut latest) = (BTreeMap::<u64, Vec<Click>>::new(), 0, 0_i64);
    for click in 0..3_000_u64 {
        let user = click * 31 % 20;
        if !(click / 150 + user).is_multiple_of(3) {
            continue;
        }
        let delay = click * 7_919 % 4_000 + if click % 100 == 99 { 100_000 } else { 0 };
        let at = (200_000 + click * 100 - delay) as i64;
        match latest - 4_000 > at + 3_000 {
            true => late += 1,
            false => clicks
                .entry(user)
                .or_default()
                .push((at, (click * click % 7 % 4) as usize)),
        }
        latest = latest.max(at);
    }
    let mut expected = Vec::new();
    for (user, mut clicks) in clicks {
        clicks.sort_unstable();
        for session in clicks.chunk_by(|(one, _), (next, _)| next - one <= 10_000) {
            let (first, last) = (session[0].0, session[session.len() - 1].0);
            let pages: BTreeSet<usize> = session.iter().map(|(_, page)| *page).collect();
            if last + 10_000 + 3_000 < latest - 4_000 {
                let (clicks, pages) = (session.len(), pages.len());
                let value = format!("{{\"clicks\":{clicks},\"pages\":{pages}}}");
                expected.push(format!("{user} from {first} to {last}\t{value}"));
            }
        }
    }
    expected.sort();
    let run = Command::new(program::example("session_activity"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let shown = String::from_utf8(run.stdout).unwrap();
    let mut lines: Vec<&str> = shown.lines().collect();
    let summary = lines.pop().unwrap();
    lines.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(
        summary,
        format!("{} sessions, {late} clicks too late", expected.len())
    );
    assert!(late > 0);
}
