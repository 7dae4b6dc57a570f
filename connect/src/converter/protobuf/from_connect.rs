//! Writes the text of the Protobuf schema of a Connect schema.
//!
//! Texts are printed as Confluent's converter prints them, so that a registry finds the same text from both: fields, oneofs, the messages
//! and the enums inside, with a line between them that is indented even where it is empty.
use super::config::Options;
use super::names::{
    CONNECT_TYPE, DECIMAL_PRECISION, DEFAULT_NAME, ENUM, FIELD_META, TAG, TYPE, WRAPPER, entry_of, is_union,
    is_valid, scrubbed, simple, union_name,
};
use super::wrappers;
use crate::converter::problem::Problem;
use crate::record::{Field, Schema, SchemaKind, logical};

/// How deep messages may be nested.
const DEPTH_MAX: usize = 30;

/// How long a text may become: structs are written wherever they are used.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The text of a schema and the message in it.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    /// The full name of the message.
    pub(super) full: String,
}

/// Writes the schema.
pub(super) fn write(schema: &Schema, options: Options) -> Result<Written, Problem> {
    if !matches!(schema.kind, SchemaKind::Struct(_)) {
        return wrappers::write(schema);
    }
    if is_union(schema) {
        return Err(Problem::new("a oneof can be a field only, not a whole value"));
    }
    let mut writer = Writer {
        options,
        defaults: 0,
        bytes: 0,
        imports: Vec::new(),
    };
    let name = writer.name_or_default(schema);
    let parts: Vec<_> = name
        .split('.')
        .map(|part| scrubbed(part, options.scrub_names))
        .collect();
    for part in &parts {
        check_name(part)?;
    }
    let (own, package) = parts.split_last().expect("splitting gives at least one");
    let package = package.join(".");
    let message = writer.message(own, schema.fields(), 0)?;
    let mut text = String::from("syntax = \"proto3\";\n");
    if !package.is_empty() {
        text.push_str(&format!("package {package};\n"));
    }
    for (place, import) in writer.imports.iter().enumerate() {
        let line = if place == 0 { "\n" } else { "" };
        text.push_str(&format!("{line}import \"{import}\";\n"));
    }
    text.push('\n');
    text.push_str(&message);
    let full = if package.is_empty() {
        own.to_string()
    } else {
        format!("{package}.{own}")
    };
    Ok(Written { text, full })
}

fn check_name(name: &str) -> Result<(), Problem> {
    match is_valid(name) {
        true => Ok(()),
        false => Err(Problem::new(format!(
            "{name:?} is no name in Protobuf; scrub.invalid.names=true replaces what is wrong"
        ))),
    }
}

struct Writer {
    options: Options,
    /// How many names were made.
    defaults: usize,
    /// How much was written.
    bytes: usize,
    imports: Vec<&'static str>,
}

/// The parts of a message, in the order in which they are printed.
#[derive(Default)]
struct Parts {
    fields: String,
    oneofs: String,
    messages: String,
    enums: String,
    message_names: Vec<String>,
    enum_names: Vec<String>,
    last_number: u32,
    /// Whether what may be null is labelled optional.
    labels: bool,
}

/// A field as it is declared.
struct Declared {
    kind: String,
    /// Keys and values of Confluent's option.
    params: Vec<(&'static str, String)>,
}

impl Writer {
    fn name_or_default(&mut self, schema: &Schema) -> String {
        match schema.name.as_deref() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => {
                self.defaults += 1;
                format!("{DEFAULT_NAME}{}", self.defaults)
            }
        }
    }

    /// The last part of the schema's name, or one that is made.
    fn simple_name(&mut self, schema: &Schema) -> String {
        let name = self.name_or_default(schema);
        scrubbed(simple(&name), self.options.scrub_names).into_owned()
    }

    fn message(&mut self, name: &str, fields: &[Field], depth: usize) -> Result<String, Problem> {
        let parts = self.parts(name, fields, depth, false)?;
        self.print(name, parts)
    }

