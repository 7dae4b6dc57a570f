//! The messages and enums of schema texts.
//!
//! A text is parsed by `protox-parse`, and names in it are resolved here, by scope, over all texts at once: files that the registry's texts import
//! through references, and those that every compiler knows (`google/protobuf`, `google/type`, `confluent`), need not be told apart. Options
//! are not looked up, so that a text need not import what its options are declared in; the only one that is read is Confluent's
//! `(confluent.field_meta)`.
use std::collections::HashMap;
use std::sync::Arc;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FieldOptions, FileDescriptorProto,
};

use super::compiled;
use super::names::FIELD_META;
use super::wire::Scalar;
use crate::converter::problem::Problem;

/// How deep brackets in a text may be nested.
const BRACKETS_MAX: usize = 64;

/// The texts that every compiler knows, by what the paths of their files begin with.
const KNOWN: [(&str, &str); 4] = [
    ("google/protobuf/", include_str!("known/google_protobuf.proto")),
    ("google/type/", include_str!("known/google_type.proto")),
    ("confluent/type/", include_str!("known/confluent_type.proto")),
    ("confluent/", include_str!("known/confluent.proto")),
];

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// With its package and what it stands in.
    pub(super) full: Arc<str>,
    pub(super) fields: Vec<MessageField>,
    /// Names of its oneofs, without those that `optional` makes.
    pub(super) oneofs: Vec<String>,
    /// The full names of the messages in it, as they stand in the text.
    nested: Vec<Arc<str>>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct MessageField {
    pub(super) name: Arc<str>,
    pub(super) number: u32,
    pub(super) kind: FieldKind,
    pub(super) repeated: bool,
    pub(super) required: bool,
    /// Labelled so in proto3.
    pub(super) proto3_optional: bool,
    /// Labelled so, or optional in proto2.
    pub(super) optional: bool,
    /// Of proto3: enums have values that they do not name, and numbers are packed.
    pub(super) is_proto3: bool,
    /// A place among the message's oneofs.
    pub(super) oneof: Option<usize>,
    /// As text.
    pub(super) default: Option<String>,
    /// What Confluent's converter noted.
    params: Vec<(String, String)>,
}

/// The type of a field.
#[derive(Debug)]
pub(super) enum FieldKind {
    Scalar(Scalar),
    /// A message or an enum, by a name that stands in the message.
    Named(String),
    Group,
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) full: Arc<str>,
    pub(super) values: Vec<(String, i32)>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Named {
    Message(Arc<Message>),
    Enum(Arc<Enum>),
}

/// All messages and enums that a text knows.
#[derive(Debug, Default)]
pub(super) struct Types {
    named: HashMap<Arc<str>, Named>,
    /// The messages on the top of the text, by full name.
    roots: Vec<Arc<str>>,
}

impl MessageField {
    /// What Confluent's converter noted under this name.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Message {
    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&MessageField> {
        self.fields.iter().find(|field| *field.name == *name)
    }

    /// Whether it is what a map is repeated of, by the convention of compilers.
    pub(super) fn is_map_entry(&self) -> bool {
        let is = |place: usize, name: &str| {
            let field: &MessageField = &self.fields[place];
            &*field.name == name && !field.repeated
        };
        self.full.ends_with("Entry") && self.fields.len() == 2 && is(0, "key") && is(1, "value")
    }
}

impl Types {
    /// Those of a text and of the texts it refers to.
    pub(super) fn read(text: &str, references: &[Arc<str>]) -> Result<Self, Problem> {
        let mut types = Self::default();
        let main = parse(text)?;
        let mut imports = main.dependency.clone();
        types.add_file(main, true);
        for text in references {
            let file = parse(text).map_err(|problem| problem.within("a text it refers to: "))?;
            imports.extend_from_slice(&file.dependency);
            types.add_file(file, false);
        }
        let mut place = 0;
        let mut added = [false; KNOWN.len()];
        while let Some(import) = imports.get(place) {
            let known = KNOWN.iter().position(|(path, _)| import.starts_with(path));
            if let Some(known) = known
                && !std::mem::replace(&mut added[known], true)
            {
                let file = parse(KNOWN[known].1)?;
                imports.extend_from_slice(&file.dependency);
                types.add_file(file, false);
            }
            place += 1;
        }
        Ok(types)
    }

    fn add_file(&mut self, file: FileDescriptorProto, is_main: bool) {
        let package = file.package.clone().unwrap_or_default();
        let is_proto3 = file.syntax.as_deref() == Some("proto3");
        for message in file.message_type {
            let full = self.add_message(message, &package, is_proto3);
            if is_main {
                self.roots.push(full);
            }
        }
        for its in file.enum_type {
            self.add_enum(its, &package);
        }
    }

