//! Consumer groups: list, describe, committed offsets, deletion.

use std::collections::BTreeMap;

use kafka_protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::offsets::by_topic;
use super::{Admin, AdminError, CoordinatorType, Partition, Refusal, is_passing, topic_name};

/// A group as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its name.
    pub id: String,
    /// `consumer`, `connect` or empty.
    pub protocol_type: String,
    /// Its state; empty from brokers before 2.6.
    pub state: String,
    /// `classic`, `consumer` or another; empty from brokers before 3.8.
    pub kind: String,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its name.
    pub id: String,
    /// Its state.
    pub state: String,
    /// How partitions are dealt out.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Given by the coordinator.
    pub id: String,
    /// Given by the user to static members.
    pub instance_id: Option<String>,
    /// Given by the user.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads.
    pub assignment: Vec<Partition>,
}

/// Newest OffsetFetch that asks for one group; later ones take a list instead, and no broker refuses this one.
const FETCH_ONE_GROUP_VERSION_MAX: i16 = 7;
/// Newest OffsetCommit that names topics; later ones have their ids.
const COMMIT_BY_NAME_VERSION_MAX: i16 = 9;

fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

impl Admin {
    /// All groups of all brokers, sorted by name.
    pub fn list_groups(&mut self) -> Result<Vec<ListedGroup>, AdminError> {
        let nodes: Vec<i32> = self.brokers().keys().copied().collect();
        let mut groups = Vec::new();
        for node in nodes {
            let found = self.patiently("the list of groups", |admin| {
                let answer = admin.ask_node(node, &ListGroupsRequest::default(), i16::MAX)?;
                Ok(match answer.error_code {
                    0 => Ok(answer.groups),
                    code => Err((code, None)),
                })
            })?;
            groups.extend(found.into_iter().map(|group| ListedGroup {
                id: group.group_id.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
                kind: group.group_type.to_string(),
            }));
        }
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        groups.dedup_by(|a, b| a.id == b.id);
        Ok(groups)
    }

    /// One group; a group that is not there is `Dead` and has no members.
    pub fn describe_group(&mut self, group: &str) -> Result<DescribedGroup, AdminError> {
        let what = format!("group {group}");
        let newer = self.at_coordinator(CoordinatorType::Group, group, &what, |admin, node| {
            admin.describe_consumer_group(node, group)
        })?;
        if let Some(found) = newer {
            return Ok(found);
        }
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        let (coordinator, found) =
            self.at_coordinator(CoordinatorType::Group, group, &what, |admin, node| {
                let answer = admin.ask_node(node, &request, i16::MAX)?;
                Ok(match answer.groups.into_iter().next() {
                    // 69: there is no such group (version 6 and later say so).
                    Some(found) if found.error_code == 0 || found.error_code == 69 => Ok((node, found)),
                    Some(found) => Err((found.error_code, found.error_message.map(|text| text.to_string()))),
                    None => Err((-1, Some("the answer leaves the group out".into()))),
                })
            })?;
        let mut members = Vec::new();
        for member in found.members {
            members.push(Member {
                assignment: assigned(&member.member_assignment),
                id: member.member_id.to_string(),
                instance_id: member.group_instance_id.map(|id| id.to_string()),
                client_id: member.client_id.to_string(),
                host: member.client_host.to_string(),
            });
        }
        let state = if found.error_code == 0 {
            found.group_state.to_string()
        } else {
            "Dead".into()
        };
        Ok(DescribedGroup {
            id: group.into(),
            state,
            assignor: found.protocol_data.to_string(),
            coordinator,
            members,
        })
    }

