//! Which table a record goes to, and which of its fields.
use std::borrow::Cow;

use crate::mysql::schema::TableId;

/// `collection.name.format`: texts and what stands for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFormat {
    parts: Vec<Part>,
    /// Whether a topic's dots divide a database from a table, rather than becoming `_`.
    topics_divide: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `${topic}`.
    Topic,
    /// `${source.field}`.
    Source(String),
    /// A dot that divides database and table.
    Dot,
}

impl TableFormat {
    /// Reads a format.
    ///
    /// # Errors
    /// With placeholders that are not known.
    pub fn read(format: &str, topics_divide: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = format.trim();
        while !rest.is_empty() {
            let text_end = rest.find("${").unwrap_or(rest.len());
            for (number, text) in rest[..text_end].split('.').enumerate() {
                if number > 0 {
                    parts.push(Part::Dot);
                }
                if !text.is_empty() {
                    parts.push(Part::Text(text.to_owned()));
                }
            }
            rest = &rest[text_end..];
            let Some(placeholder) = rest.strip_prefix("${") else {
                continue;
            };
            let (name, behind) = placeholder
                .split_once('}')
                .ok_or("a placeholder ${ has no end }")?;
            parts.push(match (name, name.strip_prefix("source.")) {
                ("topic", _) => Part::Topic,
                (_, Some(field)) if !field.is_empty() => Part::Source(field.to_owned()),
                _ => {
                    return Err(format!(
                        "${{{name}}} is not known; there are ${{topic}} and ${{source.FIELD}}"
                    ));
                }
            });
            rest = behind;
        }
        let dots = parts.iter().filter(|part| **part == Part::Dot).count();
        match (parts.is_empty(), dots) {
            (true, _) => Err("it names no table".to_owned()),
            (_, 0 | 1) => Ok(Self { parts, topics_divide }),
            _ => Err("it has more than a database and a table, with a dot between them".to_owned()),
        }
    }

    /// The fields of `source` it needs.
    pub fn source_fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Source(field) => Some(field.as_str()),
            _ => None,
        })
    }

    /// The table of a record: `source` gives fields of its source block.
    ///
    /// # Errors
    /// When there is no such field, or what comes out is no name.
    pub fn table<'a>(
        &self,
        topic: &str,
        source: impl Fn(&str) -> Option<Cow<'a, str>>,
        database: &str,
    ) -> Result<TableId, String> {
        let mut names = vec![String::new()];
        let add = |names: &mut Vec<String>, text: &str| {
            if let Some(last) = names.last_mut() {
                last.push_str(text);
            }
        };
        for part in &self.parts {
            match part {
                Part::Text(text) => add(&mut names, text),
                Part::Dot => names.push(String::new()),
                Part::Topic if self.topics_divide => {
                    for (number, text) in topic.split('.').enumerate() {
                        if number > 0 {
                            names.push(String::new());
                        }
                        add(&mut names, text);
                    }
                }
                Part::Topic => add(&mut names, &topic.replace('.', "_")),
                Part::Source(field) => {
                    let value = source(field).ok_or_else(|| {
                        format!(
                            "collection.name.format asks for source.{field}, which the record does not have"
                        )
                    })?;
                    add(&mut names, &value);
                }
            }
        }
        let (database, table) = match names.as_slice() {
            [table] => (database, table.as_str()),
            [database, table] => (database.as_str(), table.as_str()),
            _ => {
                return Err(format!(
                    "the topic {topic} has more dots than a database and a table have between them; set collection.name.format, such as \
                     ${{source.db}}.${{source.table}}, or collection.naming.strategy to the default, with which dots become _"
                ));
            }
        };
        match database.is_empty() || table.is_empty() {
            true => Err(format!("the topic {topic} gives a table without a name")),
            false => Ok(TableId::new(database, table)),
        }
    }
}

/// `field.include.list`, `field.exclude.list`: names of fields, or of a topic's field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldFilter {
    /// Topic (or any) and field.
    names: Vec<(Option<String>, String)>,
    /// Whether they are what is in; otherwise they are what is out.
    include: bool,
}

impl FieldFilter {
    /// What is in, or what is out, or nothing of either.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        let names = if include.is_empty() { exclude } else { include };
        let names = names.iter().map(|entry| match entry.split_once(':') {
            Some((topic, field)) => (Some(topic.trim().to_owned()), field.trim().to_owned()),
            None => (None, entry.trim().to_owned()),
        });
        Self {
            names: names.collect(),
            include: !include.is_empty(),
        }
    }

    /// Whether a field of a topic's records is written.
    pub fn has(&self, topic: &str, field: &str) -> bool {
        let named = self.names.iter().any(|(its_topic, its_field)| {
            its_field == field && its_topic.as_deref().is_none_or(|its_topic| its_topic == topic)
        });
        self.names.is_empty() || named == self.include
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(format: &str, divide: bool, topic: &str) -> Result<String, String> {
        let source = |field: &str| match field {
            "db" => Some(Cow::Borrowed("shop")),
            "table" => Some(Cow::Borrowed("or.ders")),
            _ => None,
        };
        let format = TableFormat::read(format, divide)?;
        format
            .table(topic, source, "own")
            .map(|table| format!("{}|{}", table.database, table.table))
    }

    #[test]
    fn tables_have_the_names_that_the_format_says() {
        assert_eq!(named("${topic}", false, "a.b.c").unwrap(), "own|a_b_c");
        assert_eq!(named("${topic}", true, "b.c").unwrap(), "b|c");
        assert_eq!(named("${topic}", true, "c").unwrap(), "own|c");
        assert_eq!(named("copy_${topic}_x", false, "t").unwrap(), "own|copy_t_x");
        assert_eq!(named("copy.${topic}", false, "t.u").unwrap(), "copy|t_u");
        assert_eq!(
            named("${source.db}.${source.table}", false, "t").unwrap(),
            "shop|or.ders"
        );
        assert!(
            named("${topic}", true, "a.b.c")
                .unwrap_err()
                .contains("more dots")
        );
        assert!(
            named("${source.schema}", false, "t")
                .unwrap_err()
                .contains("source.schema")
        );
        assert!(
            named(".${topic}", false, "t")
                .unwrap_err()
                .contains("without a name")
        );
        for wrong in ["", "${topic", "${table}", "${source.}", "a.b.${topic}"] {
            assert!(TableFormat::read(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_are_in_or_out() {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let filter = FieldFilter::default();
        assert!(filter.has("t", "a"));
        let filter = FieldFilter::new(&all(&["a", "u:b"]), &[]);
        assert!(filter.has("t", "a") && filter.has("u", "b") && !filter.has("t", "b"));
        let filter = FieldFilter::new(&[], &all(&["a", "u:b"]));
        assert!(!filter.has("t", "a") && !filter.has("u", "b") && filter.has("t", "b"));
    }
}