    /// The parts of a message; in an entry of a map nothing is labelled optional.
    fn parts(
        &mut self,
        name: &str,
        fields: &[Field],
        depth: usize,
        is_entry: bool,
    ) -> Result<Parts, Problem> {
        check_name(name)?;
        if depth > DEPTH_MAX {
            return Err(Problem::new(format!("messages may be nested {DEPTH_MAX} deep")));
        }
        let mut parts = Parts {
            labels: self.options.optional_for_nullables && !is_entry,
            ..Parts::default()
        };
        for field in fields {
            self.field(&mut parts, name, field, depth)
                .map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
        }
        Ok(parts)
    }

    fn print(&mut self, name: &str, parts: Parts) -> Result<String, Problem> {
        let mut text = format!("message {name} {{");
        for section in [parts.fields, parts.oneofs, parts.messages + &parts.enums] {
            if !section.is_empty() {
                text.push('\n');
                indent(&section, &mut text);
            }
        }
        text.push_str("}\n");
        self.bytes += text.len();
        if self.bytes > TEXT_BYTES_MAX {
            return Err(Problem::new(format!(
                "its schema is longer than {TEXT_BYTES_MAX} bytes as text"
            )));
        }
        Ok(text)
    }

    fn field(
        &mut self,
        parts: &mut Parts,
        message: &str,
        field: &Field,
        depth: usize,
    ) -> Result<(), Problem> {
        let schema = &*field.schema;
        let number = match given_number(schema)? {
            Some(number) => number,
            None => {
                parts.last_number += 1;
                parts.last_number
            }
        };
        if is_union(schema) {
            return self.oneof(parts, message, schema, depth);
        }
        let label = match &schema.kind {
            SchemaKind::Array(_) | SchemaKind::Map(..) => "repeated ",
            _ if parts.labels && schema.optional => "optional ",
            _ => "",
        };
        let name = scrubbed(&field.name, self.options.scrub_names);
        let line = self.declare(parts, message, &name, schema, false, depth)?;
        parts.fields.push_str(label);
        print_field(&line, &name, number, &mut parts.fields)
    }

    fn oneof(
        &mut self,
        parts: &mut Parts,
        message: &str,
        schema: &Schema,
        depth: usize,
    ) -> Result<(), Problem> {
        let name = union_name(schema)
            .ok_or_else(|| Problem::new("the struct is for a oneof, but does not name it"))?;
        let name = scrubbed(simple(name), self.options.scrub_names).into_owned();
        check_name(&name)?;
        let mut members = String::new();
        for member in schema.fields() {
            let its = scrubbed(&member.name, self.options.scrub_names);
            let number = given_number(&member.schema)?.ok_or_else(|| {
                Problem::new(format!(
                    "a member of a oneof wants the parameter {TAG} with its number"
                ))
                .within(format_args!(".{its}"))
            })?;
            if matches!(member.schema.kind, SchemaKind::Array(_) | SchemaKind::Map(..))
                || is_union(&member.schema)
            {
                return Err(
                    Problem::new("a oneof has no arrays, maps or oneofs").within(format_args!(".{its}"))
                );
            }
            let line = self.declare(parts, message, &its, &member.schema, true, depth)?;
            print_field(&line, &its, number, &mut members)?;
        }
        if !members.is_empty() {
            parts.oneofs.push_str(&format!("oneof {name} {{\n"));
            indent(&members, &mut parts.oneofs);
            parts.oneofs.push_str("}\n");
        }
        Ok(())
    }

