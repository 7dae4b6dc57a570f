//! Counting, and what a scrape of a real broker says.

use super::*;

#[test]
fn requests_are_counted_by_api() {
    let metrics = Metrics::default();
    let call = metrics.begin(&[0, 18, 0, 3]);
    metrics.answered(call, 100);
    let call = metrics.begin(&[0, 18, 0, 9]);
    metrics.failed(call);
    let at = REGISTRY.binary_search_by_key(&18, |spec| spec.key).unwrap();
    let api = &metrics.apis[at];
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(
        (
            read(&api.errors),
            read(&api.request_bytes),
            read(&api.response_bytes)
        ),
        (1, 8, 100)
    );
    assert_eq!(api.seconds.count(), 2);
    // Nothing that a peer may send is counted where it does not belong.
    for frame in [&[][..], &[7], &[127, 255, 0, 0]] {
        let call = metrics.begin(frame);
        metrics.answered(call, 1);
        metrics.failed(call);
    }
    let total: u64 = metrics.apis.iter().map(|api| api.seconds.count()).sum();
    assert_eq!(total, 2);
}

#[test]
fn connections_count_while_they_are_open() {
    let metrics = Metrics::default();
    let open = metrics.connection();
    drop(metrics.connection());
    assert_eq!(metrics.connections_open.load(Ordering::Relaxed), 1);
    drop(open);
    assert_eq!(metrics.connections_open.load(Ordering::Relaxed), 0);
    assert_eq!(metrics.connections_accepted.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn gauges_of_other_parts_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let broker = crate::api::test_state(dir.path());
    broker.metrics.add_gauge(Gauge {
        name: "millstream_transactions_open",
        help: "Transactions under way.",
        read: Box::new(|| 3.0),
    });
    let text = scrape::render(&broker);
    assert!(text.contains("\nmillstream_transactions_open 3\n"), "{text}");
    assert!(text.contains("\nmillstream_data_dir_failed 0\n"), "{text}");
}

async fn get(endpoint: &MetricsEndpoint, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(endpoint.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Recovery may take long: an orchestrator must see that the process lives, and that it is not to be used yet.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_start_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let listener = crate::config::Endpoint::plaintext("127.0.0.1:0").unwrap();
    let endpoint = MetricsEndpoint::bind(&listener).await.unwrap();
    let is_ready = async || {
        assert!(get(&endpoint, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = get(&endpoint, "/readyz").await;
        let metrics = get(&endpoint, "/metrics").await;
        assert_eq!(&ready[..12], &metrics[..12]);
        ready
    };
    assert!(
        is_ready()
            .await
            .ends_with("starting: the data directory is being opened\n")
    );
    let broker = crate::api::test_state(dir.path());
    endpoint.serve(&broker);
    assert!(is_ready().await.ends_with("ready\n"));
    endpoint.stopping();
    assert!(is_ready().await.ends_with("stopping\n"));
    drop(broker);
}
