//! A broker in a temporary directory, and a client that speaks any version of any API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    FetchRequest, MetadataRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millstream_broker::config::BrokerConfig;
use millstream_broker::log::batch::BatchBuilder;
use millstream_broker::{Broker, BrokerHandle};
use tempfile::TempDir;

pub fn config() -> BrokerConfig {
    BrokerConfig {
        group_initial_rebalance_delay_ms: 0,
        offsets_topic_num_partitions: 3,
        transaction_state_log_num_partitions: 3,
        ..BrokerConfig::default()
    }
}

pub fn start_in(dir: &Path, config: BrokerConfig) -> BrokerHandle {
    Broker::builder()
        .data_dir(dir)
        .listener("127.0.0.1:0")
        .config(config)
        .start_blocking()
        .unwrap()
}

pub fn start() -> (TempDir, BrokerHandle) {
    start_with(config())
}

pub fn start_with(config: BrokerConfig) -> (TempDir, BrokerHandle) {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_in(dir.path(), config);
    (dir, broker)
}

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub fn name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// One batch with a record for each value.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(1_000, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    builder.build().unwrap()
}

pub fn produce(topic: &str, partition: i32, acks: i16, records: Option<Bytes>) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(records);
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

pub fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 24)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(name(topic))
                .with_partitions(vec![partition]),
        ])
}

pub struct Client {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            correlation_id: 0,
        }
    }

    /// Sends and waits for the answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let frame = encode(version, self.correlation_id, request);
        self.stream.write_all(&frame).unwrap();
    }

    /// Takes the next answer, which must be that of the request sent `behind` requests before the last one.
    pub fn receive_behind<R: Request>(&mut self, version: i16, behind: i32) -> R::Response {
        let mut frame = self.receive_frame().expect("the broker closed the connection");
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id - behind);
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "{} bytes after the answer", frame.len());
        response
    }

    pub fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        self.receive_behind::<R>(version, 0)
    }

    /// The next frame, or nothing if the broker closed.
    pub fn receive_frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut length) {
            assert!(
                matches!(
                    error.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ),
                "no answer: {error}"
            );
            return None;
        }
        let mut frame = vec![0; (&length[..]).get_u32() as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame.into())
    }

    /// Creates a topic with the broker's default partitions, as a client's first metadata request does.
    pub fn touch(&mut self, topic: &str) {
        use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(true);
        assert_eq!(self.call(4, &request).topics[0].error_code, 0);
    }

    /// Produces one batch with acks=-1.
    pub fn append(&mut self, topic: &str, values: &[&str]) -> PartitionProduceResponse {
        let response = self.call(9, &produce(topic, 0, -1, Some(batch(values))));
        only_partition(response)
    }
}

pub fn only_partition(mut response: ProduceResponse) -> PartitionProduceResponse {
    response.responses.remove(0).partition_responses.remove(0)
}

pub fn encode<R: Request>(version: i16, correlation_id: i32, request: &R) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(text("it")));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).unwrap();
    request.encode(&mut body, version).unwrap();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    frame
}
