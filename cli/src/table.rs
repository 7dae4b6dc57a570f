//! Columns as Kafka's scripts print them: padded to the widest cell, one blank between, or one JSON object a row.

use std::io::Write;

use serde_json::{Map, Value};

use crate::error::{CliError, output};

/// Prints rows under their headers; with `json`, an array of objects named by the headers.
pub fn print(headers: &[&str], rows: &[Vec<String>], json: bool) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let text = if json {
        to_json(headers, rows)
    } else {
        to_text(headers, rows)
    };
    out.write_all(text.as_bytes()).map_err(output)
}

fn to_text(headers: &[&str], rows: &[Vec<String>]) -> String {
    const WIDTH_MIN: usize = 15;
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len())
        .map(|column| width(column).max(headers[column].len()).max(WIDTH_MIN))
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join(" ").trim_end());
        text.push('\n');
    };
    line(&mut headers.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

fn to_json(headers: &[&str], rows: &[Vec<String>]) -> String {
    let objects = rows.iter().map(|row| {
        let fields = headers.iter().zip(row).map(|(header, cell)| {
            let value = match cell.as_str() {
                "-" => Value::Null,
                number => number
                    .parse::<i64>()
                    .map_or_else(|_| cell.clone().into(), Value::from),
            };
            ((*header).to_owned(), value)
        });
        Value::Object(fields.collect::<Map<_, _>>())
    });
    format!("{}\n", Value::Array(objects.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".into(), "2".into()],
            vec!["a-very-long-group-name".into(), "-".into()],
        ];
        let text = to_text(&["GROUP", "LAG"], &rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "GROUP                  LAG");
        assert_eq!(lines[1], "a                      2");
    }

    #[test]
    fn json_has_numbers_and_nulls() {
        let rows = [vec!["g".into(), "2".into(), "-".into()]];
        assert_eq!(
            to_json(&["GROUP", "LAG", "HOST"], &rows),
            "[{\"GROUP\":\"g\",\"HOST\":null,\"LAG\":2}]\n"
        );
    }
}