    fn add_message(&mut self, given: DescriptorProto, scope: &str, is_proto3: bool) -> Arc<str> {
        let full = qualified(scope, given.name());
        // Compilers make oneofs for `optional`, which are none.
        let made = |place: usize| {
            let mut fields = given.field.iter();
            fields.any(|field| field.proto3_optional() && field.oneof_index == i32::try_from(place).ok())
        };
        let mut real = Vec::new();
        let mut places = Vec::with_capacity(given.oneof_decl.len());
        for (place, oneof) in given.oneof_decl.iter().enumerate() {
            let is_real = !made(place);
            places.push(is_real.then_some(real.len()));
            if is_real {
                real.push(oneof.name().to_owned());
            }
        }
        let fields = given.field.into_iter();
        let fields = fields
            .map(|field| message_field(field, &places, is_proto3))
            .collect();
        let mut nested = Vec::new();
        for inner in given.nested_type {
            // The entries of `map<…>` do not stand in the text.
            let stands = inner
                .options
                .as_ref()
                .is_none_or(|options| options.map_entry != Some(true));
            let inner = self.add_message(inner, &full, is_proto3);
            if stands {
                nested.push(inner);
            }
        }
        for its in given.enum_type {
            self.add_enum(its, &full);
        }
        let message = Message {
            full: Arc::clone(&full),
            fields,
            oneofs: real,
            nested,
        };
        let message = Named::Message(Arc::new(message));
        self.named.entry(Arc::clone(&full)).or_insert(message);
        full
    }

    fn add_enum(&mut self, given: EnumDescriptorProto, scope: &str) {
        let full = qualified(scope, given.name());
        let values = given
            .value
            .iter()
            .map(|value| (value.name().to_owned(), value.number()));
        let its = Enum {
            full: Arc::clone(&full),
            values: values.collect(),
        };
        self.named
            .entry(full)
            .or_insert_with(|| Named::Enum(Arc::new(its)));
    }

    /// What `name` stands for in the message `scope`.
    pub(super) fn resolve(&self, scope: &str, name: &str) -> Result<Named, Problem> {
        let missing = || {
            Problem::new(format!(
                "{name} is not defined, neither in the schema nor in those it refers to; register it with a reference to the schema that defines it"
            ))
        };
        if let Some(absolute) = name.strip_prefix('.') {
            return self.named.get(absolute).cloned().ok_or_else(missing);
        }
        let mut scope = scope;
        loop {
            if let Some(found) = self.named.get(&*qualified(scope, name)) {
                return Ok(found.clone());
            }
            if scope.is_empty() {
                return Err(missing());
            }
            scope = scope.rsplit_once('.').map_or("", |(before, _)| before);
        }
    }

