use std::fs::File;
use std::io::Write;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::ids::{Offset, TopicPartition};
use crate::log::batch::BatchBuilder;
use crate::log::{LogConfig, LogDir, LogOptions, Origin};
use crate::server::outlet::Socket;
use crate::server::page_cache::tests::evict;
use crate::server::reply::ReplyWriter;

const PATIENCE: Duration = Duration::from_secs(5);

/// A pipe takes no files.
impl Outlet for DuplexStream {
    async fn send(&mut self, bytes: &[u8], _more: bool, patience: Duration) -> Result<usize, SendError> {
        let written = tokio::time::timeout(patience, self.write(bytes)).await;
        Ok(written.map_err(|_| SendError::deaf())??)
    }

    async fn send_file(
        &mut self,
        _file: &Arc<File>,
        _position: u64,
        _length: usize,
        _patience: Duration,
    ) -> Result<Option<usize>, SendError> {
        Ok(None)
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// An answer with ranges of a file, of these sizes, and all its bytes.
fn answer(file: &Arc<File>, content: &[u8], sizes: &[usize]) -> (Reply, Vec<u8>) {
    let mut writer = ReplyWriter::new(7, true, 0);
    let mut body = b"\0\0\0\x07\0head".to_vec();
    writer.bytes.put_slice(b"head");
    for size in sizes {
        writer.put_records(LogSlice::new(Arc::clone(file), 10, *size));
        writer.bytes.put_slice(b"tail");
        body.extend_from_slice(&content[10..10 + size]);
        body.extend_from_slice(b"tail");
    }
    let whole = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
    (writer.finish().unwrap(), whole)
}

/// Both ends of a connection; the reader's buffer is small.
async fn connection(patience: Duration) -> (ReplySink<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (theirs, ours) = tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    let (_, write) = ours.unwrap().0.into_split();
    (ReplySink::new(Socket::new(write), patience), theirs.unwrap())
}

const SIZES: [usize; 9] = [
    1,
    4096,
    COPIED_BYTES_MAX - 1,
    COPIED_BYTES_MAX,
    PIECE_BYTES - 10,
    PIECE_BYTES,
    PIECE_BYTES + 1,
    FILE_PIECE_BYTES + 1,
    3 * FILE_PIECE_BYTES + 77,
];

#[tokio::test]
async fn answers_come_out_whole_where_files_must_be_copied() {
    let content = content(4 * FILE_PIECE_BYTES);
    let file = file_of(&content);
    for size in SIZES {
        let (ours, mut theirs) = tokio::io::duplex(10_000);
        let (reply, whole) = answer(&file, &content, &[size]);
        let (small, small_bytes) = answer(&file, &content, &[3]);
        let sent = tokio::spawn(async move {
            let mut sink = ReplySink::new(ours, PATIENCE);
            sink.push(small).await.unwrap();
            sink.push(reply).await.unwrap();
            sink.flush().await.unwrap();
            assert!(sink.is_empty() && sink.buffer.len() <= 2 * PIECE_BYTES);
            sink.shrink();
            assert!(sink.buffer.capacity() <= KEPT_BYTES_MAX);
        });
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        sent.await.unwrap();
        assert!(received == [small_bytes, whole].concat(), "{size}");
    }
}

/// Sends to a reader that is slower than the socket and returns what arrived.
async fn over_socket(replies: Vec<Reply>, buffered_max: usize) -> Vec<u8> {
    let (mut sink, mut theirs) = connection(PATIENCE).await;
    let sent = tokio::spawn(async move {
        for reply in replies {
            sink.push(reply).await.unwrap();
        }
        sink.flush().await.unwrap();
        assert!(sink.buffer.len() <= buffered_max, "{}", sink.buffer.len());
    });
    let mut received = Vec::new();
    while theirs.read_buf(&mut received).await.unwrap() > 0 {
        if received.len() % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    sent.await.unwrap();
    received
}

#[tokio::test]
async fn a_socket_takes_files_itself() {
    let content = content(4 * FILE_PIECE_BYTES);
    let file = file_of(&content);
    let (reply, whole) = answer(&file, &content, &SIZES);
    let (small, small_bytes) = answer(&file, &content, &[3]);
    // Nothing but the ranges that are copied on purpose was ever in the buffer.
    let received = over_socket(vec![small, reply], 2 * COPIED_BYTES_MAX).await;
    assert!(received == [small_bytes, whole].concat());
}

#[tokio::test]
async fn a_file_that_is_not_in_memory_is_sent_by_another_thread() {
    let content = content(4 * FILE_PIECE_BYTES);
    let file = file_of(&content);
    evict(&file);
    let (reply, whole) = answer(&file, &content, &[3 * FILE_PIECE_BYTES + 77, 100, 20_000]);
    let received = over_socket(vec![reply], 2 * COPIED_BYTES_MAX).await;
    assert!(received == whole);
}

/// Some files can be read at positions but not be sent, such as the map of this process's memory, which is zeros where
/// there is none.
#[tokio::test]
async fn a_file_that_cannot_be_sent_is_copied() {
    let size = COPIED_BYTES_MAX + 800;
    let map = Arc::new(File::open("/proc/self/pagemap").unwrap());
    let mut writer = ReplyWriter::new(7, false, 0);
    writer.put_records(LogSlice::new(map, 0, size));
    let received = over_socket(vec![writer.finish().unwrap()], PIECE_BYTES).await;
    assert!(received[8..] == vec![0; size]);
}

#[tokio::test]
async fn a_cut_file_ends_the_connection_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000000.log");
    for there in [0, 99, COPIED_BYTES_MAX, FILE_PIECE_BYTES + 3] {
        std::fs::write(&path, content(there)).unwrap();
        for promised in [100, COPIED_BYTES_MAX + 1, 2 * FILE_PIECE_BYTES] {
            if promised <= there {
                continue;
            }
            let file = Arc::new(File::open(&path).unwrap());
            let mut writer = ReplyWriter::new(7, false, 0);
            writer.put_records(LogSlice::new(file, 0, promised));
            let (mut sink, mut theirs) = connection(PATIENCE).await;
            let reading = tokio::spawn(async move { theirs.read_to_end(&mut Vec::new()).await });
            let error = sink.push(writer.finish().unwrap()).await.unwrap_err();
            assert!(
                matches!(&error, SendError::Cut { file, position } if file.ends_with("0.log") && *position <= there as u64),
                "{there} {promised} {error}"
            );
            drop(sink);
            reading.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_deaf_peer_is_given_up() {
    let content = content(20 << 20);
    let file = file_of(&content);
    for size in [1000, 19 << 20] {
        let (ours, _theirs) = tokio::io::duplex(10);
        let mut sink = ReplySink::new(ours, Duration::from_millis(20));
        let pushed = sink.push(answer(&file, &content, &[size]).0).await;
        let error = pushed.and(sink.flush().await).unwrap_err();
        assert!(
            matches!(&error, SendError::Peer(e) if e.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    }
    let (mut sink, _theirs) = connection(Duration::from_millis(50)).await;
    let error = sink
        .push(answer(&file, &content, &[19 << 20]).0)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SendError::Peer(e) if e.kind() == io::ErrorKind::TimedOut),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_goes_away_in_the_middle_is_an_error() {
    let content = content(20 << 20);
    let file = file_of(&content);
    let (mut sink, mut theirs) = connection(PATIENCE).await;
    let reading = tokio::spawn(async move {
        let mut some = vec![0; 100_000];
        theirs.read_exact(&mut some).await.unwrap();
    });
    let error = sink
        .push(answer(&file, &content, &[19 << 20]).0)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SendError::Peer(e) if e.kind() != io::ErrorKind::TimedOut),
        "{error}"
    );
    reading.await.unwrap();
}

/// The cleaner puts another file in the place of the one that is being sent.
#[tokio::test]
async fn a_segment_that_is_compacted_while_it_is_sent_arrives_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 16 << 20,
        compact: true,
        min_cleanable_ratio_ppm: 0,
        ..LogConfig::default()
    };
    let log = LogDir::open(dir.path(), LogOptions::default(), |_| config.clone()).unwrap();
    let partition = log
        .create_partition(&TopicPartition::new("t", 0), config.clone())
        .unwrap();
    let value = content(900_000);
    let mut builder = BatchBuilder::new();
    builder.push(1, Some(b"key"), Some(&value), &[]);
    let batch = builder.build().unwrap();
    while partition.size_bytes() < 18 << 20 {
        partition.append(batch.clone(), Origin::Client).unwrap();
    }
    partition.wait_durable(partition.log_end_offset()).await.unwrap();
    let slice = partition
        .read(Offset(0), usize::MAX, partition.high_watermark(), true)
        .unwrap();
    let before = slice.read().unwrap();
    assert!(before.len() > 15 << 20);

    let mut writer = ReplyWriter::new(7, false, 0);
    writer.put_records(slice);
    let reply = writer.finish().unwrap();
    let (mut sink, mut theirs) = connection(PATIENCE).await;
    let sent = tokio::spawn(async move { sink.push(reply).await.unwrap() });
    let mut received = vec![0; 100_000];
    theirs.read_exact(&mut received).await.unwrap();
    assert_eq!(log.compact_now().unwrap(), 1);
    assert!(partition.size_bytes() < 4 << 20);
    assert!(!sent.is_finished());
    theirs.read_to_end(&mut received).await.unwrap();
    sent.await.unwrap();
    assert!(received[8..] == before);
}
