//! Schemas that are no text but a compiled file in base64.
//!
//! Confluent's serializers for Python and others register `google.protobuf.FileDescriptorProto`; a registry may give it back as it came.
//! Read here is what [`super::files`] needs of it; the parameters of `(confluent.field_meta)` are among it, as extensions of the options.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost_types::uninterpreted_option::NamePart;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions,
    FileDescriptorProto, MessageOptions, OneofDescriptorProto, UninterpretedOption,
};

use super::names::FIELD_META;
use super::wire::{Input, WireType};
use crate::converter::problem::Problem;

/// How deep messages may be nested.
const NESTED_MAX: usize = 64;

/// The number of `(confluent.field_meta)` among the options of a field.
const FIELD_META_NUMBER: u32 = 1088;

type Read<T> = Result<T, Problem>;

/// The file that a schema describes in base64; nothing, if the schema is a text: that has characters which base64 does not.
pub(super) fn decode(schema: &str) -> Option<Read<FileDescriptorProto>> {
    let schema = schema.trim();
    if schema.is_empty() {
        return None;
    }
    let bytes = Bytes::from(STANDARD.decode(schema).ok()?);
    let file = file(&mut Input::new(&bytes, 0));
    Some(file.map_err(|problem| {
        Problem::new(format!(
            "the schema is neither a text nor a compiled file in base64: {problem}"
        ))
    }))
}

