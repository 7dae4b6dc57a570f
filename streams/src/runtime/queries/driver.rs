//! The stores of a test driver.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::local::{NoAnswer, Query, Wanted};
use super::{Queries, QueryError, Store};
use crate::operator::KeyRange;
use crate::plan::Topology;
use crate::source::TopicPartition;
use crate::store::StoreReader;
use crate::task::Task;

/// Stores by name, to be read from tasks or their local stores.
pub(crate) struct DriverStores(Queries);

/// The tasks by sub-topology and partition, and their local stores if they have some.
pub(crate) struct DriverTasks<'a> {
    pub(crate) tasks: &'a mut BTreeMap<(usize, i32), Task>,
    pub(crate) reader: &'a dyn Fn(&TopicPartition) -> Option<StoreReader>,
}

impl DriverStores {
    pub(crate) fn new(topology: &Topology, tasks: &HashMap<usize, usize>) -> Self {
        Self(Queries::new(topology, tasks))
    }

    /// All rows of a store.
    pub(crate) fn rows(&self, name: &str, mut of: DriverTasks<'_>) -> Result<RecordBatch, QueryError> {
        let store = self.0.store(name)?;
        let query = Query {
            keys: Wanted::Between(KeyRange::default()),
            windows: i64::MIN..i64::MAX,
            limit: usize::MAX,
            bytes_max: usize::MAX,
            until: None,
        };
        let mut rows = Vec::new();
        for partition in 0..store.partitions {
            rows.extend(store.of_task(partition, &query, &mut of)?);
        }
        concat_batches(&store.schema(), &rows).map_err(|error| store.failed(error))
    }

    /// Those that have tables and no windows.
    #[cfg(test)]
    pub(crate) fn tables(&self) -> Vec<String> {
        let tables = self.0.stores.iter().filter(|store| !store.has_windows());
        tables.map(|store| store.name.clone()).collect()
    }

    /// At most `limit` rows of a partition of windows, whose keys are not before `from`.
    #[cfg(test)]
    pub(crate) fn from(
        &self,
        name: &str,
        from: arrow::array::ArrayRef,
        limit: usize,
        mut of: DriverTasks<'_>,
    ) -> RecordBatch {
        let store = self.0.store(name).unwrap();
        let range = KeyRange {
            from: vec![from],
            to: Vec::new(),
        };
        let query = Query {
            keys: Wanted::Between(range),
            windows: i64::MIN..i64::MAX,
            limit,
            bytes_max: usize::MAX,
            until: None,
        };
        let rows = store.of_task(0, &query, &mut of).unwrap();
        concat_batches(&store.schema(), &rows).unwrap()
    }

    /// The rows of a key, which is the first columns of row number `row`.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &str, row: &RecordBatch, mut of: DriverTasks<'_>) -> RecordBatch {
        let store = self.0.store(name).unwrap();
        let key = row.columns()[..store.key_count()].to_vec();
        let partition = store.partition_of(&key).unwrap();
        let query = Query {
            keys: Wanted::One(key),
            windows: i64::MIN..i64::MAX,
            limit: usize::MAX,
            bytes_max: usize::MAX,
            until: None,
        };
        let rows = store.of_task(partition, &query, &mut of).unwrap();
        concat_batches(&store.schema(), &rows).unwrap()
    }
}

