//! The table of offsets: how far each partition was written, and by whom last.
//!
//! It changes in the transactions of the rows, so that both are there or neither is. A task that opens a partition writes its random name into
//! the row; a change asks for that name and for the offset it begins at, so that a task whose place another one took, or whose
//! last transaction was committed without its knowing, changes nothing.
use std::sync::Arc;

use millstream_connect::plugin::{PartitionOffset, TopicPartition};

use super::table::Cells;
use super::value::{push_identifier, push_text};

/// A partition's offset that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub partition: TopicPartition,
    pub from: Option<i64>,
    pub to: i64,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub partition: TopicPartition,
    pub next: Option<i64>,
    pub owner: String,
}

/// Statements about the offsets of a connector.
#[derive(Debug, Clone)]
pub(super) struct Offsets {
    database: String,
    name: String,
    /// The quoted name of the table.
    table: String,
    connector: String,
}

impl Offsets {
    pub fn new(database: &str, table: &str, connector: &str) -> Self {
        let mut quoted = Vec::new();
        push_identifier(&mut quoted, database);
        quoted.push(b'.');
        push_identifier(&mut quoted, table);
        Self {
            database: database.to_owned(),
            name: table.to_owned(),
            table: String::from_utf8_lossy(&quoted).into_owned(),
            connector: text(connector),
        }
    }

    /// The table's name, for messages.
    pub fn shown(&self) -> &str {
        &self.table
    }

    /// Makes the table. Names are compared byte by byte; together they fit into the indexes of old servers, too.
    pub fn create(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (connector VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             topic VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, kafka_partition INT NOT NULL, next_offset BIGINT NULL, \
             owner VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
             changed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, \
             PRIMARY KEY (connector, topic, kafka_partition)) ENGINE=InnoDB",
            self.table
        )
    }

    /// Asks for the table's engine: no row when there is no table.
    pub fn engine(&self) -> String {
        format!(
            "SELECT engine FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
            text(&self.database),
            text(&self.name)
        )
    }

    /// Makes `owner` the owner of partitions.
    pub fn take(&self, partitions: &[TopicPartition], owner: &str) -> String {
        let owner = text(owner);
        let rows = partitions.iter().map(|partition| {
            format!(
                "({}, {}, {}, NULL, {owner})",
                self.connector,
                text(&partition.topic),
                partition.partition
            )
        });
        let rows: Vec<String> = rows.collect();
        format!(
            "INSERT INTO {} (connector, topic, kafka_partition, next_offset, owner) VALUES {} ON DUPLICATE KEY UPDATE owner = {owner}",
            self.table,
            rows.join(", ")
        )
    }

    /// Reads the rows of partitions: topic, partition, offset, owner.
    pub fn read(&self, partitions: &[TopicPartition]) -> String {
        let places: Vec<String> = partitions.iter().map(place).collect();
        format!(
            "SELECT topic, kafka_partition, next_offset, owner FROM {} WHERE connector = {} AND ({})",
            self.table,
            self.connector,
            places.join(" OR ")
        )
    }

    /// Reads all rows of the connector.
    pub fn read_all(&self) -> String {
        format!(
            "SELECT topic, kafka_partition, next_offset, owner FROM {} WHERE connector = {} ORDER BY topic, kafka_partition",
            self.table, self.connector
        )
    }

    /// Moves offsets, if they are where they are thought to be and `owner` still owns them: as many rows change as there are moves, or the
    /// transaction must not go on.
    pub fn advance(&self, moves: &[Move], owner: &str) -> String {
        let mut cases = String::new();
        let mut places = Vec::new();
        for Move { partition, from, to } in moves {
            let place = place(partition);
            cases.push_str(&format!(" WHEN {place} THEN {to}"));
            let from = from.map_or("NULL".to_owned(), |from| from.to_string());
            places.push(format!("({place} AND next_offset <=> {from})"));
        }
        // Without the index the rows of other tasks would be waited for.
        format!(
            "UPDATE {} FORCE INDEX (PRIMARY) SET next_offset = CASE{cases} END WHERE connector = {} AND owner = {} AND ({})",
            self.table,
            self.connector,
            text(owner),
            places.join(" OR ")
        )
    }

    /// Sets a partition's offset, whoever owned it, or forgets it.
    pub fn set(&self, partition: &TopicPartition, next: Option<i64>, owner: &str) -> String {
        match next {
            Some(next) => format!(
                "INSERT INTO {} (connector, topic, kafka_partition, next_offset, owner) VALUES ({}, {}, {}, {next}, {owner}) \
                 ON DUPLICATE KEY UPDATE next_offset = {next}, owner = {owner}",
                self.table,
                self.connector,
                text(&partition.topic),
                partition.partition,
                owner = text(owner),
            ),
            None => format!(
                "DELETE FROM {} WHERE connector = {} AND {}",
                self.table,
                self.connector,
                place(partition)
            ),
        }
    }
}