/// Reads all fields; `known` says whether it read the value.
fn fields(
    input: &mut Input<'_>,
    mut known: impl FnMut(u32, WireType, &mut Input<'_>) -> Read<bool>,
) -> Read<()> {
    while !input.is_empty() {
        let (number, kind) = input.tag()?;
        if !known(number, kind, input)? {
            input.skip(number, kind)?;
        }
    }
    Ok(())
}

fn text(input: &mut Input<'_>) -> Read<String> {
    Ok(input.text()?.to_string())
}

fn int(input: &mut Input<'_>) -> Read<i32> {
    // Negative ones have ten bytes.
    Ok(input.varint()? as i32)
}

fn file(input: &mut Input<'_>) -> Read<FileDescriptorProto> {
    let mut file = FileDescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (2, WireType::Length) => file.package = Some(text(input)?),
            (3, WireType::Length) => file.dependency.push(text(input)?),
            (4, WireType::Length) => file.message_type.push(input.sized(|input| message(input, 1))?),
            (5, WireType::Length) => file.enum_type.push(input.sized(enumeration)?),
            (12, WireType::Length) => file.syntax = Some(text(input)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(file)
}

fn message(input: &mut Input<'_>, depth: usize) -> Read<DescriptorProto> {
    if depth > NESTED_MAX {
        return Err(Problem::new(format!(
            "messages are nested more than {NESTED_MAX} deep"
        )));
    }
    let mut message = DescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => message.name = Some(text(input)?),
            (2, WireType::Length) => message.field.push(input.sized(field)?),
            (3, WireType::Length) => {
                let inner = input.sized(|input| self::message(input, depth + 1))?;
                message.nested_type.push(inner);
            }
            (4, WireType::Length) => message.enum_type.push(input.sized(enumeration)?),
            (7, WireType::Length) => message.options = Some(input.sized(message_options)?),
            (8, WireType::Length) => message.oneof_decl.push(input.sized(oneof)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(message)
}

fn message_options(input: &mut Input<'_>) -> Read<MessageOptions> {
    let mut options = MessageOptions::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (7, WireType::Varint) => options.map_entry = Some(input.varint()? != 0),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

fn oneof(input: &mut Input<'_>) -> Read<OneofDescriptorProto> {
    let mut oneof = OneofDescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => oneof.name = Some(text(input)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(oneof)
}

fn enumeration(input: &mut Input<'_>) -> Read<EnumDescriptorProto> {
    let mut its = EnumDescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => its.name = Some(text(input)?),
            (2, WireType::Length) => its.value.push(input.sized(enum_value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(its)
}

fn enum_value(input: &mut Input<'_>) -> Read<EnumValueDescriptorProto> {
    let mut value = EnumValueDescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => value.name = Some(text(input)?),
            (2, WireType::Varint) => value.number = Some(int(input)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(value)
}

fn field(input: &mut Input<'_>) -> Read<FieldDescriptorProto> {
    let mut field = FieldDescriptorProto::default();
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => field.name = Some(text(input)?),
            (3, WireType::Varint) => field.number = Some(int(input)?),
            (4, WireType::Varint) => field.label = Some(int(input)?),
            (5, WireType::Varint) => field.r#type = Some(int(input)?),
            (6, WireType::Length) => field.type_name = Some(text(input)?),
            (7, WireType::Length) => field.default_value = Some(text(input)?),
            (8, WireType::Length) => field.options = Some(input.sized(field_options)?),
            (9, WireType::Varint) => field.oneof_index = Some(int(input)?),
            (17, WireType::Varint) => field.proto3_optional = Some(input.varint()? != 0),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(field)
}

fn field_options(input: &mut Input<'_>) -> Read<FieldOptions> {
    let mut params = String::new();
    fields(input, |number, kind, input| {
        if (number, kind) != (FIELD_META_NUMBER, WireType::Length) {
            return Ok(false);
        }
        input.sized(|input| {
            fields(input, |number, kind, input| {
                let is_param = (number, kind) == (2, WireType::Length);
                if is_param {
                    params.push_str(&input.sized(param)?);
                }
                Ok(is_param)
            })
        })?;
        Ok(true)
    })?;
    // As a parser of texts leaves it.
    let meta = UninterpretedOption {
        name: vec![NamePart {
            name_part: FIELD_META.to_owned(),
            is_extension: true,
        }],
        aggregate_value: Some(params),
        ..UninterpretedOption::default()
    };
    Ok(FieldOptions {
        uninterpreted_option: vec![meta],
        ..FieldOptions::default()
    })
}

/// A parameter in text format.
fn param(input: &mut Input<'_>) -> Read<String> {
    let (mut key, mut value) = (String::new(), String::new());
    fields(input, |number, kind, input| {
        match (number, kind) {
            (1, WireType::Length) => key = text(input)?,
            (2, WireType::Length) => value = text(input)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let escaped = |text: String| text.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!(
        "params: {{ key: \"{}\" value: \"{}\" }} ",
        escaped(key),
        escaped(value)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{converter, get, head, read};
    use super::*;
    use crate::converter::registry::double::Double;
    use crate::plugin::{Converter, ErrorKind};
    use crate::record::{Datum, SchemaKind, Value};

    /// What Confluent's serializer for Python registers for `MONEY_TEXT` and `ORDER_TEXT`.
    const MONEY: &str =
        "Cgttb25leS5wcm90bxIEYmFuayIoCgVNb25leRINCgV1bml0cxgBIAEoAxIQCghjdXJyZW5jeRgCIAEoCWIGcHJvdG8z";
    const ORDER: &str = "CgtvcmRlci5wcm90bxIEc2hvcBoLbW9uZXkucHJvdG8aH2dvb2dsZS9wcm90b2J1Zi90aW1lc3RhbXAucHJvdG8aFGNvbmZsdWVudC9tZXRhLnByb3RvIhkK\
        BlVudXNlZBIPCgdub3RoaW5nGAEgASgIIvcCCgVPcmRlchIKCgJpZBgBIAEoAxIRCgRub3RlGAIgASgJSAGIAQESDAoEdGFncxgDIAMoCRIaCgVwcmljZRgE\
        IAEoCzILLmJhbmsuTW9uZXkSJgoCYXQYBSABKAsyGi5nb29nbGUucHJvdG9idWYuVGltZXN0YW1wEjUKBXNtYWxsGAYgASgFQiaCRCMKAWQSCAoDcSJcEgF4\
        EhQKDGNvbm5lY3QudHlwZRIEaW50OBIfCgVsaW5lcxgHIAMoCzIQLnNob3AuT3JkZXIuTGluZRIlCgVyYXRlcxgIIAMoCzIWLnNob3AuT3JkZXIuUmF0ZXNF\
        bnRyeRIOCgRjYXNoGAkgASgISAASDgoEY2FyZBgKIAEoCUgAGiAKBExpbmUSGAoEa2luZBgBIAEoDjIKLnNob3AuS2luZBosCgpSYXRlc0VudHJ5EgsKA2tl\
        eRgBIAEoCRINCgV2YWx1ZRgCIAEoAToCOAFCBQoDd2F5QgcKBV9ub3RlKiIKBEtpbmQSCAoER09PRBAAEhAKA0JBRBD///////////8BYgZwcm90bzM=";

    const MONEY_TEXT: &str = r#"
        syntax = "proto3";
        package bank;
        message Money { int64 units = 1; string currency = 2; }
    "#;
    const ORDER_TEXT: &str = r#"
        syntax = "proto3";
        package shop;
        import "money.proto";
        import "google/protobuf/timestamp.proto";
        import "confluent/meta.proto";
        message Unused { bool nothing = 1; }
        message Order {
            int64 id = 1;
            optional string note = 2;
            repeated string tags = 3;
            bank.Money price = 4;
            google.protobuf.Timestamp at = 5;
            int32 small = 6 [(confluent.field_meta) = {
                doc: "d",
                params: [{ key: "connect.type", value: "int8" }, { key: "q\"\\", value: "x" }]
            }];
            repeated Line lines = 7;
            map<string, double> rates = 8;
            oneof way { bool cash = 9; string card = 10; }
            message Line { Kind kind = 1; }
        }
        enum Kind { GOOD = 0; BAD = -1; }
    "#;

    /// An order as that serializer writes it.
    const DATA: &[u8] = &[
        8, 7, 18, 1, b'n', 26, 1, b'a', 26, 1, b'b', 34, 7, 8, 5, 18, 3, b'C', b'H', b'F', 42, 2, 8, 1, 48,
        253, 255, 255, 255, 255, 255, 255, 255, 255, 1, 58, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 1, 66, 12, 10, 1, b'x', 17, 0, 0, 0, 0, 0, 0, 224, 63, 82, 1, b'c',
    ];

    fn order(money: &str, order: &str) -> Datum {
        let double = Double::start();
        double.register_as("PROTOBUF", "money.proto", money, &[]);
        let id = double.register_as("PROTOBUF", "t-value", order, &[("money.proto", 1)]);
        let mut message = head(id, &[1]);
        message.extend_from_slice(DATA);
        let read = converter(&double, &[]).decode("t", Some(&message.into()));
        // What is registered is looked up as it came.
        assert!(
            double
                .requests()
                .contains(&"POST /subjects/t-value?normalize=false".to_owned())
        );
        read.unwrap()
    }

    #[test]
    fn what_was_compiled_is_read_as_its_text_is() {
        let compiled = order(MONEY, ORDER);
        assert_eq!(compiled, order(MONEY_TEXT, ORDER_TEXT));
        assert_eq!(compiled, order(MONEY_TEXT, &format!(" {ORDER}\n")));
        assert_eq!(get(&compiled, "note"), &Value::from("n"));
        assert_eq!(get(&compiled, "small"), &Value::Int8(-3));
        let schema = compiled.schema.unwrap();
        let field = |name: &str| {
            &schema
                .fields()
                .iter()
                .find(|field| &*field.name == name)
                .unwrap()
                .schema
        };
        assert!(matches!(field("small").kind, SchemaKind::Int8));
        assert_eq!(
            field("at").name.as_deref(),
            Some("org.apache.kafka.connect.data.Timestamp")
        );
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (schema, what) in [
            ("CgtvcmRlci5wcm90bw", "is not Protobuf's"),
            ("CgtvcmRlci5wcm8=", "in base64: the data end"),
            ("nonsense", "neither a text nor a compiled file"),
        ] {
            let error = read(schema, &[], &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRecord);
            assert!(error.to_string().contains(what), "{schema}: {error}");
        }
        let mut deep = Vec::new();
        for _ in 0..NESTED_MAX + 1 {
            let mut message = vec![0x1a];
            super::super::wire::write_varint(deep.len() as u64, &mut message);
            message.append(&mut deep);
            deep = message;
        }
        deep[0] = 0x22;
        let error = read(&STANDARD.encode(&deep), &[], &[]).unwrap_err();
        assert!(error.to_string().contains("nested more than 64 deep"), "{error}");
    }
}
