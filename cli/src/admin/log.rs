//! The logs of partitions: cutting off their beginnings, and their sizes on disk.

use std::collections::BTreeMap;

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::{DeleteRecordsRequest, DescribeLogDirsRequest};

use super::offsets::by_topic;
use super::{Admin, AdminError, Partition, refused, topic_name};

impl Admin {
    /// Deletes the records before an offset of each partition (−1: all that can be read); gives the new start of the log.
    pub fn delete_records(
        &mut self,
        before: &BTreeMap<Partition, i64>,
    ) -> BTreeMap<Partition, Result<i64, AdminError>> {
        let mut results = BTreeMap::new();
        let mut by_leader: BTreeMap<i32, Vec<Partition>> = BTreeMap::new();
        for partition in before.keys() {
            match self.leaders(std::slice::from_ref(partition)) {
                Ok(leaders) => {
                    for leader in leaders.into_keys() {
                        by_leader.entry(leader).or_default().push(partition.clone());
                    }
                }
                Err(error) => {
                    results.insert(partition.clone(), Err(error));
                }
            }
        }
        for (leader, partitions) in by_leader {
            results.extend(self.delete_records_of(leader, &partitions, before));
        }
        results
    }

    fn delete_records_of(
        &mut self,
        leader: i32,
        partitions: &[Partition],
        before: &BTreeMap<Partition, i64>,
    ) -> BTreeMap<Partition, Result<i64, AdminError>> {
        let topics = by_topic(partitions).into_iter().map(|(topic, numbers)| {
            let partitions = numbers.into_iter().map(|number| {
                DeleteRecordsPartition::default()
                    .with_partition_index(number)
                    .with_offset(before[&(topic.to_owned(), number)])
            });
            DeleteRecordsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions.collect())
        });
        let request = DeleteRecordsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(self.timeout_ms());
        let mut results = BTreeMap::new();
        let failure = match self.ask_node(leader, &request, i16::MAX) {
            Ok(answer) => {
                for topic in answer.topics {
                    for one in topic.partitions {
                        let partition = (topic.name.to_string(), one.partition_index);
                        let what = format!("records of {}-{}", partition.0, partition.1);
                        let result = match one.error_code {
                            0 => Ok(one.low_watermark),
                            code => Err(refused(code, None, &what)),
                        };
                        results.insert(partition, result);
                    }
                }
                "the answer leaves it out".to_owned()
            }
            Err(error) => error.to_string(),
        };
        for partition in partitions {
            results.entry(partition.clone()).or_insert_with(|| {
                let what = format!("records of {}-{}", partition.0, partition.1);
                Err(AdminError::Unanswered {
                    what,
                    reason: failure.clone(),
                })
            });
        }
        results
    }

    /// The directories of a broker's log with the sizes of the partitions in them.
    pub fn describe_log_dirs(&mut self, broker: i32) -> Result<Vec<DescribeLogDirsResult>, AdminError> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let answer = self.ask_node(broker, &request, i16::MAX)?;
        if answer.error_code != 0 {
            let what = format!("log directories of broker {broker}");
            return Err(refused(answer.error_code, None, &what));
        }
        Ok(answer.results)
    }
}
