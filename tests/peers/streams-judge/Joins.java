import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.*;

/** Joins of two streams. */
final class Joins {
    private Joins() {
    }

    /** Builds the topology of this name; its output topics. */
    static List<String> topology(String name, StreamsBuilder builder) {
        KStream<String, ObjectNode> left = byKey(builder, "in");
        KStream<String, ObjectNode> right = byKey(builder, "more");
        JoinWindows window = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5));
        StreamJoined<String, ObjectNode, ObjectNode> serdes = StreamJoined.with(Serdes.String(), new Judge.ObjectSerde(), new Judge.ObjectSerde());
        KStream<String, String> joined = switch (name) {
            case "join-inner" -> left.join(right, Joins::pair, window, serdes);
            case "join-left", "join-late" -> left.leftJoin(right, Joins::pair, window, serdes);
            case "join-outer" -> left.outerJoin(right, Joins::pair, window, serdes);
            case "join-asymmetric" -> left.outerJoin(right, Joins::pair, window.before(Duration.ofSeconds(5)).after(Duration.ofSeconds(20)), serdes);
            default -> throw new IllegalArgumentException("no topology " + name);
        };
        joined.to("out");
        return List.of("out");
    }

    private static KStream<String, ObjectNode> byKey(StreamsBuilder builder, String topic) {
        return Judge.rows(builder, topic).selectKey((key, row) -> row.get("k").isNull() ? null : row.get("k").asText());
    }

    private static String pair(ObjectNode left, ObjectNode right) {
        ObjectNode pair = Judge.object();
        pair.set("k", (left == null ? right : left).get("k"));
        pair.set("left", member(left, "n"));
        pair.set("left_s", member(left, "s"));
        pair.set("left_at", member(left, "at"));
        pair.set("right", member(right, "n"));
        pair.set("right_at", member(right, "at"));
        return pair.toString();
    }

    private static JsonNode member(ObjectNode row, String name) {
        return row == null ? null : row.get(name);
    }
}
