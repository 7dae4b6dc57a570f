//! As much of SQL as the snapshot's statements have.
use super::world::{Cell, Database, Key, Rows, column_name, name};

/// The cells of the rows that a statement gives; nothing where a table or a column is not there.
pub(super) fn select(sql: &str, database: &Database) -> Option<Vec<Vec<String>>> {
    let (list, rest) = sql.strip_prefix("SELECT ")?.split_once(" FROM `d`.`")?;
    let (table, rest) = rest.split_once('`')?;
    let rows = database.get(&name(table))?;
    let (condition, rest) = match rest.strip_prefix(" WHERE ") {
        Some(rest) => rest.split_once(" ORDER BY ")?,
        None => ("", rest.strip_prefix(" ORDER BY ").unwrap_or_default()),
    };
    let column = |text: &str| {
        let name = text.trim_start_matches("CAST(").split([' ', ')']).next()?;
        let name = name.rsplit('.').next()?.trim_matches('`');
        (0..rows.kind.columns() + rows.columns).find(|index| column_name(rows.kind, *index) == name)
    };
    let columns: Option<Vec<usize>> = list.split(',').map(column).collect();
    let columns = columns?;
    let mut found: Vec<(&Key, &Vec<i64>)> = Vec::new();
    for (key, values) in &rows.rows {
        let mut parser = Parser {
            text: condition,
            rows,
            row: (key, values),
        };
        if condition.is_empty() || parser.any()? {
            found.push((key, values));
        }
    }
    let mut limit = usize::MAX;
    if let Some((order, rows_max)) = rest.split_once(" LIMIT ") {
        let columns: Option<Vec<usize>> = order.split(',').map(column).collect();
        let order = columns?;
        let place = |row: &(&Key, &Vec<i64>)| -> Vec<Cell> {
            order.iter().map(|index| cell(rows, *row, *index)).collect()
        };
        found.sort_by_key(place);
        if rest.contains(" DESC") {
            found.reverse();
        }
        limit = rows_max.parse().expect("a limit is a number");
    }
    let text = |cell: Cell| match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => text,
    };
    let rows = found.into_iter().take(limit).map(|row| {
        columns
            .iter()
            .map(|index| text(cell(rows, row, *index)))
            .collect()
    });
    Some(rows.collect())
}

fn cell(rows: &Rows, (key, values): (&Key, &Vec<i64>), index: usize) -> Cell {
    let keys = rows.kind.columns();
    if index < keys {
        key[index].clone()
    } else {
        Cell::Int(values[index - keys])
    }
}

/// `any := all (" OR " all)*`, `all := one (" AND " one)*`, `one := "(" any ")" | column operator literal`.
struct Parser<'a> {
    text: &'a str,
    rows: &'a Rows,
    row: (&'a Key, &'a Vec<i64>),
}

impl Parser<'_> {
    fn eat(&mut self, word: &str) -> bool {
        let rest = self.text.strip_prefix(word);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn any(&mut self) -> Option<bool> {
        let mut holds = self.all()?;
        while self.eat(" OR ") {
            holds |= self.all()?;
        }
        Some(holds)
    }

    fn all(&mut self) -> Option<bool> {
        let mut holds = self.one()?;
        while self.eat(" AND ") {
            holds &= self.one()?;
        }
        Some(holds)
    }

    fn one(&mut self) -> Option<bool> {
        if self.eat("(") {
            let holds = self.any();
            assert!(self.eat(")"), "a bracket is closed before {:?}", self.text);
            return holds;
        }
        let end = self.text.find(['>', '<', '=']).expect("a comparison");
        let column = self.text[..end].rsplit('.').next()?.trim_matches('`').to_owned();
        let operator = &self.text[end..=end];
        self.text = &self.text[end + 1..];
        let index = (0..self.rows.kind.columns() + self.rows.columns)
            .find(|index| column_name(self.rows.kind, *index) == column)?;
        let (own, other) = (cell(self.rows, self.row, index), self.literal());
        Some(match operator {
            ">" => own > other,
            "<" => own < other,
            _ => own == other,
        })
    }

    fn literal(&mut self) -> Cell {
        // What was a text of a table that is another by now has no character set.
        if self.eat("_utf8mb4 X'") || self.eat("X'") {
            let (hex, rest) = self.text.split_once('\'').expect("a literal ends");
            self.text = rest;
            let bytes = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
            return Cell::Text(String::from_utf8(bytes.collect()).expect("text"));
        }
        let end = self.text.find([' ', ')']).unwrap_or(self.text.len());
        let (number, rest) = self.text.split_at(end);
        self.text = rest;
        Cell::Int(number.parse().expect("a number"))
    }
}
