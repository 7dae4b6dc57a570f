import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/** Windows whose bounds are those of rows: sessions and sliding windows. A result's key is [KEY, START, END] as JSON, with the end behind the window. */
final class RowWindows {
    private RowWindows() {
    }

    /** Builds the topology of this name; its output topics. */
    static List<String> topology(String name, StreamsBuilder builder) {
        KGroupedStream<String, ObjectNode> rows = Judge.rows(builder, "in").groupBy((key, row) -> Judge.key(row.get("k")), Judge.grouped());
        SessionWindows sessions = SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5));
        SlidingWindows sliding = SlidingWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5));
        KTable<Windowed<String>, ObjectNode> results = switch (name) {
            case "sessions" -> sessions(rows, sessions, EmitStrategy.onWindowUpdate());
            case "sessions-closed" -> sessions(rows, sessions, EmitStrategy.onWindowClose());
            case "sliding" -> sliding(rows, sliding, EmitStrategy.onWindowUpdate());
            case "sliding-closed" -> sliding(rows, sliding, EmitStrategy.onWindowClose());
            default -> throw new IllegalArgumentException("no topology " + name);
        };
        results.toStream((window, state) -> shown(window))
            .mapValues(state -> state == null ? null : Judge.shown(state).toString())
            .to("out");
        return List.of("out");
    }

    private static KTable<Windowed<String>, ObjectNode> sessions(KGroupedStream<String, ObjectNode> rows, SessionWindows windows, EmitStrategy emit) {
        return rows.windowedBy(windows)
            .emitStrategy(emit)
            .aggregate(Judge::object, (key, row, state) -> Judge.add(state, row), (key, one, other) -> merged(one, other), RowWindows.<SessionStore<Bytes, byte[]>>kept());
    }

    private static KTable<Windowed<String>, ObjectNode> sliding(KGroupedStream<String, ObjectNode> rows, SlidingWindows windows, EmitStrategy emit) {
        return rows.windowedBy(windows)
            .emitStrategy(emit)
            // What it gave to a window it gives to another one as well.
            .aggregate(Judge::object, (key, row, state) -> Judge.add(state.deepCopy(), row), RowWindows.<WindowStore<Bytes, byte[]>>kept());
    }

    /** Longer than windows are open: the stores in memory would forget them just before they are emitted. */
    private static <S extends StateStore> Materialized<String, ObjectNode, S> kept() {
        return Judge.<S>stored().withRetention(Duration.ofDays(1));
    }

    private static String shown(Windowed<String> window) {
        ArrayNode key = Judge.object().putArray("key");
        return key.add(window.key().equals("[null]") ? null : window.key())
            .add(Instant.ofEpochMilli(window.window().start()).toString())
            .add(Instant.ofEpochMilli(window.window().end() + 1).toString())
            .toString();
    }

    /** Both states as one. */
    private static ObjectNode merged(ObjectNode one, ObjectNode other) {
        ObjectNode merged = one.deepCopy();
        for (String member : List.of("rows", "count", "sum")) {
            if (one.has(member) || other.has(member)) {
                merged.put(member, one.path(member).asLong() + other.path(member).asLong());
            }
        }
        if (one.has("total") || other.has("total")) {
            merged.put("total", one.path("total").asDouble() + other.path("total").asDouble());
        }
        if (other.has("min")) {
            merged.put("min", Math.min(one.path("min").asLong(Long.MAX_VALUE), other.get("min").asLong()));
            merged.put("max", Math.max(one.path("max").asLong(Long.MIN_VALUE), other.get("max").asLong()));
        }
        if (other.has("first")) {
            boolean first = one.has("first") && Judge.compare(one.get("first").asText(), other.get("first").asText()) <= 0;
            boolean last = one.has("last") && Judge.compare(one.get("last").asText(), other.get("last").asText()) >= 0;
            merged.set("first", (first ? one : other).get("first"));
            merged.set("last", (last ? one : other).get("last"));
            ObjectNode seen = merged.withObject("/seen");
            seen.setAll(other.withObject("/seen").deepCopy());
        }
        return merged;
    }
}
