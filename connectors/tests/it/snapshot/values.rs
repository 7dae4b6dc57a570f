//! Values of a log and of a `SELECT` in one form.
use millstream_connectors::mysql::binlog::{BINARY, ColumnType, Value};
use millstream_connectors::mysql::schema::{Column, Table};
use millstream_connectors::mysql::{charset, text};

/// The log's value as the server prints it; bytes in hex.
pub fn printed(column: &Column, value: &Value<'_>) -> Option<String> {
    let mut shown = String::new();
    match value {
        Value::Absent | Value::Null => return None,
        // Logs of old servers do not say what numbers and texts are.
        Value::Int(number @ ..0) if column.log.unsigned == Some(true) => {
            let bits = match column.log.column_type {
                ColumnType::Tiny => 8,
                ColumnType::Short => 16,
                ColumnType::Int24 => 24,
                ColumnType::Long => 32,
                _ => 64,
            };
            shown = (*number as u64 & (u64::MAX >> (64 - bits))).to_string();
        }
        Value::Float(number) => text::double(f64::from(*number), &mut shown),
        Value::Text { bytes, .. } if column.log.collation == BINARY => text::hex(bytes, &mut shown),
        Value::Text { bytes, .. } => charset::decode(column.log.collation, bytes, &mut shown).unwrap(),
        value => text::print(&column.log, value, 1 << 20, &mut shown).unwrap(),
    }
    Some(normal(column, shown))
}

/// The cell of a `SELECT` in the same form.
pub fn cell(column: &Column, cell: Option<&[u8]>) -> Option<String> {
    let cell = cell?;
    let declared = column.declared.as_deref().unwrap_or_default();
    let is_bytes = column.log.collation == BINARY && !matches!(declared, "uuid" | "inet6" | "inet4");
    let shown = match column.log.column_type {
        ColumnType::Bit { .. } => cell
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte))
            .to_string(),
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Blob { .. } if is_bytes => {
            let mut shown = String::new();
            text::hex(cell, &mut shown);
            shown
        }
        _ => String::from_utf8_lossy(cell).into_owned(),
    };
    Some(normal(column, shown))
}

fn normal(column: &Column, shown: String) -> String {
    match (
        column.declared.as_deref().unwrap_or_default(),
        column.log.column_type,
    ) {
        ("uuid", _) => shown.replace('-', "").to_uppercase(),
        ("inet4" | "inet6", _) => {
            let address: Result<std::net::IpAddr, _> = shown.parse();
            let bytes = address.map(|address| match address {
                std::net::IpAddr::V4(address) => address.octets().to_vec(),
                std::net::IpAddr::V6(address) => address.octets().to_vec(),
            });
            let mut in_hex = String::new();
            match bytes {
                Ok(bytes) => text::hex(&bytes, &mut in_hex),
                Err(_) => in_hex = shown,
            }
            in_hex.trim_end_matches("00").to_owned()
        }
        // Tables may say with how many digits numbers are shown.
        (_, ColumnType::Double) => {
            let mut plain = String::new();
            text::double(shown.parse().unwrap(), &mut plain);
            plain
        }
        // Columns with ZEROFILL are shown with zeros.
        (
            _,
            ColumnType::Tiny
            | ColumnType::Short
            | ColumnType::Int24
            | ColumnType::Long
            | ColumnType::LongLong
            | ColumnType::Decimal { .. },
        ) if shown.starts_with('0') => {
            let rest = shown.trim_start_matches('0');
            match rest.starts_with('.') || rest.is_empty() {
                true => format!("0{rest}"),
                false => rest.to_owned(),
            }
        }
        // Logs leave zeros at the end out.
        (_, ColumnType::Char { .. }) if column.log.collation == BINARY => {
            shown.trim_end_matches("00").to_owned()
        }
        _ => shown,
    }
}

/// The text of a key.
pub fn key_of(table: &Table, values: &[Option<String>]) -> String {
    let parts: Vec<&str> = table
        .key
        .iter()
        .map(|index| values[*index].as_deref().unwrap_or("?"))
        .collect();
    parts.join("\u{1}")
}