    fn message(&self, full: &str) -> Option<&Arc<Message>> {
        match self.named.get(full) {
            Some(Named::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// The message at these places: the first in the text, the next in that one.
    pub(super) fn at(&self, places: &[usize]) -> Result<&Arc<Message>, Problem> {
        let mut inside = &self.roots;
        let mut found = None;
        for place in places {
            let message = inside.get(*place).and_then(|full| self.message(full));
            let message = message.ok_or_else(|| {
                Problem::new(format!(
                    "the schema has no message at {places:?}, which the data say they are of"
                ))
            })?;
            inside = &message.nested;
            found = Some(message);
        }
        found.ok_or_else(|| Problem::new("the data do not say of which message they are"))
    }

    /// Where the message with this simple name stands on the top of the text.
    pub(super) fn root_place(&self, name: &str) -> Option<usize> {
        let found = |full: &Arc<str>| super::names::simple(full) == name;
        self.roots.iter().position(found)
    }
}

fn qualified(scope: &str, name: &str) -> Arc<str> {
    match scope {
        "" => name.into(),
        scope => format!("{scope}.{name}").into(),
    }
}

/// Parses a text that is not nested too deep for it, or reads what was compiled.
fn parse(text: &str) -> Result<FileDescriptorProto, Problem> {
    if let Some(file) = compiled::decode(text) {
        return file;
    }
    let deepest = deepest_brackets(text.as_bytes());
    if deepest > BRACKETS_MAX {
        return Err(Problem::new(format!(
            "the text of the schema has brackets nested more than {BRACKETS_MAX} deep"
        )));
    }
    protox_parse::parse("schema.proto", text)
        .map_err(|error| Problem::new(format!("the text of the schema is not Protobuf's: {error}")))
}

/// How deep brackets are nested outside of comments and strings.
fn deepest_brackets(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        let rest = &text[at + 1..];
        let passed = match (byte, rest.first()) {
            (b'{' | b'[' | b'<', _) => {
                depth += 1;
                deepest = deepest.max(depth);
                0
            }
            (b'}' | b']' | b'>', _) => {
                depth = depth.saturating_sub(1);
                0
            }
            (b'#', _) | (b'/', Some(b'/')) => rest.iter().take_while(|byte| **byte != b'\n').count(),
            (b'/', Some(b'*')) => {
                let end = rest[1..].windows(2).position(|two| two == b"*/");
                end.map_or(rest.len(), |end| end + 3)
            }
            (b'"' | b'\'', _) => {
                let mut escaped = false;
                let inside = rest.iter().take_while(|next| {
                    let ends = !escaped && (*next == byte || **next == b'\n');
                    escaped = !escaped && **next == b'\\';
                    !ends
                });
                (inside.count() + 1).min(rest.len())
            }
            _ => 0,
        };
        at += 1 + passed;
    }
    deepest
}

fn message_field(field: FieldDescriptorProto, oneofs: &[Option<usize>], is_proto3: bool) -> MessageField {
    let kind = match field.r#type.and_then(|number| Type::try_from(number).ok()) {
        Some(Type::Group) => FieldKind::Group,
        Some(plain) => scalar(plain).map_or_else(
            || FieldKind::Named(field.type_name().to_owned()),
            FieldKind::Scalar,
        ),
        None => FieldKind::Named(field.type_name().to_owned()),
    };
    let label = field.label.and_then(|number| Label::try_from(number).ok());
    let place = field.oneof_index.and_then(|place| usize::try_from(place).ok());
    let oneof = place.and_then(|place| oneofs.get(place).copied().flatten());
    let is_optional = matches!(label, None | Some(Label::Optional));
    MessageField {
        name: field.name().into(),
        number: u32::try_from(field.number()).unwrap_or_default(),
        kind,
        repeated: label == Some(Label::Repeated),
        required: label == Some(Label::Required),
        proto3_optional: field.proto3_optional(),
        optional: field.proto3_optional() || (!is_proto3 && is_optional && oneof.is_none()),
        is_proto3,
        oneof,
        params: field.options.as_ref().map(params).unwrap_or_default(),
        default: field.default_value,
    }
}

fn scalar(plain: Type) -> Option<Scalar> {
    Some(match plain {
        Type::Double => Scalar::Double,
        Type::Float => Scalar::Float,
        Type::Int64 => Scalar::Int64,
        Type::Uint64 => Scalar::Uint64,
        Type::Int32 => Scalar::Int32,
        Type::Fixed64 => Scalar::Fixed64,
        Type::Fixed32 => Scalar::Fixed32,
        Type::Bool => Scalar::Bool,
        Type::String => Scalar::String,
        Type::Bytes => Scalar::Bytes,
        Type::Uint32 => Scalar::Uint32,
        Type::Sfixed32 => Scalar::Sfixed32,
        Type::Sfixed64 => Scalar::Sfixed64,
        Type::Sint32 => Scalar::Sint32,
        Type::Sint64 => Scalar::Sint64,
        Type::Group | Type::Message | Type::Enum => return None,
    })
}

/// The parameters in Confluent's option: messages of a key and a value.
fn params(options: &FieldOptions) -> Vec<(String, String)> {
    let mut params = Vec::new();
    for option in &options.uninterpreted_option {
        let is_meta = option
            .name
            .first()
            .is_some_and(|part| part.is_extension && part.name_part.trim_start_matches('.') == FIELD_META);
        if is_meta && let Some(text) = &option.aggregate_value {
            add_params(text, &mut params);
        }
    }
    params
}

/// Finds `key: "…"` with `value: "…"`, in either order, in text format.
fn add_params(text: &str, params: &mut Vec<(String, String)>) {
    let (mut key, mut value) = (None, None);
    let mut word = String::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '"' | '\'' => {
                let content = quoted(&mut rest, letter);
                match word.as_str() {
                    "key" => key = Some(content),
                    "value" => value = Some(content),
                    _ => {}
                }
                word.clear();
            }
            '}' | '>' => {
                if let (Some(key), Some(value)) = (key.take(), value.take()) {
                    params.push((key, value));
                }
                word.clear();
            }
            letter if letter.is_alphanumeric() || letter == '_' => word.push(letter),
            ':' => {}
            letter if letter.is_whitespace() => {}
            _ => word.clear(),
        }
    }
    if let (Some(key), Some(value)) = (key, value) {
        params.push((key, value));
    }
}

/// The rest of a string. Confluent's parameters need none of the language's escapes but those of quotes and backslashes.
fn quoted(rest: &mut std::str::Chars<'_>, quote: char) -> String {
    let mut content = String::new();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => content.extend(rest.next()),
            letter if letter == quote => break,
            letter => content.push(letter),
        }
    }
    content
}
