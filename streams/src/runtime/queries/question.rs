//! Questions to a store as requests put them.
use std::ops::Range;
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::keys;
use super::local::{Query, Wanted};
use super::pages::ANSWER_BYTES_MAX;
use super::request::Request;
use super::{QueryError, Store};
use crate::operator::KeyRange;

/// Rows of an answer, unless it says how many.
const LIMIT_DEFAULT: usize = 1_000;
pub(super) const LIMIT_MAX: usize = 100_000;
/// Bytes of its rows in memory.
const READ_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;
/// The parameters of a store.
const PARAMETERS: [&str; 8] = [
    "key",
    "from",
    "to",
    "limit",
    "window_from",
    "window_to",
    "partition",
    "local",
];
/// What instances ask each other besides: of which job, and for rows in which form.
const BETWEEN_INSTANCES: [&str; 2] = ["job", "format"];

/// A question as it was put.
pub(super) struct Asked {
    pub(super) query: Query,
    /// Only this one, and only if it is here.
    pub(super) partition: Option<i32>,
    /// Only what this process works on.
    pub(super) local: bool,
    /// There may be more rows than are given.
    pub(super) may_be_more: bool,
    /// The rows are for another instance.
    pub(super) as_arrow: bool,
}

/// A request to a store.
struct Put<'a> {
    store: &'a Store,
    request: &'a Request,
}

impl Asked {
    /// What `request` asks of `store`, to be answered until then.
    pub(super) fn new(store: &Store, request: &Request, until: Instant) -> Result<Self, QueryError> {
        for (place, (name, _)) in request.query.iter().enumerate() {
            if !PARAMETERS.contains(&&**name) && !BETWEEN_INSTANCES.contains(&&**name) {
                let known = PARAMETERS.join(", ");
                return Err(store.unfit(format!("there is no parameter {name}; there is {known}")));
            }
            if request.query[..place].iter().any(|(before, _)| before == name) {
                return Err(store.unfit(format!("{name} is given twice")));
            }
        }
        let put = Put { store, request };
        let keys = put.keys()?;
        let partition = put.partition()?;
        if let (Some(partition), Wanted::One(key)) = (partition, &keys) {
            let of_key = store.partition_of(key)?;
            if of_key != partition {
                let reason =
                    format!("the key is in partition {of_key}, not in {partition}; leave partition out");
                return Err(store.unfit(reason));
            }
        }
        Ok(Self {
            may_be_more: matches!(keys, Wanted::Between(_))
                || store.has_windows()
                || store.of_step.ranks.is_some(),
            query: Query {
                keys,
                windows: put.windows()?,
                limit: put.limit()?,
                bytes_max: READ_BYTES_MAX,
                until: Some(until),
            },
            partition,
            local: put.flag("local")?,
            as_arrow: request.value("format") == Some("arrow"),
        })
    }
}

impl Put<'_> {
    fn number(&self, name: &str) -> Result<Option<i64>, QueryError> {
        let Some(value) = self.request.value(name) else {
            return Ok(None);
        };
        let number = value.parse().map(Some);
        number.map_err(|_| self.store.unfit(format!("{name}={value} is no whole number")))
    }

    fn flag(&self, name: &str) -> Result<bool, QueryError> {
        match self.request.value(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => Err(self
                .store
                .unfit(format!("{name}={other} is neither true nor false"))),
        }
    }

    fn limit(&self) -> Result<usize, QueryError> {
        let Some(limit) = self.number("limit")? else {
            return Ok(LIMIT_DEFAULT);
        };
        let limit = usize::try_from(limit).ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| self.store.unfit(format!("limit is between 1 and {LIMIT_MAX}")))
    }

    fn windows(&self) -> Result<Range<i64>, QueryError> {
        let (from, to) = (self.number("window_from")?, self.number("window_to")?);
        if (from.is_some() || to.is_some()) && !self.store.has_windows() {
            let reason = "it has no windows; leave window_from and window_to out";
            return Err(self.store.unfit(reason.to_owned()));
        }
        Ok(from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX))
    }

    fn partition(&self) -> Result<Option<i32>, QueryError> {
        let partition = self.number("partition")?.map(|partition| {
            let partition = i32::try_from(partition).ok();
            let partition = partition.filter(|partition| (0..self.store.partitions).contains(partition));
            partition.ok_or_else(|| {
                self.store
                    .unfit(format!("it has {} partitions", self.store.partitions))
            })
        });
        partition.transpose()
    }

    fn keys(&self) -> Result<Wanted, QueryError> {
        let (schema, request) = (self.store.schema(), self.request);
        let fields = self.store.key_fields(&schema);
        let unfit = |reason| self.store.unfit(reason);
        if request.value("key").is_none() {
            return Ok(Wanted::Between(KeyRange {
                from: self.bound("from", &fields)?,
                to: self.bound("to", &fields)?,
            }));
        }
        if request.value("from").or(request.value("to")).is_some() {
            return Err(unfit("give key, or from and to".to_owned()));
        }
        let values = self.values("key", &fields)?;
        Ok(Wanted::One(keys::key(&values, &fields).map_err(unfit)?))
    }

    fn bound(&self, name: &str, fields: &[&Field]) -> Result<Vec<ArrayRef>, QueryError> {
        let values = self.values(name, fields)?;
        keys::columns(&values, fields).map_err(|reason| self.store.unfit(reason))
    }

    /// The values of a JSON list; bytes are in hexadecimal digits, as rows show them.
    fn values(&self, name: &str, fields: &[&Field]) -> Result<Vec<ScalarValue>, QueryError> {
        let values = self.request.value(name).map(keys::from_json).transpose();
        let values = values
            .map_err(|reason| self.store.unfit(reason))?
            .unwrap_or_default();
        let typed = values.into_iter().enumerate().map(|(place, value)| {
            match (fields.get(place).map(|field| field.data_type()), value) {
                (Some(DataType::BinaryView), ScalarValue::Utf8(Some(text))) => {
                    let bytes = from_hex(&text).map(|bytes| ScalarValue::Binary(Some(bytes)));
                    let reason = || {
                        self.store
                            .unfit(format!("{text} is no hexadecimal number of whole bytes"))
                    };
                    bytes.ok_or_else(reason)
                }
                (_, value) => Ok(value),
            }
        });
        typed.collect()
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16));
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn bytes_are_pairs_of_hexadecimal_digits() {
        assert_eq!(from_hex("00fF10"), Some(vec![0, 255, 16]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        assert_eq!((from_hex("1"), from_hex("0g")), (None, None));
    }
}
