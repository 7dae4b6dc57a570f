//! JSON as the server prints it: a space behind commas and colons, keys in stored order.
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::DEPTH_MAX;
use super::binary::Node;
use super::tree::Tree;
use crate::mysql::binlog::{Damage, DateTime, Decimal, Time};
use crate::mysql::text;

/// Types of MySQL within JSON.
const DATE: u8 = 10;
const TIME: u8 = 11;
const DATETIME: u8 = 12;
const TIMESTAMP: u8 = 7;
const DECIMAL: u8 = 246;

/// The most bytes of text that a stored byte becomes, with a little for the whole. Damaged documents in which values lie within
/// each other could become any size otherwise.
const GROWTH_MAX: usize = 12;

struct Printer<'t> {
    target: &'t mut String,
    /// The most that `target` may come to hold.
    limit: usize,
}

pub(crate) fn print(tree: &Tree<'_>, stored_bytes: usize, target: &mut String) -> Result<(), Damage> {
    let limit = target
        .len()
        .saturating_add(stored_bytes.saturating_mul(GROWTH_MAX))
        .saturating_add(64);
    Printer { target, limit }.tree(tree, 0)
}

impl Printer<'_> {
    fn level(&self, depth: usize) -> Result<(), Damage> {
        if depth > DEPTH_MAX {
            let rule = "more than a document can have";
            return Err(Damage::Invalid {
                what: "the levels of a JSON document",
                value: depth as u64,
                rule,
            });
        }
        if self.target.len() > self.limit {
            return Err(Damage::TooLarge {
                what: "the text of a JSON document",
                limit: self.limit,
            });
        }
        Ok(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.target.push_str(", ");
        }
    }

    fn key(&mut self, key: &str) {
        self.text(key);
        self.target.push_str(": ");
    }

    fn tree(&mut self, tree: &Tree<'_>, depth: usize) -> Result<(), Damage> {
        self.level(depth)?;
        match tree {
            Tree::Node(node) => self.node(node, depth)?,
            Tree::Object(members) => {
                self.target.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    self.separate(index);
                    self.key(key);
                    self.tree(value, depth + 1)?;
                }
                self.target.push('}');
            }
            Tree::Array(elements) => {
                self.target.push('[');
                for (index, value) in elements.iter().enumerate() {
                    self.separate(index);
                    self.tree(value, depth + 1)?;
                }
                self.target.push(']');
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node<'_>, depth: usize) -> Result<(), Damage> {
        self.level(depth)?;
        match node {
            Node::Null => self.target.push_str("null"),
            Node::Bool(value) => self.target.push_str(if *value { "true" } else { "false" }),
            Node::Int(number) => self.format(format_args!("{number}")),
            Node::UInt(number) => self.format(format_args!("{number}")),
            Node::Double(number) => self.double(*number),
            Node::Text(value) => self.text(value),
            Node::Opaque(kind, bytes) => self.opaque(*kind, bytes)?,
            Node::Object(container) => {
                self.target.push('{');
                for index in 0..container.len() {
                    self.separate(index);
                    self.key(container.key(index)?);
                    self.node(&container.value(index)?, depth + 1)?;
                }
                self.target.push('}');
            }
            Node::Array(container) => {
                self.target.push('[');
                for index in 0..container.len() {
                    self.separate(index);
                    self.node(&container.value(index)?, depth + 1)?;
                }
                self.target.push(']');
            }
        }
        Ok(())
    }

    fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.target.write_fmt(arguments).expect("strings take everything");
    }

    /// A double always shows that it is one.
    fn double(&mut self, number: f64) {
        let start = self.target.len();
        text::double(number, self.target);
        if !self.target[start..].contains(['.', 'e']) {
            self.target.push_str(".0");
        }
    }

    fn text(&mut self, value: &str) {
        self.target.push('"');
        let mut plain = 0;
        for (at, byte) in value.bytes().enumerate() {
            let escape = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                8 => "\\b",
                9 => "\\t",
                10 => "\\n",
                12 => "\\f",
                13 => "\\r",
                0..=31 => "",
                _ => continue,
            };
            self.target.push_str(&value[plain..at]);
            plain = at + 1;
            if escape.is_empty() {
                self.format(format_args!("\\u{byte:04x}"))
            } else {
                self.target.push_str(escape)
            }
        }
        self.target.push_str(&value[plain..]);
        self.target.push('"');
    }

    fn opaque(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Damage> {
        match kind {
            DECIMAL => {
                let [precision, scale, digits @ ..] = bytes else {
                    return Err(Damage::Short {
                        what: "a decimal in JSON",
                        needed: 2,
                        left: bytes.len(),
                    });
                };
                let number = Decimal::new(digits, *precision, *scale)?;
                self.format(format_args!("{number}"));
                return Ok(());
            }
            DATE | TIME | DATETIME | TIMESTAMP => {
                let rule = "not 8";
                let packed = <[u8; 8]>::try_from(bytes).map_err(|_| Damage::Invalid {
                    what: "the bytes of a time in JSON",
                    value: bytes.len() as u64,
                    rule,
                })?;
                self.time(kind, i64::from_le_bytes(packed))?;
            }
            _ => {
                self.format(format_args!("\"base64:type{kind}:"));
                STANDARD.encode_string(bytes, self.target);
                self.target.push('"');
            }
        }
        Ok(())
    }

    fn time(&mut self, kind: u8, packed: i64) -> Result<(), Damage> {
        self.target.push('"');
        match kind {
            TIME => text::time(&Time::from_packed(packed)?, self.target),
            DATE => text::date(&DateTime::from_packed(packed)?.date, self.target),
            _ => text::date_time(&DateTime::from_packed(packed)?, self.target),
        }
        self.target.push('"');
        Ok(())
    }
}
