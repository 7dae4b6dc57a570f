//! Offsets before outputs: nothing is lost as long as nobody dies, and a drain waits for what comes after the commit.
use millstream_streams::Guarantee;

use crate::client::{Cluster, PATIENCE, counts};

#[test]
fn processes_that_stop_as_asked_lose_nothing() {
    let cluster = Cluster::new("most");
    cluster.create_topic("lines", 3);
    cluster.create_topic("counts", 2);
    let lines: Vec<String> = (0..3000)
        .map(|n| format!("word{} same {}", n % 307, n % 11))
        .collect();
    let config = || {
        let config = cluster
            .config()
            .set("processing.guarantee", "at_most_once")
            .unwrap();
        config.set("commit.interval.ms", "20").unwrap().threads(2)
    };
    for (part, chunk) in lines.chunks(1000).enumerate() {
        let app = cluster.word_count().guarantee(Guarantee::ExactlyOnce);
        let job = app.start(config()).unwrap();
        cluster.write("lines", 3, chunk.iter().map(String::as_str));
        if part != 1 {
            job.drain(PATIENCE).unwrap();
            let expected = counts(lines[..(part + 1) * 1000].iter().map(String::as_str));
            assert_eq!(cluster.table("counts").0, expected, "after part {part}");
        }
        job.stop(PATIENCE).unwrap();
    }
}
