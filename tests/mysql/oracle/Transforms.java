import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.header.Headers;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Prints, as lines of JSON, what Debezium's transforms declare, what they find wrong with configurations, and what they make of records: of
 * those that tests/mysql/debezium captured (the files that are the arguments) and of others that are made here. Records are as JsonConverter
 * writes them; {"record":…} is one to try, and {"class":…,"config":…,"input":N} says what becomes of the Nth.
 */
public final class Transforms {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter CONVERTER = new JsonConverter();
    private static final List<SourceRecord> RECORDS = new ArrayList<>();
    private static final String UNWRAP = "io.debezium.transforms.ExtractNewRecordState";
    private static final String OUTBOX = "io.debezium.transforms.outbox.EventRouter";
    private static final String ROUTER = "io.debezium.transforms.ByLogicalTableRouter";

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.US);
        CONVERTER.configure(Map.of("schemas.enable", "true", "replace.null.with.default", "false"), false);
        for (String name : List.of(UNWRAP, OUTBOX, ROUTER)) declare(name);
        wrongConfigurations();
        for (String file : args) captured(Path.of(file));
        int last = RECORDS.size();
        changes();
        unwrap(last);
        route();
        outbox();
    }

    // What plugins declare, and refuse.

    private static void declare(String name) throws Exception {
        ConfigDef keys = ((Transformation<?>) Class.forName(name).getDeclaredConstructor().newInstance()).config();
        ObjectNode line = JSON.createObjectNode();
        line.put("declares", name);
        ArrayNode all = line.putArray("keys");
        for (ConfigDef.ConfigKey key : keys.configKeys().values()) {
            ObjectNode node = all.addObject();
            node.put("name", key.name);
            node.put("type", key.type.name());
            node.put("default", key.hasDefault() && key.defaultValue != null ? ConfigDef.convertToString(key.defaultValue, key.type) : null);
            node.put("importance", key.importance.name());
            node.put("group", key.group);
            node.put("order", key.orderInGroup);
            node.put("width", key.width.name());
            node.put("display", key.displayName);
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    private static void wrong(String name, String... config) throws Exception {
        Map<String, String> given = config(config);
        ObjectNode line = JSON.createObjectNode();
        line.put("refuses", name);
        line.set("config", JSON.valueToTree(new TreeMap<>(given)));
        Transformation<SourceRecord> transform = transform(name);
        ArrayNode messages = line.putArray("messages");
        try {
            for (ConfigValue value : transform.config().validate(given)) value.errorMessages().forEach(messages::add);
        } catch (Exception error) {
            messages.add(String.valueOf(error.getMessage()));
        }
        try {
            transform.configure(given);
            line.putNull("error");
        } catch (Exception error) {
            line.put("error", error.getClass().getSimpleName() + ": " + error.getMessage());
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    private static void wrongConfigurations() throws Exception {
        for (String mode : List.of("bogus", "", "DROP", " rewrite ", "none")) wrong(UNWRAP, "delete.tombstone.handling.mode", mode);
        wrong(UNWRAP, "drop.fields.from.key", "maybe");
        wrong(UNWRAP, "drop.fields.keep.schema.compatible", "1");
        wrong(UNWRAP, "replace.null.with.default", "maybe");
        for (String fields : List.of("a:b:c", "a,,b", ":x", "a:", ".", "a.b.c", ",")) wrong(UNWRAP, "add.fields", fields);
        wrong(UNWRAP, "add.headers", "op:a:b");
        wrong(ROUTER);
        wrong(ROUTER, "topic.regex", "(", "topic.replacement", "x");
        wrong(ROUTER, "topic.regex", "a");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "b", "key.field.regex", "x");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "b", "key.field.regex", "[", "key.field.replacement", "x");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "b", "key.enforce.uniqueness", "x");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "b", "schema.name.adjustment.mode", "x");
        wrong(ROUTER, "topic.regex", "a", "topic.replacement", "b", "logical.table.cache.size", "x");
        wrong(OUTBOX, "table.op.invalid.behavior", "x");
        wrong(OUTBOX, "table.fields.additional.placement", "a");
        wrong(OUTBOX, "table.fields.additional.placement", "a:b:c:d");
        wrong(OUTBOX, "table.fields.additional.placement", "a:nowhere");
        wrong(OUTBOX, "table.field.additional.missing", "x");
        wrong(OUTBOX, "route.topic.regex", "(");
        wrong(OUTBOX, "route.tombstone.on.empty.payload", "x");
        wrong(OUTBOX, "table.expand.json.payload", "x");
        wrong(OUTBOX, "table.json.payload.null.behavior", "x");
        wrong(OUTBOX, "route.topic.replacement", "${none}");
    }

    // Records.

    private static JsonNode data(String topic, Schema schema, Object value) throws IOException {
        byte[] bytes = CONVERTER.fromConnectData(topic, schema, value);
        return bytes == null ? JSON.nullNode() : JSON.readTree(bytes);
    }

    private static ObjectNode json(SourceRecord record) throws IOException {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", record.topic());
        if (record.kafkaPartition() != null) node.put("partition", record.kafkaPartition());
        if (record.timestamp() != null) node.put("timestamp", record.timestamp());
        node.set("key", data(record.topic(), record.keySchema(), record.key()));
        node.set("value", data(record.topic(), record.valueSchema(), record.value()));
        if (record.headers().isEmpty()) return node;
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            ObjectNode one = headers.addObject();
            one.put("name", header.key());
            one.set("value", data(record.topic(), header.schema(), header.value()));
        }
        return node;
    }

    private static int add(SourceRecord record) throws IOException {
        System.out.println(JSON.writeValueAsString(JSON.createObjectNode().set("record", json(record))));
        RECORDS.add(record);
        return RECORDS.size() - 1;
    }

    private static SchemaAndValue read(JsonNode node) throws IOException {
        return CONVERTER.toConnectData("", node.isNull() ? null : JSON.writeValueAsBytes(node));
    }

    /** Of each kind of record (its topic, its operation, its schemas) the first one. */
    private static void captured(Path file) throws IOException {
        Map<String, SourceRecord> kinds = new LinkedHashMap<>();
        for (String line : Files.readAllLines(file)) {
            JsonNode node = JSON.readTree(line);
            SchemaAndValue key = read(node.get("key"));
            SchemaAndValue value = read(node.get("value"));
            Headers headers = new ConnectHeaders();
            StringBuilder kind = new StringBuilder(node.get("topic").asText());
            for (JsonNode header : node.path("headers")) {
                // The run's own headers say nothing new.
                if (header.get("name").asText().startsWith("__debezium.context")) continue;
                SchemaAndValue its = read(header.get("value"));
                headers.add(header.get("name").asText(), its.value(), its.schema());
                kind.append(header.get("name").asText());
            }
            kind.append(value.schema() == null ? "none" : value.schema().hashCode());
            if (value.value() instanceof Struct struct && value.schema().field("op") != null) kind.append(struct.get("op"));
            kinds.putIfAbsent(kind.toString(), new SourceRecord(Map.of(), Map.of(), node.get("topic").asText(), null, key.schema(), key.value(),
                    value.schema(), value.value(), 1700000000123L, headers));
        }
        for (SourceRecord record : kinds.values()) add(record);
    }

    private static final Schema ROW = SchemaBuilder.struct().optional().name("srv.db.t.Value").version(3).doc("rows").parameter("p", "q")
            .field("id", Schema.INT32_SCHEMA)
            .field("name", SchemaBuilder.string().optional().defaultValue("nobody").build())
            .field("fixed", SchemaBuilder.int32().defaultValue(7).build())
            .field("note", Schema.OPTIONAL_STRING_SCHEMA).field("to", Schema.OPTIONAL_STRING_SCHEMA).build();
    private static final Schema SOURCE = SchemaBuilder.struct().name("io.debezium.connector.mysql.Source").field("db", Schema.STRING_SCHEMA)
            .field("table", Schema.OPTIONAL_STRING_SCHEMA).field("ts_ms", Schema.INT64_SCHEMA)
            .field("snapshot", SchemaBuilder.string().optional().defaultValue("false").name("io.debezium.data.Enum").parameter("allowed", "true,false").version(1).build())
            .field("connector", Schema.STRING_SCHEMA).build();
    private static final Schema TRANSACTION = SchemaBuilder.struct().optional().name("event.block").version(1).field("id", Schema.STRING_SCHEMA)
            .field("total_order", Schema.INT64_SCHEMA).field("data_collection_order", Schema.INT64_SCHEMA).build();
    private static final Schema KEY = SchemaBuilder.struct().name("srv.db.t.Key").field("id", Schema.INT32_SCHEMA).field("note", Schema.OPTIONAL_STRING_SCHEMA).build();

    private static Schema envelope(Schema row, boolean transaction) {
        SchemaBuilder builder = SchemaBuilder.struct().name("srv.db.t.Envelope").version(2).field("before", row).field("after", row)
                .field("source", SOURCE);
        if (transaction) builder.field("transaction", TRANSACTION);
        return builder.field("op", Schema.STRING_SCHEMA).field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).field("ts_us", Schema.OPTIONAL_INT64_SCHEMA)
                .field("ts_ns", Schema.OPTIONAL_INT64_SCHEMA).build();
    }

    private static Struct row(int id, String name, int fixed, String note, String to) {
        return new Struct(ROW).put("id", id).put("name", name).put("fixed", fixed).put("note", note).put("to", to);
    }

    private static Struct change(Schema envelope, Object before, Object after, String op) {
        Struct source = new Struct(SOURCE).put("db", "db").put("table", "t").put("ts_ms", 5L).put("connector", "mysql");
        Struct value = new Struct(envelope).put("before", before).put("after", after).put("source", source).put("op", op).put("ts_ms", 1L).put("ts_us", 1000L);
        if (envelope.field("transaction") != null && !"r".equals(op))
            value.put("transaction", new Struct(TRANSACTION).put("id", "tx").put("total_order", 3L).put("data_collection_order", 2L));
        return value;
    }

    private static SourceRecord record(Object key, Schema schema, Object value, Headers headers) {
        return new SourceRecord(Map.of(), Map.of(), "srv.db.t", null, key == null ? null : ((Struct) key).schema(), key, schema, value, 1700000000123L, headers);
    }

    private static Headers dropping(Object... names) {
        Headers headers = new ConnectHeaders().addString("other", "x");
        if (names.length > 0) headers.add("drop", Arrays.asList(names), SchemaBuilder.array(Schema.STRING_SCHEMA).build());
        return headers;
    }

    private static void changes() throws IOException {
        Struct key = new Struct(KEY).put("id", 1).put("note", "k");
        Struct full = row(1, "Ann", 1, "n", "elsewhere");
        Struct bare = row(2, null, 2, null, null);
        Struct blank = row(3, "", 3, "", " ");
        for (boolean transaction : List.of(true, false)) {
            Schema envelope = envelope(ROW, transaction);
            for (Struct row : List.of(full, bare, blank)) {
                add(record(key, envelope, change(envelope, null, row, "c"), dropping()));
                add(record(key, envelope, change(envelope, row, full, "u"), dropping("note", "fixed", "absent")));
                add(record(key, envelope, change(envelope, row, null, "d"), dropping("note", "id")));
            }
            add(record(null, envelope, change(envelope, null, full, "r"), dropping("to")));
            add(record(null, envelope, change(envelope, null, null, "t"), dropping("to")));
        }
        Headers empty = new ConnectHeaders().add("drop", null, SchemaBuilder.array(Schema.STRING_SCHEMA).optional().build());
        Schema envelope = envelope(ROW, true);
        add(record(key, envelope, change(envelope, null, full, "c"), empty));
        add(record(key, envelope, change(envelope, null, full, "c"), new ConnectHeaders().addString("drop", "note")));
        add(record(key, envelope, change(envelope, null, full, "c"), new ConnectHeaders().add("drop", List.of(), SchemaBuilder.array(Schema.STRING_SCHEMA).build())));
        add(record(key, null, null, dropping("note")));
        add(record(null, null, null, dropping()));
        add(record(key, ROW, full, dropping("note")));
        add(record(key, null, Map.of("op", "c"), dropping()));
        add(record(key, Schema.STRING_SCHEMA, "text", dropping()));
        Schema text = SchemaBuilder.struct().name("a.Envelope").field("before", Schema.OPTIONAL_STRING_SCHEMA).field("after", Schema.OPTIONAL_STRING_SCHEMA).field("source", SOURCE).field("op", Schema.STRING_SCHEMA).build();
        add(record(key, text, change2(text, null, "document", "c"), dropping()));
        add(record(key, text, change2(text, "document", null, "d"), dropping()));
        Schema strange = SchemaBuilder.struct().name("strange.Envelope").field("x", Schema.INT32_SCHEMA).build();
        add(record(key, strange, new Struct(strange).put("x", 1), dropping()));
        add(record(key, SchemaBuilder.string().name("odd.Envelope").build(), "x", dropping()));
        // A default of the whole row.
        Schema with = SchemaBuilder.struct().optional().name("srv.db.t.Value").field("id", SchemaBuilder.int32().defaultValue(4).build()).field("v", Schema.OPTIONAL_STRING_SCHEMA).build();
        Schema third = SchemaBuilder.struct().name("srv.db.t.Envelope").field("before", with).field("after", with).field("source", SOURCE).field("op", Schema.STRING_SCHEMA).field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).field("extra", Schema.OPTIONAL_STRING_SCHEMA).build();
        Struct extra = new Struct(third).put("after", new Struct(with).put("id", 5)).put("source", new Struct(SOURCE).put("db", "d").put("ts_ms", 1L).put("connector", "mysql")).put("op", "c").put("extra", "more");
        add(record(key, third, extra, dropping("v")));
    }

    private static Struct change2(Schema schema, Object before, Object after, String op) {
        Struct source = new Struct(SOURCE).put("db", "db").put("ts_ms", 5L).put("connector", "mysql");
        return new Struct(schema).put("before", before).put("after", after).put("source", source).put("op", op);
    }

    // Running.

    @SuppressWarnings("unchecked")
    private static Transformation<SourceRecord> transform(String name) throws Exception {
        return (Transformation<SourceRecord>) Class.forName(name).getDeclaredConstructor().newInstance();
    }

    private static Map<String, String> config(String... all) {
        Map<String, String> config = new LinkedHashMap<>();
        for (int index = 0; index < all.length; index += 2) config.put(all[index], all[index + 1]);
        return config;
    }

    private static void run(String name, int input, String... config) throws Exception {
        ObjectNode line = JSON.createObjectNode();
        line.put("class", name);
        line.set("config", JSON.valueToTree(new TreeMap<>(config(config))));
        line.put("input", input);
        SourceRecord record = RECORDS.get(input);
        // Headers are changed in place.
        record = record.newRecord(record.topic(), record.kafkaPartition(), record.keySchema(), record.key(), record.valueSchema(), record.value(), record.timestamp(), record.headers().duplicate());
        try (Transformation<SourceRecord> transform = transform(name)) {
            transform.configure(config(config));
            SourceRecord out = transform.apply(record);
            line.set("output", out == null ? null : json(out));
        } catch (Exception error) {
            line.put("error", error.getClass().getSimpleName() + ": " + String.valueOf(error.getMessage()).replaceAll("@[0-9a-f]+", ""));
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    private static void all(String name, int from, String... config) throws Exception {
        for (int input = from; input < RECORDS.size(); input++) run(name, input, config);
    }

    private static void unwrap(int made) throws Exception {
        for (String mode : List.of("drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone")) {
            all(UNWRAP, 0, "delete.tombstone.handling.mode", mode);
            all(UNWRAP, made, "delete.tombstone.handling.mode", mode, "drop.fields.header.name", "drop", "drop.fields.from.key", "true");
            all(UNWRAP, made, "delete.tombstone.handling.mode", mode, "add.headers", "op,db,transaction.id", "add.fields", "op,source.ts_ms");
            all(UNWRAP, made, "delete.tombstone.handling.mode", mode, "replace.null.with.default", "false");
            all(UNWRAP, made, "delete.tombstone.handling.mode", mode, "route.by.field", "to");
        }
        all(UNWRAP, 0, "delete.tombstone.handling.mode", "rewrite", "add.fields", "op,table,lsn,source.ts_ms,transaction.id,ts_ns", "add.headers", "op,gtid,query,total_order");
        for (String fields : List.of("op", "ts_ms,ts_us, ts_ns", "db:DATABASE,op:OP", "source.connector,source.db:in", "total_order,data_collection_order,id", "transaction.total_order", "snapshot", "lsn", "source", "source.source",
                "before", "after.id", "before.name", "extra", "op,op", "none.op", "transaction", "name", "updateDescription", "op:", "a.b.c")) {
            all(UNWRAP, made, "add.fields", fields, "delete.tombstone.handling.mode", "rewrite");
            all(UNWRAP, made, "add.headers", fields, "delete.tombstone.handling.mode", "rewrite-with-tombstone");
        }
        all(UNWRAP, made, "add.fields", "op,db", "add.fields.prefix", "");
        all(UNWRAP, made, "add.fields", "id,connector:name", "add.fields.prefix", "");
        all(UNWRAP, made, "add.fields", "op,db:x", "add.fields.prefix", "meta.", "add.headers", "op,db:x", "add.headers.prefix", "h-");
        for (String field : List.of("name", "id", "absent", "note", "fixed")) all(UNWRAP, made, "route.by.field", field, "delete.tombstone.handling.mode", "rewrite");
        all(UNWRAP, made, "drop.fields.header.name", "drop", "drop.fields.keep.schema.compatible", "false");
        all(UNWRAP, made, "drop.fields.header.name", "drop", "drop.fields.keep.schema.compatible", "false", "drop.fields.from.key", "true", "add.fields", "op");
        all(UNWRAP, made, "drop.fields.header.name", "other");
        all(UNWRAP, made, "drop.fields.header.name", " ");
        all(UNWRAP, made, "drop.fields.header.name", "drop", "delete.tombstone.handling.mode", "rewrite", "drop.fields.keep.schema.compatible", "false", "route.by.field", "to", "add.fields", "db");
    }

    private static void route() throws Exception {
        String[][] configs = {
            {"topic.regex", "(.*)\\.(.*)\\.(.*)", "topic.replacement", "$1.all"}, {"topic.regex", "(.*)\\.t", "topic.replacement", "$1"}, {"topic.regex", "nothing", "topic.replacement", "x"}, {"topic.regex", ".*", "topic.replacement", "fixed-name"},
            {"topic.regex", "(?<server>[^.]+)\\.(?<rest>.*)", "topic.replacement", "${rest}-of-${server}", "key.field.name", "origin"}, {"topic.regex", "(.*)", "topic.replacement", "$1", "key.enforce.uniqueness", "false"},
            {"topic.regex", "srv(.*)", "topic.replacement", "$1", "key.field.regex", "srv\\.(.*)\\.t", "key.field.replacement", "<$1>"}, {"topic.regex", "(.*)", "topic.replacement", "x", "key.field.regex", "nothing", "key.field.replacement", "y"},
            {"topic.regex", "(.*)", "topic.replacement", "$1 (all)", "schema.name.adjustment.mode", "avro"}, {"topic.regex", "(.*)", "topic.replacement", "1-$1", "schema.name.adjustment.mode", "avro"}, {"topic.regex", "(.*)", "topic.replacement", "1-ü_$1", "schema.name.adjustment.mode", "avro_unicode"},
            {"topic.regex", "(.*)", "topic.replacement", "$2"}, {"topic.regex", ".*()", "topic.replacement", "$1"}, {"topic.regex", "(.*)", "topic.replacement", "k", "key.field.name", "id"},
        };
        for (String[] config : configs) all(ROUTER, 0, config);
    }

    // The outbox.

    private static Schema outboxRow(Schema payload) {
        return SchemaBuilder.struct().optional().name("srv.db.outbox.Value").field("id", Schema.STRING_SCHEMA).field("aggregatetype", Schema.OPTIONAL_STRING_SCHEMA).field("aggregateid", Schema.OPTIONAL_STRING_SCHEMA)
                .field("type", SchemaBuilder.string().optional().defaultValue("Made").build()).field("payload", payload).field("version", Schema.OPTIONAL_INT32_SCHEMA).field("number", Schema.OPTIONAL_INT64_SCHEMA)
                .field("at", SchemaBuilder.int64().optional().name("io.debezium.time.Timestamp").version(1).build()).field("at_us", SchemaBuilder.int64().optional().name("io.debezium.time.MicroTimestamp").version(1).build())
                .field("at_ns", SchemaBuilder.int64().optional().name("io.debezium.time.NanoTimestamp").version(1).build()).field("at_text", SchemaBuilder.string().optional().name("io.debezium.time.ZonedTimestamp").version(1).build())
                .field("part", Schema.OPTIONAL_INT32_SCHEMA).field("bytes_key", Schema.OPTIONAL_BYTES_SCHEMA).build();
    }

    private static int outbox(Schema payload, Object value, String op, String aggregate, String key) throws IOException {
        Schema row = outboxRow(payload);
        Struct after = new Struct(row).put("id", "e-1").put("aggregatetype", aggregate).put("aggregateid", key).put("payload", value).put("version", 4).put("number", 9L)
                .put("at", 1600000000001L).put("at_us", -1600000000001001L).put("at_ns", 1600000000001001001L).put("at_text", "2020-01-01T00:00:00Z").put("part", 6).put("bytes_key", new byte[]{1});
        Schema envelope = envelope(row, true);
        Struct change = change(envelope, op.equals("d") ? after : null, op.equals("d") || op.equals("t") ? null : after, op);
        Struct its = new Struct(SchemaBuilder.struct().name("srv.db.outbox.Key").field("id", Schema.STRING_SCHEMA).build()).put("id", "e-1");
        return add(record(its, envelope, change, new ConnectHeaders().addString("kept", "header")));
    }

    private static void outbox() throws Exception {
        int tombstone = add(record(new Struct(KEY).put("id", 1), null, null, new ConnectHeaders()));
        int ordinary = outbox(Schema.OPTIONAL_STRING_SCHEMA, "{\"a\":1}", "c", "Order", "k");
        List<Integer> inputs = new ArrayList<>(List.of(tombstone, ordinary));
        for (String op : List.of("r", "u", "d", "t")) inputs.add(outbox(Schema.OPTIONAL_STRING_SCHEMA, "text", op, "Order", "k"));
        inputs.add(outbox(Schema.OPTIONAL_STRING_SCHEMA, null, "c", "Order", "k"));
        inputs.add(outbox(Schema.OPTIONAL_STRING_SCHEMA, " ", "c", "Order", null));
        inputs.add(outbox(Schema.OPTIONAL_STRING_SCHEMA, "x", "c", null, "k"));
        inputs.add(outbox(Schema.OPTIONAL_STRING_SCHEMA, "x", "c", "", "k"));
        inputs.add(outbox(Schema.OPTIONAL_BYTES_SCHEMA, new byte[]{1, 2}, "c", "a b", "k"));
        inputs.add(outbox(Schema.OPTIONAL_BYTES_SCHEMA, new byte[]{}, "c", "a", "k"));
        inputs.add(outbox(SchemaBuilder.string().optional().name("io.debezium.data.Json").version(1).build(), "{\"b\":[1,2]}", "c", "Customer", "k"));
        inputs.add(outbox(Schema.OPTIONAL_INT32_SCHEMA, 5, "c", "a", "k"));
        Schema inner = SchemaBuilder.struct().optional().name("inner").field("x", Schema.INT32_SCHEMA).build();
        inputs.add(outbox(inner, new Struct(inner).put("x", 1), "c", "a", "k"));
        for (int input = 0; input < 4; input++) inputs.add(input);
        for (int input : inputs) {
            run(OUTBOX, input);
            for (String placement : List.of("type:header", "type:header:eventType,version:envelope", "part:partition", "number:partition", "absent:header", "absent:envelope", "absent:partition", "version:envelope:v,type:envelope,at:header:when,part:partition", " type : header : t ", "type:nowhere", "bytes_key:header"))
                for (String missing : List.of("error", "ignore")) run(OUTBOX, input, "table.fields.additional.placement", placement, "table.field.additional.missing", missing);
            for (String at : List.of("at", "at_us", "at_ns", "at_text", "number", "absent")) run(OUTBOX, input, "table.field.event.timestamp", at);
            for (String key : List.of("aggregateid", "absent", "id", "bytes_key", "version")) run(OUTBOX, input, "table.field.event.key", key);
            for (String id : List.of("aggregateid", "absent", "number")) run(OUTBOX, input, "table.field.event.id", id);
            for (String payload : List.of("type", "absent", "version")) run(OUTBOX, input, "table.field.event.payload", payload, "table.fields.additional.placement", "id:envelope");
            for (String by : List.of("type", "absent", "version")) run(OUTBOX, input, "route.by.field", by);
            run(OUTBOX, input, "route.topic.regex", "(.)(.*)", "route.topic.replacement", "events.$2.$1");
            run(OUTBOX, input, "route.topic.regex", "Cust(.*)", "route.topic.replacement", "c$1");
            run(OUTBOX, input, "route.topic.replacement", "plain");
            run(OUTBOX, input, "route.tombstone.on.empty.payload", "true");
            run(OUTBOX, input, "route.tombstone.on.empty.payload", "true", "table.fields.additional.placement", "version:envelope");
            run(OUTBOX, input, "table.field.event.schema.version", "version", "table.fields.additional.placement", "type:envelope");
            run(OUTBOX, input, "table.field.event.schema.version", "version");
            run(OUTBOX, input, "table.field.event.schema.version", "number", "table.fields.additional.placement", "type:envelope");
            run(OUTBOX, input, "table.field.event.schema.version", "absent", "table.fields.additional.placement", "type:envelope");
            for (String invalid : List.of("warn", "error", "fatal")) run(OUTBOX, input, "table.op.invalid.behavior", invalid);
            run(OUTBOX, input, "table.expand.json.payload", "true");
        }
        String[] documents = {
            "{}", "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":null,\"e\":1.5,\"f\":12345678901,\"g\":{\"h\":{\"i\":[1,2]}},\"j\":[]}", "{\"a\":[{\"x\":1},{\"x\":2}]}", "{\"a\":[[1,2],[3]]}", "{\"a\":[null,1]}", "{\"a\":[null]}", "{\"a\":[1,\"x\"]}", "{\"a\":[1,2.5]}", "{\"a\":[1,12345678901]}",
            "[1,2]", "[]", "[{\"a\":1}]", "text", "", " {\"a\":1}", "{", "{\"a\":}", "{\"a\":1} trailing", "{\"a\":123456789012345678901234567890}", "{\"a\":1e3,\"b\":-0.5,\"c\":-2147483648,\"d\":2147483648,\"e\":9223372036854775807,\"f\":9223372036854775808}", "{\"a\":1,\"a\":\"twice\"}",
            "{\"a b\":1,\"\":2,\"ü\":{\"1\":null}}", "{\"a\":\"\\u20ac\\n\\\"\\ud83d\\ude00\"}", "{\"a\":[{\"x\":null},{\"x\":null}]}", "{\"a\":[\"x\",null,\"y\"]}", "{\"a\":[true,false]}", "{\"a\":[{}]}", "{\"a\":[[]]}", "{\"z\":1,\"y\":2,\"x\":{\"w\":3,\"v\":4}}", "null", "5", "{\"a\":{\"b\":null}}",
        };
        for (String document : documents) {
            int input = outbox(Schema.OPTIONAL_STRING_SCHEMA, document, "c", "Order", "k");
            run(OUTBOX, input, "table.expand.json.payload", "true");
            run(OUTBOX, input, "table.expand.json.payload", "true", "table.json.payload.null.behavior", "optional_bytes");
            run(OUTBOX, input, "table.expand.json.payload", "true", "table.fields.additional.placement", "type:envelope");
            run(OUTBOX, input, "table.expand.json.payload", "true", "route.tombstone.on.empty.payload", "true");
        }
    }
}
