//! Log lines as JSON objects, for collectors.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// One event, one line, one object: timestamp (UTC), level, target, message, fields, the names of its spans, and, as `context`, their values
/// (the connector and the task, for what tasks log).
#[derive(Debug)]
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".into(), timestamp.into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("target".into(), metadata.target().into());
        line.insert("message".into(), fields.message.into());
        if !fields.others.is_empty() {
            line.insert("fields".into(), fields.others.into());
        }
        let spans: Vec<Value> = context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
            .map(|span| span.name().into())
            .collect();
        if !spans.is_empty() {
            line.insert("spans".into(), spans.into());
        }
        let mut all = Map::new();
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let extensions = span.extensions();
            let values = extensions.get::<FormattedFields<N>>();
            if let Some(Ok(values)) = values.map(|text| serde_json::from_str::<Map<_, _>>(&text.fields)) {
                all.extend(values);
            }
        }
        if !all.is_empty() {
            line.insert("context".into(), all.into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Writes the values of a span as an object, for [`JsonLines`].
#[derive(Debug)]
pub struct JsonValues;

impl<'writer> FormatFields<'writer> for JsonValues {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut values = Fields::default();
        fields.record(&mut values);
        write!(writer, "{}", Value::Object(values.others))
    }
}

/// The values of an event.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
        } else {
            self.others.insert(field.name().into(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonValues)
            .event_format(JsonLines)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("broker").entered();
            let _task = tracing::info_span!("task", connector = "a b", task = 2).entered();
            tracing::info!(target: "log", partition = 3, topic = "a\"b", error = %"bad\nline", "cut {}", "off");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "log");
        assert_eq!(line["message"], "cut off");
        assert_eq!(line["fields"]["partition"], 3);
        assert_eq!(line["fields"]["topic"], "a\"b");
        assert_eq!(line["fields"]["error"], "bad\nline");
        assert_eq!(line["spans"], serde_json::json!(["broker", "task"]));
        assert_eq!(
            line["context"],
            serde_json::json!({"connector": "a b", "task": 2})
        );
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}
