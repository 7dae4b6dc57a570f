//! `millstream streams describe`, `state` and `query`: what an instance of a running job says.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde_json::Value;

use super::instance::{Instance, InstanceArgs};
use crate::datetime::parse_datetime;
use crate::error::{CliError, output};
use crate::table;

/// Print the topology of a running job, and its stores.
#[derive(Debug, Args)]
#[command(
    after_help = "An instance answers whose configuration has queries.listener.\n\n\
    Examples:\n  \
    millstream streams describe --application-id word-count\n  \
    millstream streams describe --application-id word-count --instance http://10.0.0.7:9405"
)]
pub struct DescribeArgs {
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Print the stores of a running job: which instance works on which of their partitions, and which have standby copies.
#[derive(Debug, Args)]
#[command(
    after_help = "An instance answers whose configuration has queries.listener. Behind a standby copy (num.standby.replicas) stands how many \
    offsets of the changelog it has not taken yet, or a question mark while nobody knows.\n\n\
    Examples:\n  \
    millstream streams state --application-id word-count\n  \
    millstream streams state --application-id word-count --json"
)]
pub struct StateArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// Print an array of objects
    #[arg(long)]
    json: bool,
}

/// Ask the stores of a running job; prints a row as JSON a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Any instance answers for all. Rows are committed ones, in no order that means something. A key is a JSON list with a \
    value for each of its columns; a bound may have fewer. A window is chosen by when it begins: milliseconds since 1970, or \
    YYYY-MM-DDTHH:MM:SS.sss. In SQL each store is a table; names with other letters than small ones, digits and _ stand in double quotes. \
    Only SELECT is answered.\n\n\
    Examples:\n  \
    millstream streams query --application-id word-count --store counts --key '[\"to\"]'\n  \
    millstream streams query --application-id word-count --store counts --from '[\"a\"]' --to '[\"c\"]' --limit 20\n  \
    millstream streams query --application-id visits --store per-page --key '[\"home\"]' --window-from 2026-01-01T00:00:00.000\n  \
    millstream streams query --application-id word-count --sql 'SELECT word, n FROM counts WHERE n > 100 ORDER BY n DESC LIMIT 10'"
)]
pub struct QueryArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// The step's name in the topology
    #[arg(long, value_name = "NAME", required_unless_present = "sql")]
    store: Option<String>,
    /// The key
    #[arg(long, value_name = "JSON", conflicts_with_all = ["from", "to"], requires = "store")]
    key: Option<String>,
    /// Keys from this one on
    #[arg(long, value_name = "JSON", requires = "store")]
    from: Option<String>,
    /// Keys up to this one
    #[arg(long, value_name = "JSON", requires = "store")]
    to: Option<String>,
    /// Print at most so many rows
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Windows that begin at this time or later
    #[arg(long, value_name = "TIME", requires = "store")]
    window_from: Option<String>,
    /// Windows that begin before this time
    #[arg(long, value_name = "TIME", requires = "store")]
    window_to: Option<String>,
    /// Answer this SELECT over the job's stores instead
    #[arg(long, value_name = "SELECT", conflicts_with_all = ["store", "limit"])]
    sql: Option<String>,
}

/// Runs `describe`.
pub fn describe(args: &DescribeArgs) -> Result<(), CliError> {
    let page = args.instance.find()?.get("/topology")?;
    let text = page["description"].as_str().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).map_err(output)?;
    for store in page["stores"].as_array().into_iter().flatten() {
        let columns = |of: &str| {
            let columns = store[of].as_array().into_iter().flatten();
            let texts: Vec<String> = columns
                .map(|column| format!("{} {}", text_of(&column["name"]), text_of(&column["type"])))
                .collect();
            texts.join(", ")
        };
        let (name, kind) = (text_of(&store["name"]), text_of(&store["kind"]));
        writeln!(
            out,
            "Store {name} ({kind}): {} → {}",
            columns("key"),
            columns("columns")
        )
        .map_err(output)?;
    }
    Ok(())
}

