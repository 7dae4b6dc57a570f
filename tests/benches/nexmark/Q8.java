import java.time.Duration;
import java.util.Map;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.StreamJoined;

/**
 * Persons that came and opened auctions within the same ten seconds: pairs that are near, of which those in one window are kept. The key
 * of a result is person and window, so that who opens several auctions is there once.
 */
public final class Q8 implements Nexmark.Query {
    private static final long SIZE_MS = 10_000;

    private record Opened(Person person, long start) {
    }

    /** Persons wait for the auctions that are still shuffled: else stream time runs ahead, and these are too late. */
    @Override
    public Map<String, String> settings() {
        return Map.of("max.task.idle.ms", "3000");
    }

    @Override
    public void declare(Inputs inputs, String output) {
        KStream<String, Long> opened = inputs.auctions(Auction::numbers)
            .map((id, auction) -> KeyValue.pair(Long.toString(auction.seller()), auction.at()));
        inputs.persons()
            .join(opened, (person, at) -> start(person.at()) == start(at) ? new Opened(person, start(at)) : null,
                JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(SIZE_MS), Inputs.DISORDER),
                StreamJoined.with(Serdes.String(), Person.SERDE, Serdes.Long()))
            .filter((id, pair) -> pair != null)
            .map((id, pair) -> KeyValue.pair(Json.key(id, pair.start), new Json().put("id", pair.person.id())
                .put("name", pair.person.name()).put("starttime", pair.start).toString()))
            .to(output);
    }

    private static long start(long at) {
        return at / SIZE_MS * SIZE_MS;
    }
}