    /// Writes what the type of a field needs.
    fn declare(
        &mut self,
        parts: &mut Parts,
        message: &str,
        field: &str,
        schema: &Schema,
        in_oneof: bool,
        depth: usize,
    ) -> Result<Declared, Problem> {
        let schema = match &schema.kind {
            SchemaKind::Array(element) => match element.kind {
                SchemaKind::Array(_) | SchemaKind::Map(..) => {
                    return Err(Problem::new(
                        "Protobuf has no arrays of arrays or of maps; put the inner one into a struct",
                    ));
                }
                _ if is_union(element) => {
                    return Err(Problem::new(
                        "Protobuf has no arrays of oneofs; put the oneof into a struct",
                    ));
                }
                _ => &**element,
            },
            _ => schema,
        };
        let declared = self.declared(schema, field, in_oneof);
        match &schema.kind {
            SchemaKind::Struct(fields) => {
                let is_new = declared.kind != message && !parts.message_names.contains(&declared.kind);
                if is_new {
                    parts.message_names.push(declared.kind.clone());
                    let text = self.message(&declared.kind, fields, depth + 1)?;
                    parts.messages.push_str(&text);
                }
            }
            SchemaKind::Map(key, value) => {
                if is_union(key) || is_union(value) {
                    return Err(Problem::new(
                        "Protobuf has no maps of oneofs; put the oneof into a struct",
                    ));
                }
                if parts.message_names.contains(&declared.kind) {
                    return Err(Problem::new(format!(
                        "two maps of a struct have the name {:?}; give one of their schemas another",
                        schema.name.as_deref().unwrap_or_default()
                    )));
                }
                parts.message_names.push(declared.kind.clone());
                let text = self.entry(&declared.kind, [key, value], depth + 1)?;
                parts.messages.push_str(&text);
            }
            _ if schema.parameter(ENUM).is_some() => {
                let name = self.simple_name(schema);
                if !parts.enum_names.contains(&name) {
                    check_name(&name)?;
                    parts.enums.push_str(&enumeration(&name, schema)?);
                    parts.enum_names.push(name);
                }
            }
            _ => self.import(&declared.kind),
        }
        Ok(declared)
    }

    /// The message for the entries of a map.
    fn entry(&mut self, name: &str, both: [&Schema; 2], depth: usize) -> Result<String, Problem> {
        let named = ["key", "value"].into_iter().zip(both);
        let fields: Vec<Field> = named
            .map(|(name, schema)| {
                // Their numbers are always 1 and 2.
                let mut schema = schema.clone();
                schema.parameters.retain(|(name, _)| &**name != TAG);
                Field {
                    name: name.into(),
                    schema: schema.into(),
                }
            })
            .collect();
        let parts = self.parts(name, &fields, depth, true)?;
        self.print(name, parts)
    }

    fn declared(&mut self, schema: &Schema, field: &str, in_oneof: bool) -> Declared {
        let mut params = Vec::new();
        let is_marked = schema.parameter(WRAPPER) == Some("true");
        let wraps = self.options.wrapper_for_nullables && schema.optional && (!in_oneof || is_marked);
        let special = match schema.name.as_deref() {
            Some(logical::DECIMAL) => {
                for (key, name) in [("precision", DECIMAL_PRECISION), ("scale", logical::SCALE)] {
                    params.extend(schema.parameter(name).map(|value| (key, value.to_owned())));
                }
                Some("confluent.type.Decimal")
            }
            Some(logical::DATE) => Some("google.type.Date"),
            Some(logical::TIME) => Some("google.type.TimeOfDay"),
            Some(logical::TIMESTAMP) => Some("google.protobuf.Timestamp"),
            _ => None,
        };
        if let Some(special) = special {
            let kind = special.to_owned();
            return Declared { kind, params };
        }
        let given = schema.parameter(TYPE);
        let plain = match &schema.kind {
            SchemaKind::Int32 | SchemaKind::String if schema.parameter(ENUM).is_some() => {
                let kind = schema.parameter(ENUM).unwrap_or_default().to_owned();
                return Declared { kind, params };
            }
            SchemaKind::Int8 | SchemaKind::Int16 => {
                params.push((CONNECT_TYPE, schema.kind_name().to_owned()));
                "int32"
            }
            SchemaKind::Int32 => given.unwrap_or("int32"),
            SchemaKind::Int64 => given.unwrap_or("int64"),
            SchemaKind::Float32 => "float",
            SchemaKind::Float64 => "double",
            SchemaKind::Boolean => "bool",
            SchemaKind::String => "string",
            SchemaKind::Bytes | SchemaKind::Array(_) => "bytes",
            SchemaKind::Map(..) => {
                let kind = entry_of(&self.simple_name(schema));
                return Declared { kind, params };
            }
            SchemaKind::Struct(_) => {
                let mut kind = self.simple_name(schema);
                if kind == field {
                    // A message may not have the name of a field beside it.
                    kind.push_str("Message");
                }
                return Declared { kind, params };
            }
        };
        let kind = match (wraps, plain) {
            (true, "uint32" | "fixed32") => "google.protobuf.UInt32Value",
            (true, "uint64" | "fixed64") => "google.protobuf.UInt64Value",
            (true, _) => wrappers::of_kind(&schema.kind).unwrap_or(plain),
            (false, _) => plain,
        };
        let kind = kind.to_owned();
        Declared { kind, params }
    }

