//! Who runs what: the record by which the leader tells it.
//!
//! It stands under a key of its own in the topic of configurations, where Java's workers pass it over.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::herder::Unit;

/// The key of an assignment's record.
pub(super) const ASSIGNMENT_KEY: &str = "millstream-assignment";

/// One life of a worker in its group: its URL and what tells this life from others, `http://HOST:PORT/#LIFE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct MemberId(String);

impl MemberId {
    /// A new life of the worker that others reach at `HOST:PORT`.
    pub(super) fn new(worker_id: &str, life: &str) -> Self {
        Self(format!("http://{worker_id}/#{life}"))
    }

    /// The member that a client's name stands for, if it is a worker's.
    pub(super) fn of_client(client: &str) -> Option<Self> {
        let good = client.starts_with("http://") && client.contains("/#");
        good.then(|| Self(client.to_owned()))
    }

    /// Where its REST API is, without a slash at the end.
    pub(super) fn url(&self) -> &str {
        self.0.split_once("/#").map_or(&self.0, |(url, _)| url)
    }

    /// `HOST:PORT`, as statuses name a worker.
    pub(super) fn worker_id(&self) -> &str {
        let url = self.url();
        url.strip_prefix("http://").unwrap_or(url)
    }

    /// The name of its client.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a connector or task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The member that may run it, and nobody else.
    pub(super) owner: MemberId,
    /// The epoch from which on it is the owner's.
    pub(super) since: u64,
    /// The epoch from which on the owner is to give it up.
    pub(super) draining: Option<u64>,
}

/// Who runs what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Assignment {
    /// Grows with each.
    pub(super) epoch: u64,
    /// Who decided it.
    pub(super) leader: MemberId,
    /// What somebody runs, or has yet to stop.
    pub(super) units: BTreeMap<Unit, Place>,
}

impl Assignment {
    /// Whether `member` is to run `unit`.
    pub(super) fn is_run_by(&self, unit: &Unit, member: &MemberId) -> bool {
        let place = self.units.get(unit);
        place.is_some_and(|place| place.owner == *member && place.draining.is_none())
    }

    /// What `member` is to run of a connector.
    pub(super) fn of_connector(&self, name: &str, member: &MemberId) -> BTreeSet<Unit> {
        let units = self.named(name).filter(|(_, place)| place.owner == *member);
        let units = units.filter(|(_, place)| place.draining.is_none());
        units.map(|(unit, _)| unit.clone()).collect()
    }

    /// What there is of a connector.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Unit, &'a Place)> {
        let from = Unit {
            connector: name.to_owned(),
            task: None,
        };
        let units = self.units.range(from..);
        units.take_while(move |(unit, _)| unit.connector == name)
    }

    /// The record's value.
    pub(super) fn to_json(&self) -> Value {
        let owners: BTreeSet<&str> = self.units.values().map(|place| place.owner.as_str()).collect();
        let owners: Vec<&str> = owners.into_iter().collect();
        let units = self.units.iter().map(|(unit, place)| {
            let owner = owners.binary_search(&place.owner.as_str()).unwrap_or_default();
            json!([unit.connector, unit.task, owner, place.since, place.draining])
        });
        let units: Vec<Value> = units.collect();
        json!({"epoch": self.epoch, "leader": self.leader.as_str(), "owners": owners, "units": units})
    }

    /// The assignment that a record's value stands for.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let owners: Vec<MemberId> = value["owners"]
            .as_array()?
            .iter()
            .map(|owner| owner.as_str().and_then(MemberId::of_client))
            .collect::<Option<_>>()?;
        let number = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().map(Some),
        };
        let units = value["units"].as_array()?.iter().map(|row| {
            let unit = Unit {
                connector: row[0].as_str()?.to_owned(),
                task: match number(&row[1])? {
                    None => None,
                    Some(task) => Some(u32::try_from(task).ok()?),
                },
            };
            let owner = owners.get(usize::try_from(row[2].as_u64()?).ok()?)?.clone();
            let (since, draining) = (row[3].as_u64()?, number(&row[4])?);
            Some((
                unit,
                Place {
                    owner,
                    since,
                    draining,
                },
            ))
        });
        Some(Self {
            epoch: value["epoch"].as_u64()?,
            leader: MemberId::of_client(value["leader"].as_str()?)?,
            units: units.collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let (a, b) = (MemberId::new("a:1", "x"), MemberId::new("b:1", "y"));
        assert_eq!((a.url(), a.worker_id()), ("http://a:1", "a:1"));
        let unit = |task| Unit {
            connector: "c-1".to_owned(),
            task,
        };
        let place = |owner: &MemberId, draining| Place {
            owner: owner.clone(),
            since: 3,
            draining,
        };
        let units = [(unit(None), place(&a, None)), (unit(Some(0)), place(&b, Some(4)))];
        let assignment = Assignment {
            epoch: 4,
            leader: b.clone(),
            units: units.into(),
        };
        assert_eq!(
            Assignment::from_json(&assignment.to_json()),
            Some(assignment.clone())
        );
        assert!(assignment.is_run_by(&unit(None), &a) && !assignment.is_run_by(&unit(Some(0)), &b));
        assert_eq!(assignment.of_connector("c-1", &a), [unit(None)].into());
        assert_eq!(assignment.of_connector("c", &a), [].into());
        assert_eq!(Assignment::from_json(&json!({"epoch": 1})), None);
    }
}
