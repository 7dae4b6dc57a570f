import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.Stores;

/** Streams joined with what a table had at their time. */
final class Versions {
    private Versions() {
    }

    /** Builds the topology of this name; its output topics. */
    static List<String> topology(String name, StreamsBuilder builder) {
        KTable<String, ObjectNode> table = byKey(builder, "more")
            .mapValues(row -> row.get("n").isNull() ? null : row)
            .toTable(Materialized.<String, ObjectNode>as(Stores.persistentVersionedKeyValueStore("versions", Duration.ofSeconds(60)))
                .withKeySerde(Serdes.String())
                .withValueSerde(new Judge.ObjectSerde()));
        KStream<String, ObjectNode> rows = byKey(builder, "in");
        Joined<String, ObjectNode, ObjectNode> serdes = Joined.with(Serdes.String(), new Judge.ObjectSerde(), new Judge.ObjectSerde());
        KStream<String, String> joined = switch (name) {
            case "versioned" -> rows.join(table, Versions::pair, serdes);
            case "versioned-left" -> rows.leftJoin(table, Versions::pair, serdes);
            default -> throw new IllegalArgumentException("no topology " + name);
        };
        joined.to("out");
        return List.of("out");
    }

    private static KStream<String, ObjectNode> byKey(StreamsBuilder builder, String topic) {
        return Judge.rows(builder, topic).selectKey((key, row) -> row.get("k").isNull() ? null : row.get("k").asText());
    }

    private static String pair(ObjectNode row, ObjectNode version) {
        ObjectNode pair = Judge.object();
        pair.set("k", row.get("k"));
        pair.set("left", row.get("n"));
        pair.set("left_at", row.get("at"));
        pair.set("right", version == null ? null : version.get("n"));
        pair.set("right_at", version == null ? null : version.get("at"));
        return pair.toString();
    }
}