/// Rows as [`Offsets::read`] asks for them.
pub(super) fn stored(rows: &[Cells]) -> Vec<Stored> {
    let rows = rows.iter().filter_map(|row| {
        let [Some(topic), Some(partition), next, Some(owner)] = row.as_slice() else {
            return None;
        };
        Some(Stored {
            partition: TopicPartition {
                topic: Arc::from(topic.as_str()),
                partition: partition.parse().ok()?,
            },
            next: match next {
                Some(next) => Some(next.parse().ok()?),
                None => None,
            },
            owner: owner.clone(),
        })
    });
    rows.collect()
}

/// What is known of how far partitions were written.
pub(super) fn known(stored: Vec<Stored>) -> Vec<PartitionOffset> {
    let known = stored.into_iter().filter_map(|stored| {
        Some(PartitionOffset {
            partition: stored.partition,
            next: stored.next?,
        })
    });
    known.collect()
}

/// What became of moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All are done.
    Done,
    /// None is.
    NotDone,
    /// Another task owns one of them.
    Fenced,
    /// Somebody else set an offset.
    Torn,
}

/// What became of moves, by what is stored now.
pub(super) fn outcome(moves: &[Move], stored: &[Stored], owner: &str) -> Outcome {
    let (mut done, mut not_done) = (true, true);
    for Move { partition, from, to } in moves {
        let Some(row) = stored.iter().find(|row| row.partition == *partition) else {
            return Outcome::Fenced;
        };
        if row.owner != owner {
            return Outcome::Fenced;
        }
        done &= row.next == Some(*to);
        not_done &= row.next == *from;
    }
    match (done, not_done) {
        (true, _) => Outcome::Done,
        (false, true) => Outcome::NotDone,
        (false, false) => Outcome::Torn,
    }
}

fn place(partition: &TopicPartition) -> String {
    format!(
        "(topic = {} AND kafka_partition = {})",
        text(&partition.topic),
        partition.partition
    )
}

/// A text between quotes, in the sink's sessions.
pub(super) fn text(text: &str) -> String {
    let mut quoted = Vec::new();
    push_text(&mut quoted, text);
    String::from_utf8_lossy(&quoted).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition {
            topic: Arc::from("t"),
            partition: number,
        }
    }

    fn step(number: i32, from: Option<i64>, to: i64) -> Move {
        Move {
            partition: partition(number),
            from,
            to,
        }
    }

    #[test]
    fn an_offset_moves_from_where_it_is_and_for_its_owner() {
        let offsets = Offsets::new("d", "o", "it's");
        assert_eq!(
            offsets.advance(&[step(0, None, 5), step(1, Some(2), 3)], "me"),
            "UPDATE `d`.`o` FORCE INDEX (PRIMARY) SET next_offset = CASE WHEN (topic = 't' AND kafka_partition = 0) THEN 5 \
             WHEN (topic = 't' AND kafka_partition = 1) THEN 3 END WHERE connector = 'it''s' AND owner = 'me' AND \
             (((topic = 't' AND kafka_partition = 0) AND next_offset <=> NULL) OR \
             ((topic = 't' AND kafka_partition = 1) AND next_offset <=> 2))"
        );
    }

    #[test]
    fn what_became_of_moves_is_told_by_what_is_stored() {
        let moves = [step(0, None, 5), step(1, Some(2), 3)];
        let row = |number, next, owner: &str| Stored {
            partition: partition(number),
            next,
            owner: owner.to_owned(),
        };
        let of = |rows: &[Stored]| outcome(&moves, rows, "me");
        assert_eq!(of(&[row(0, Some(5), "me"), row(1, Some(3), "me")]), Outcome::Done);
        assert_eq!(of(&[row(0, None, "me"), row(1, Some(2), "me")]), Outcome::NotDone);
        assert_eq!(of(&[row(0, Some(5), "me"), row(1, Some(2), "me")]), Outcome::Torn);
        assert_eq!(
            of(&[row(0, Some(5), "me"), row(1, Some(3), "you")]),
            Outcome::Fenced
        );
        assert_eq!(of(&[row(0, Some(5), "me")]), Outcome::Fenced);
    }
}
