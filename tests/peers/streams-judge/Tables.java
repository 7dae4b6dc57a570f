import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.KeyValueStore;

/** Joins of two tables: by a column of one that is the key of the other, and by their keys. */
final class Tables {
    private Tables() {
    }

    /** Builds the topology of this name; its output topics. */
    static List<String> topology(String name, StreamsBuilder builder) {
        KTable<String, ObjectNode> left = table(builder, "in");
        KTable<String, ObjectNode> right = table(builder, "more");
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> stored = Materialized.with(Serdes.String(), Serdes.String());
        KTable<String, String> joined = switch (name) {
            case "foreign" -> left.join(right, Tables::foreignKey, Tables::pair, stored);
            case "foreign-left" -> left.leftJoin(right, Tables::foreignKey, Tables::pair, stored);
            case "tables-inner" -> left.join(right, Tables::pair, stored);
            case "tables-left" -> left.leftJoin(right, Tables::pair, stored);
            case "tables-outer" -> left.outerJoin(right, Tables::pair, stored);
            default -> throw new IllegalArgumentException("no topology " + name);
        };
        joined.toStream().to("out");
        return List.of("out");
    }

    /** The last row of each key; one that is gone deletes it. */
    private static KTable<String, ObjectNode> table(StreamsBuilder builder, String topic) {
        return Judge.rows(builder, topic)
            .selectKey((key, row) -> row.get("k").asText())
            .mapValues(row -> row.get("gone").asBoolean() ? null : row)
            .toTable(Materialized.with(Serdes.String(), new Judge.ObjectSerde()));
    }

    private static String foreignKey(ObjectNode row) {
        return row.get("fk").isNull() ? null : row.get("fk").asText();
    }

    private static String pair(ObjectNode left, ObjectNode right) {
        ObjectNode pair = Judge.object();
        pair.set("fk", member(left, "fk"));
        pair.set("n", member(left, "n"));
        pair.set("s", member(right, "s"));
        return pair.toString();
    }

    private static JsonNode member(ObjectNode row, String name) {
        return row == null ? null : row.get(name);
    }
}