    /// A group of the newer protocol (KIP-848), if the broker knows it as one.
    fn describe_consumer_group(
        &mut self,
        coordinator: i32,
        group: &str,
    ) -> Result<Result<Option<DescribedGroup>, Refusal>, AdminError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
        let answer = match self.ask_node(coordinator, &request, i16::MAX) {
            Ok(answer) => answer,
            Err(AdminError::Unsupported { .. }) => return Ok(Ok(None)),
            Err(error) => return Err(error),
        };
        let Some(found) = answer.groups.into_iter().next() else {
            return Ok(Ok(None));
        };
        if found.error_code != 0 {
            // Whatever else is wrong with it is told by the older request; a classic group is only not one of these.
            let refusal = (found.error_code, None);
            return Ok(if is_passing(found.error_code) {
                Err(refusal)
            } else {
                Ok(None)
            });
        }
        let members = found.members.into_iter().map(|member| {
            let mut assignment = Vec::new();
            for topic in member.assignment.topic_partitions {
                let name = topic.topic_name.to_string();
                assignment.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|partition| (name.clone(), *partition)),
                );
            }
            assignment.sort();
            Member {
                id: member.member_id.to_string(),
                instance_id: member.instance_id.map(|id| id.to_string()),
                client_id: member.client_id.to_string(),
                host: member.client_host.to_string(),
                assignment,
            }
        });
        Ok(Ok(Some(DescribedGroup {
            id: group.into(),
            state: found.group_state.to_string(),
            assignor: found.assignor_name.to_string(),
            coordinator,
            members: members.collect(),
        })))
    }

    /// The committed offsets of a group.
    pub fn committed_offsets(&mut self, group: &str) -> Result<BTreeMap<Partition, i64>, AdminError> {
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(None);
        self.at_coordinator(
            CoordinatorType::Group,
            group,
            &format!("offsets of group {group}"),
            |admin, node| {
                let answer = admin.ask_node(node, &request, FETCH_ONE_GROUP_VERSION_MAX)?;
                let mut rows = Vec::new();
                let code = answer.error_code;
                for topic in answer.topics {
                    for one in topic.partitions {
                        rows.push((
                            topic.name.to_string(),
                            one.partition_index,
                            one.committed_offset,
                            one.error_code,
                        ));
                    }
                }
                // 69: a group that never committed has no offsets.
                if code != 0 && code != 69 {
                    return Ok(Err((code, None)));
                }
                if let Some(&(_, _, _, code)) = rows.iter().find(|row| row.3 != 0) {
                    return Ok(Err((code, None)));
                }
                let kept = rows.into_iter().filter(|row| row.2 >= 0);
                Ok(Ok(kept.map(|row| ((row.0, row.1), row.2)).collect()))
            },
        )
    }

    /// Commits offsets for a group that nobody reads with.
    pub fn commit_offsets(
        &mut self,
        group: &str,
        offsets: &BTreeMap<Partition, i64>,
    ) -> Result<(), AdminError> {
        let wanted: Vec<Partition> = offsets.keys().cloned().collect();
        let topics = by_topic(&wanted).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                OffsetCommitRequestPartition::default()
                    .with_partition_index(partition)
                    .with_committed_offset(offsets[&(topic.to_owned(), partition)])
                    .with_committed_leader_epoch(-1)
                    .with_committed_metadata(Some(StrBytes::new()))
            });
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions.collect())
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(-1)
            .with_retention_time_ms(-1)
            .with_topics(topics.collect());
        self.at_coordinator(
            CoordinatorType::Group,
            group,
            &format!("offsets of group {group}"),
            |admin, node| {
                let answer = admin.ask_node(node, &request, COMMIT_BY_NAME_VERSION_MAX)?;
                let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                let failed = partitions.find(|one| one.error_code != 0);
                Ok(failed.map_or(Ok(()), |one| Err((one.error_code, None))))
            },
        )
    }

    /// Deletes a group that has no members.
    pub fn delete_group(&mut self, group: &str) -> Result<(), AdminError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        self.at_coordinator(
            CoordinatorType::Group,
            group,
            &format!("group {group}"),
            |admin, node| {
                let answer = admin.ask_node(node, &request, i16::MAX)?;
                let failed = answer.results.iter().find(|one| one.error_code != 0);
                Ok(failed.map_or(Ok(()), |one| Err((one.error_code, None))))
            },
        )
    }

    /// Deletes committed offsets; gives the error code of each partition.
    pub fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, i16>, AdminError> {
        let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| {
            let partitions = partitions
                .into_iter()
                .map(|one| OffsetDeleteRequestPartition::default().with_partition_index(one));
            OffsetDeleteRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions.collect())
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let what = format!("group {group}");
        self.at_coordinator(CoordinatorType::Group, group, &what, |admin, node| {
            let answer = admin.ask_node(node, &request, i16::MAX)?;
            if answer.error_code != 0 {
                return Ok(Err((answer.error_code, None)));
            }
            let mut results = BTreeMap::new();
            for topic in answer.topics {
                for one in topic.partitions {
                    results.insert((topic.name.to_string(), one.partition_index), one.error_code);
                }
            }
            Ok(Ok(results))
        })
    }
}

/// The partitions of a classic member's assignment; other protocols' bytes (Connect's) count as none.
fn assigned(bytes: &[u8]) -> Vec<Partition> {
    // A version, the topics, and user data; the newest layout that is known reads later ones too.
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return Vec::new();
    };
    let version = i16::from_be_bytes(*version).clamp(0, 3);
    // Each topic takes 6 bytes at least: a count that the bytes cannot hold is none of a consumer's.
    let count = body
        .first_chunk::<4>()
        .map_or(-1, |count| i32::from_be_bytes(*count));
    if usize::try_from(count).map_or(true, |count| count > body.len() / 6) {
        return Vec::new();
    }
    let mut body = bytes::Bytes::copy_from_slice(body);
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut body, version) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for topic in assignment.assigned_partitions {
        let name = topic.topic.to_string();
        all.extend(
            topic
                .partitions
                .iter()
                .map(|partition| (name.clone(), *partition)),
        );
    }
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assignment_of_a_classic_member_is_read() {
        let bytes = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff";
        assert_eq!(assigned(bytes), [("t".into(), 1), ("t".into(), 2)]);
        assert!(assigned(b"").is_empty());
        assert!(assigned(b"\0\x01\x7f\xff\xff\xff").is_empty());
    }
}