    fn import(&mut self, kind: &str) {
        let path = match kind {
            "confluent.type.Decimal" => "confluent/type/decimal.proto",
            "google.type.Date" => "google/type/date.proto",
            "google.type.TimeOfDay" => "google/type/timeofday.proto",
            "google.protobuf.Timestamp" => "google/protobuf/timestamp.proto",
            other if other.starts_with("google.protobuf.") => "google/protobuf/wrappers.proto",
            _ => return,
        };
        if !self.imports.contains(&path) {
            self.imports.push(path);
        }
    }
}

fn given_number(schema: &Schema) -> Result<Option<u32>, Problem> {
    let Some(text) = schema.parameter(TAG) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number @ 1..=536_870_911) => Ok(Some(number)),
        _ => Err(Problem::new(format!(
            "the parameter {TAG} is {text:?}, which is no number of a field"
        ))),
    }
}

fn print_field(declared: &Declared, name: &str, number: u32, out: &mut String) -> Result<(), Problem> {
    check_name(name)?;
    out.push_str(&format!("{} {name} = {number}", declared.kind));
    if !declared.params.is_empty() {
        out.push_str(&format!(" [({FIELD_META}) = {{\n  params: [\n"));
        for (place, (key, value)) in declared.params.iter().enumerate() {
            let comma = if place + 1 < declared.params.len() {
                ","
            } else {
                ""
            };
            let value: String = value.chars().flat_map(escaped).collect();
            let key = format!("key: \"{key}\"");
            let value = format!("value: \"{value}\"");
            // Confluent's converter has these two the other way round since its first days.
            let is_old = !key.contains(CONNECT_TYPE);
            let (first, second) = if is_old { (value, key) } else { (key, value) };
            out.push_str(&format!(
                "    {{\n      {first},\n      {second}\n    }}{comma}\n"
            ));
        }
        out.push_str("  ]\n}]");
    }
    out.push_str(";\n");
    Ok(())
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (backslash, letter) = match letter {
        '\n' => (Some('\\'), 'n'),
        '\r' => (Some('\\'), 'r'),
        '\t' => (Some('\\'), 't'),
        '\\' | '\'' | '"' => (Some('\\'), letter),
        _ => (None, letter),
    };
    backslash.into_iter().chain(std::iter::once(letter))
}

fn enumeration(name: &str, schema: &Schema) -> Result<String, Problem> {
    let mut values = String::new();
    for (parameter, number) in &schema.parameters {
        let symbol = parameter
            .strip_prefix(ENUM)
            .and_then(|rest| rest.strip_prefix('.'));
        let Some(symbol) = symbol else {
            continue;
        };
        check_name(symbol)?;
        let number: i32 = number
            .parse()
            .map_err(|_| Problem::new(format!("the parameter {parameter} is {number:?} and no number")))?;
        values.push_str(&format!("{symbol} = {number};\n"));
    }
    if values.is_empty() {
        return Err(Problem::new(format!(
            "the enum {name} has no values: its schema wants the parameters {ENUM}.NAME with their numbers"
        )));
    }
    let mut text = format!("enum {name} {{\n");
    indent(&values, &mut text);
    text.push_str("}\n");
    Ok(text)
}

/// Adds lines with two blanks before each, also before those that are empty.
fn indent(lines: &str, out: &mut String) {
    for line in lines.lines() {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
}