/// Runs `state`.
pub fn state(args: &StateArgs) -> Result<(), CliError> {
    let instance = args.instance.find()?;
    let page = instance.get("/state")?;
    let standbys = standbys(&instance, &page);
    let headers = ["STORE", "KIND", "PARTITION", "INSTANCE", "STANDBYS"];
    let mut rows = Vec::new();
    for store in page["stores"].as_array().into_iter().flatten() {
        let mut owners: Vec<(i64, &Value)> = store["owners"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(partition, owner)| Some((partition.parse().ok()?, owner)))
            .collect();
        owners.sort_unstable_by_key(|(partition, _)| *partition);
        for (partition, owner) in owners {
            let name = text_of(&store["name"]);
            let standbys = standbys.get(&(name.clone(), partition));
            rows.push(vec![
                name,
                text_of(&store["kind"]),
                partition.to_string(),
                owner.as_str().unwrap_or("-").to_owned(),
                standbys.map_or_else(|| "-".to_owned(), |standbys| standbys.join(", ")),
            ]);
        }
    }
    table::print(&headers, &rows, args.json)
}

/// The standby copies by store and partition: each instance knows its own.
fn standbys(asked: &Instance, page: &Value) -> BTreeMap<(String, i64), Vec<String>> {
    let mut standbys = BTreeMap::<_, Vec<String>>::new();
    for address in page["instances"].as_array().into_iter().flatten() {
        let address = text_of(address);
        let is_asked = page["instance"] == address.as_str();
        // One that does not answer is not worked without: what it keeps is not known.
        let other = (!is_asked).then(|| asked.other(&address).get("/state").ok());
        let page = other.as_ref().map_or(Some(page), |other| other.as_ref());
        for standby in page
            .and_then(|page| page["standbys"].as_array())
            .into_iter()
            .flatten()
        {
            let lag = standby["lag"].as_u64();
            let lag = lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
            let at = (
                text_of(&standby["store"]),
                standby["partition"].as_i64().unwrap_or(-1),
            );
            standbys.entry(at).or_default().push(format!("{address} ({lag})"));
        }
    }
    standbys
}

/// Runs `query`.
pub fn query(args: &QueryArgs) -> Result<(), CliError> {
    let target = target(args)?;
    let page = args.instance.find()?.get_text(&target)?;
    let (rows, limited) = rows_of(&page).ok_or_else(|| {
        CliError::new("what the instance answers are no rows; is it of another version?".to_owned())
    })?;
    let mut out = std::io::stdout().lock();
    for row in rows {
        writeln!(out, "{row}").map_err(output)?;
    }
    if limited {
        eprintln!("There may be more rows; see --limit.");
    }
    Ok(())
}

/// What is asked for.
fn target(args: &QueryArgs) -> Result<String, CliError> {
    let Some(store) = &args.store else {
        let statement = args.sql.as_deref().unwrap_or_default();
        return Ok(format!("/sql?query={}", encoded(statement)));
    };
    let mut target = format!("/stores/{}?limit={}", encoded(store), args.limit);
    for (name, value) in [("key", &args.key), ("from", &args.from), ("to", &args.to)] {
        if let Some(value) = value {
            target.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    for (name, flag, value) in [
        ("window_from", "--window-from", &args.window_from),
        ("window_to", "--window-to", &args.window_to),
    ] {
        if let Some(value) = value {
            let time = value.parse::<i64>().or_else(|_| parse_datetime(value));
            let time = time.map_err(|reason| CliError::new(format!("{flag}: {reason}")))?;
            target.push_str(&format!("&{name}={time}"));
        }
    }
    Ok(target)
}

/// The rows of a page as they stand there, a line each, and whether there may be more: parsed, numbers would lose digits, and columns their
/// order.
fn rows_of(page: &str) -> Option<(Vec<&str>, bool)> {
    let rows = page.strip_prefix("{\"rows\":[\n")?;
    let (rows, end) = rows.rsplit_once("\n],\"limited\":")?;
    let limited = end.trim_end().strip_suffix('}')?.parse().ok()?;
    let rows = rows.lines().filter(|row| !row.is_empty());
    let rows = rows.map(|row| row.strip_suffix(',').unwrap_or(row));
    Some((rows.collect(), limited))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `text` as a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn rows_stay_as_they_are() {
        let page = "{\"rows\":[\n{\"word\":\"a\",\"n\":12345678901234567890.12},\n{\"word\":\"],\",\"n\":0.1}\n],\"limited\":true}\n";
        let rows = [
            r#"{"word":"a","n":12345678901234567890.12}"#,
            r#"{"word":"],","n":0.1}"#,
        ];
        assert_eq!(rows_of(page), Some((rows.to_vec(), true)));
        assert_eq!(
            rows_of("{\"rows\":[\n\n],\"limited\":false}\n"),
            Some((vec![], false))
        );
        assert_eq!(rows_of("{\"rows\":[]}"), None);
    }
}
