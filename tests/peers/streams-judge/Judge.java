import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.*;
import java.time.Duration;
import java.time.Instant;
import java.util.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.test.TestRecord;

/**
 * What Kafka Streams makes of generated records, for others to be compared with.
 *
 * Usage: Judge FOLDER. For each file TOPOLOGY.SEED.in in it, lines of {"topic", "key", "value", "at"}, it writes TOPOLOGY.SEED.out: the
 * records of each output topic in their order as {"topic", "key", "value"}. The same topologies in Rust, and the generator, stand in
 * streams/tests/judge.
 */
public final class Judge {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Judge() {
    }

    public static void main(String[] arguments) throws IOException {
        List<Path> inputs = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of(arguments[0]), "*.in")) {
            files.forEach(inputs::add);
        }
        for (Path input : inputs) {
            String name = input.getFileName().toString();
            judge(name.substring(0, name.indexOf('.')), input, input.resolveSibling(name.replaceFirst("in$", "out")));
        }
    }

    private static void judge(String name, Path input, Path output) throws IOException {
        StreamsBuilder builder = new StreamsBuilder();
        List<String> outputs = topology(name, builder);
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
            org.apache.kafka.streams.state.BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        // Else closed windows, and rows that have met none, wait for a clock that stands still.
        settings.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 0L);
        settings.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX, 0L);
        Path state = Files.createTempDirectory("judge");
        settings.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        StringSerializer in = new StringSerializer();
        StringDeserializer out = new StringDeserializer();
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(), settings, Instant.EPOCH);
             PrintWriter writer = new PrintWriter(Files.newBufferedWriter(output))) {
            Map<String, TestInputTopic<String, String>> topics = new HashMap<>();
            for (String line : Files.readAllLines(input)) {
                JsonNode record = JSON.readTree(line);
                topics.computeIfAbsent(record.get("topic").asText(), topic -> driver.createInputTopic(topic, in, in))
                    .pipeInput(new TestRecord<>(text(record, "key"), text(record, "value"), Instant.ofEpochMilli(record.get("at").asLong())));
            }
            for (String topic : outputs) {
                for (KeyValue<String, String> record : driver.createOutputTopic(topic, out, out).readKeyValuesToList()) {
                    writer.println(JSON.createObjectNode().put("topic", topic).put("key", record.key).put("value", record.value));
                }
            }
        } finally {
            try (var files = Files.walk(state)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
    }

    /** Builds the topology of this name; its output topics. */
    private static List<String> topology(String name, StreamsBuilder builder) {
        switch (name) {
            case "words" -> {
                builder.<String, String>stream("in")
                    .flatMapValues(Judge::words)
                    .groupBy((key, word) -> word)
                    .count()
                    .toStream()
                    .mapValues(count -> object().put("n", count).toString())
                    .to("out");
                return List.of("out");
            }
            case "aggregates" -> {
                rows(builder, "in")
                    .groupBy((key, row) -> key(row.get("k")), grouped())
                    .aggregate(Judge::object, (key, row, state) -> add(state, row), stored())
                    .toStream()
                    .mapValues(state -> shown(state).toString())
                    .to("out");
                return List.of("out");
            }
            case "pairs" -> {
                // Two columns and what is computed from a third are the key.
                rows(builder, "in")
                    .filter((key, row) -> !row.get("n").isNull())
                    .groupBy((key, row) -> JSON.createArrayNode().add(row.get("k")).add(row.get("s")).add(row.get("n").asLong() % 3).toString(), grouped())
                    .count()
                    .toStream()
                    .mapValues(count -> object().put("n", count).toString())
                    .to("out");
                return List.of("out");
            }
            case "ways" -> {
                ways(builder);
                return List.of("even", "negative", "rest", "both", "counts");
            }
            case "merged" -> {
                rows(builder, "in").merge(rows(builder, "more"))
                    .groupBy((key, row) -> key(row.get("k")), grouped())
                    .aggregate(Judge::object, (key, row, state) -> add(state, row), stored())
                    .toStream()
                    .mapValues(state -> shown(state).toString())
                    .to("out");
                return List.of("out");
            }
            case "reduced" -> {
                KGroupedStream<String, ObjectNode> byKey = rows(builder, "in").groupBy((key, row) -> key(row.get("k")), grouped());
                reduced(byKey.reduce((before, row) -> before), "first");
                reduced(byKey.reduce((before, row) -> row), "last");
                return List.of("first", "last");
            }
            case "tumbling" -> {
                windows(rows(builder, "in"), TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5)), EmitStrategy.onWindowUpdate());
                return List.of("out");
            }
            case "hopping" -> {
                windows(rows(builder, "in"), TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(7)).advanceBy(Duration.ofSeconds(3)),
                    EmitStrategy.onWindowUpdate());
                return List.of("out");
            }
            case "closed" -> {
                windows(rows(builder, "in"), TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5)), EmitStrategy.onWindowClose());
                return List.of("out");
            }
            case "join-inner", "join-left", "join-outer", "join-asymmetric", "join-late" -> {
                return Joins.topology(name, builder);
            }
            case "suppressed" -> {
                rows(builder, "in")
                    .groupBy((key, row) -> key(row.get("k")), grouped())
                    .aggregate(Judge::object, (key, row, state) -> add(state, row), stored())
                    .suppress(Suppressed.untilTimeLimit(Duration.ofSeconds(10), Suppressed.BufferConfig.unbounded()))
                    .toStream()
                    .mapValues(state -> shown(state).toString())
                    .to("out");
                return List.of("out");
            }
            case "sessions", "sessions-closed", "sliding", "sliding-closed" -> {
                return RowWindows.topology(name, builder);
            }
            case "cogroup" -> {
                return Cogroup.topology(builder);
            }
            case "versioned", "versioned-left" -> {
                return Versions.topology(name, builder);
            }
            case "foreign", "foreign-left", "tables-inner", "tables-left", "tables-outer" -> {
                return Tables.topology(name, builder);
            }
            default -> throw new IllegalArgumentException("no topology " + name);
        }
    }

    private static void reduced(KTable<String, ObjectNode> rows, String output) {
        rows.toStream().mapValues(row -> object().<ObjectNode>set("s", row.get("s")).toString()).to(output);
    }

    /** Aggregates by key and window; a result's key is KEY@START. */
    private static void windows(KStream<String, ObjectNode> rows, TimeWindows windows, EmitStrategy emit) {
        rows.groupBy((key, row) -> key(row.get("k")), grouped())
            .windowedBy(windows)
            .emitStrategy(emit)
            .aggregate(Judge::object, (key, row, state) -> add(state, row), stored())
            .toStream((window, state) -> window.key() + "@" + window.window().start())
            .mapValues(state -> shown(state).toString())
            .to("out");
    }

    /** Filters, maps, branches and merges. */
    private static void ways(StreamsBuilder builder) {
        Map<String, KStream<String, ObjectNode>> ways = rows(builder, "in")
            // A null is neither greater nor less than anything.
            .filter((key, row) -> !row.get("n").isNull() && row.get("n").asLong() >= -50)
            .mapValues(row -> row.put("twice", row.get("n").asLong() * 2)
                .put("shout", row.get("s").isNull() ? "nobody" : row.get("s").asText().toUpperCase(Locale.ROOT) + "!"))
            .split(Named.as("way-"))
            .branch((key, row) -> row.get("n").asLong() % 2 == 0, Branched.as("even"))
            .branch((key, row) -> row.get("n").asLong() < 0, Branched.as("negative"))
            .defaultBranch(Branched.as("rest"));
        for (String way : List.of("even", "negative", "rest")) {
            ways.get("way-" + way).mapValues(JsonNode::toString).to(way);
        }
        KStream<String, ObjectNode> both = ways.get("way-even").merge(ways.get("way-rest"))
            .mapValues(row -> {
                ObjectNode selected = object();
                selected.set("k", row.get("k"));
                selected.set("shout", row.get("shout"));
                return selected;
            });
        both.mapValues(JsonNode::toString).to("both");
        both.groupBy((key, row) -> row.get("shout").asText(), grouped())
            .count()
            .toStream()
            .mapValues(count -> object().put("n", count).toString())
            .to("counts");
    }

    /** Records that are JSON objects; a member that is missing is null. */
    static KStream<String, ObjectNode> rows(StreamsBuilder builder, String topic) {
        return builder.<String, String>stream(topic).mapValues(value -> {
            ObjectNode row = parse(value);
            for (String member : List.of("k", "n", "x", "s")) {
                if (!row.has(member)) {
                    row.putNull(member);
                }
            }
            return row;
        });
    }

    /** Adds a row to all aggregates. As in SQL, null is no value: only the number of rows counts it. */
    static ObjectNode add(ObjectNode state, ObjectNode row) {
        state.put("rows", state.path("rows").asLong() + 1);
        if (!row.get("n").isNull()) {
            long n = row.get("n").asLong();
            state.put("count", state.path("count").asLong() + 1);
            state.put("sum", state.path("sum").asLong() + n);
            state.put("min", Math.min(state.path("min").asLong(Long.MAX_VALUE), n));
            state.put("max", Math.max(state.path("max").asLong(Long.MIN_VALUE), n));
        }
        if (!row.get("x").isNull()) {
            state.put("total", state.path("total").asDouble() + row.get("x").asDouble());
        }
        if (!row.get("s").isNull()) {
            String s = row.get("s").asText();
            state.put("first", state.has("first") && compare(state.get("first").asText(), s) <= 0 ? state.get("first").asText() : s);
            state.put("last", state.has("last") && compare(state.get("last").asText(), s) >= 0 ? state.get("last").asText() : s);
            ObjectNode seen = state.withObject("/seen");
            seen.put(s, true);
        }
        return state;
    }

    /** Strings in the order of their code points, which is that of their UTF-8 bytes. */
    static int compare(String left, String right) {
        return Arrays.compareUnsigned(left.getBytes(java.nio.charset.StandardCharsets.UTF_8), right.getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }

    static ObjectNode shown(ObjectNode state) {
        ObjectNode shown = object();
        shown.put("rows", state.get("rows").asLong());
        shown.put("count", state.path("count").asLong());
        for (String member : List.of("sum", "min", "max")) {
            shown.set(member, state.get(member));
        }
        shown.put("avg", state.has("count") ? (Double) (state.get("sum").asDouble() / state.get("count").asLong()) : null);
        for (String member : List.of("total", "first", "last")) {
            shown.set(member, state.get(member));
        }
        return shown.put("distinct", state.path("seen").size());
    }

    /** Null is a key like any other; Kafka Streams would drop it. */
    static String key(JsonNode value) {
        return value.isNull() ? "[null]" : value.asText();
    }

    private static List<String> words(String line) {
        List<String> words = new ArrayList<>();
        for (String word : line.split("[^\\p{L}\\p{M}\\p{N}]+")) {
            if (!word.isEmpty()) {
                words.add(word.toLowerCase(Locale.ROOT));
            }
        }
        return words;
    }

    static Grouped<String, ObjectNode> grouped() {
        return Grouped.with(Serdes.String(), new ObjectSerde());
    }

    static <S extends org.apache.kafka.streams.processor.StateStore> Materialized<String, ObjectNode, S> stored() {
        return Materialized.with(Serdes.String(), new ObjectSerde());
    }

    static ObjectNode object() {
        return JSON.createObjectNode();
    }

    private static String text(JsonNode record, String member) {
        return record.get(member).isNull() ? null : record.get(member).asText();
    }

    private static ObjectNode parse(String text) {
        try {
            return (ObjectNode) JSON.readTree(text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Objects as JSON. */
    public static final class ObjectSerde implements Serde<ObjectNode> {
        @Override
        public Serializer<ObjectNode> serializer() {
            StringSerializer strings = new StringSerializer();
            return (topic, object) -> object == null ? null : strings.serialize(topic, object.toString());
        }

        @Override
        public Deserializer<ObjectNode> deserializer() {
            StringDeserializer strings = new StringDeserializer();
            return (topic, bytes) -> bytes == null ? null : parse(strings.deserialize(topic, bytes));
        }
    }
}
