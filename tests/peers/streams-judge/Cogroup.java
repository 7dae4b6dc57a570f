import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.*;

/** Streams that are aggregated together. */
final class Cogroup {
    private Cogroup() {
    }

    /** Builds the topology; its output topics. */
    static List<String> topology(StreamsBuilder builder) {
        byKey(builder, "in").cogroup(Cogroup::addOne)
            .cogroup(byKey(builder, "more"), Cogroup::addOther)
            .aggregate(() -> Judge.object().put("rows", 0L).putNull("sum").put("more", 0L).putNull("max"), Judge.stored())
            .toStream()
            .mapValues(ObjectNode::toString)
            .to("out");
        return List.of("out");
    }

    private static KGroupedStream<String, ObjectNode> byKey(StreamsBuilder builder, String topic) {
        // By name: repartition topics that take theirs from the store would have the same one.
        Grouped<String, ObjectNode> named = Grouped.with(topic, Serdes.String(), new Judge.ObjectSerde());
        return Judge.rows(builder, topic).groupBy((key, row) -> Judge.key(row.get("k")), named);
    }

    private static ObjectNode addOne(String key, ObjectNode row, ObjectNode state) {
        state.put("rows", state.get("rows").asLong() + 1);
        if (!row.get("n").isNull()) {
            state.put("sum", state.get("sum").asLong() + row.get("n").asLong());
        }
        return state;
    }

    private static ObjectNode addOther(String key, ObjectNode row, ObjectNode state) {
        state.put("more", state.get("more").asLong() + 1);
        if (!row.get("n").isNull()) {
            long n = row.get("n").asLong();
            state.put("max", state.get("max").isNull() ? n : Math.max(state.get("max").asLong(), n));
        }
        return state;
    }
}