impl Store {
    fn of_task(
        &self,
        partition: i32,
        query: &Query,
        of: &mut DriverTasks<'_>,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let Some(task) = of.tasks.get_mut(&(self.sub, partition)) else {
            return Ok(Vec::new());
        };
        let changelog = task.stores().find(|(step, _)| *step == self.step);
        let at = changelog.map(|(_, topic)| TopicPartition {
            topic: Arc::clone(topic),
            partition,
        });
        let reader = at.and_then(|at| (of.reader)(&at));
        let read = match reader.filter(|_| self.rows.is_some()) {
            Some(reader) => self.read(&reader, query, &|| false),
            None => {
                let answered = task.answer(self.step, &query.asked(None));
                let rows = answered.map_err(|error| self.failed(error))?;
                self.told(rows, query)
            }
        };
        read.map_err(|error| match error {
            NoAnswer::Never(error) => error,
            NoAnswer::Later(cause) | NoAnswer::Late(cause) => self.failed(cause),
            NoAnswer::NotHere => self.failed("its task does not run"),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use crate::{Streams, TestDriver, TestRecord, prelude::*};

    /// Each auction with the ranks and prices of its best bids.
    fn bids(driver: &mut TestDriver, name: &str) -> Vec<(String, i64, i64)> {
        let rows = driver.store(name).unwrap();
        let column = |name: &str| {
            let column = rows.column_by_name(name).unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        };
        let auctions = rows.column_by_name("auction").unwrap().as_string_view();
        let auctions = auctions.iter().map(|auction| auction.unwrap().to_owned());
        let mut bids: Vec<_> = auctions
            .zip(column("rank"))
            .zip(column("price"))
            .map(|((auction, rank), price)| (auction, rank, price))
            .collect();
        bids.sort();
        bids
    }

    #[test]
    fn a_limit_counts_the_rows_of_the_range_alone() {
        let app = Streams::new("views");
        app.stream("pages", text("page"))
            .watermark(record_time(std::time::Duration::ZERO))
            .group_by([col("page")])
            .window(tumbling(std::time::Duration::from_secs(1)).grace(std::time::Duration::from_secs(60)))
            .aggregate("views", [count_all().alias("n")])
            .to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for (page, at) in [("a", 0), ("b", 0), ("c", 0), ("x", 1_000), ("y", 2_000)] {
            driver.pipe("pages", TestRecord::new(page).at(at)).unwrap();
        }
        driver.commit().unwrap();
        let stores = driver.stores();
        for (limit, pages) in [(1, &["x"][..]), (2, &["x", "y"]), (9, &["x", "y"])] {
            let from = std::sync::Arc::new(arrow::array::StringViewArray::from(vec!["w"]));
            let rows = driver.with_tasks(|tasks| stores.from("views", from, limit, tasks));
            let found: Vec<_> = rows.column(0).as_string_view().iter().flatten().collect();
            assert_eq!(found, pages);
        }
    }

    #[test]
    fn first_rows_are_taken_apart() {
        let app = Streams::new("auctions");
        let columns = [
            cast(col("auction"), DataType::Utf8View).alias("auction"),
            cast(col("price"), DataType::Int64).alias("price"),
        ];
        let bids_of = app
            .stream("bids", text("price").with_key("auction"))
            .select(columns);
        let dearest = || [col("price").sort(false, false)];
        bids_of
            .group_by([col("auction")])
            .top("best", 2, dearest())
            .to("best", json());
        bids_of
            .watermark(record_time(std::time::Duration::ZERO))
            .group_by([col("auction")])
            .window(tumbling(std::time::Duration::from_secs(1)))
            .top("now", 1, dearest())
            .to("now", json());
        for limit in [None, Some(0)] {
            let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
            if let Some(limit) = limit {
                driver = driver.limited(limit).unwrap();
            }
            for (auction, price) in [("vase", 30), ("vase", 10), ("vase", 20), ("book", 5)] {
                let record = TestRecord::new(price.to_string()).key(auction).at(100);
                driver.pipe("bids", record).unwrap();
            }
            driver.commit().unwrap();
            let best = |auction: &str, rank, price| (auction.to_owned(), rank, price);
            let expected = [best("book", 1, 5), best("vase", 1, 30), best("vase", 2, 20)];
            assert_eq!(bids(&mut driver, "best"), expected, "{limit:?}");
            assert_eq!(
                bids(&mut driver, "now"),
                [best("book", 1, 5), best("vase", 1, 30)],
                "{limit:?}"
            );
            let stores = driver.stores();
            let rows = driver.store("best").unwrap();
            let vase = (0..3)
                .find(|row| rows.column(0).as_string_view().value(*row) == "vase")
                .unwrap();
            let got = driver.with_tasks(|tasks| stores.get("best", &rows.slice(vase, 1), tasks));
            assert_eq!(got.num_rows(), 2);
        }
    }
}
