import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;

/** How often each bidder bids without a pause of more than ten seconds. */
public final class Q11 implements Nexmark.Query {
    private static final byte[] NOTHING = {};

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::numbers)
            .map((auction, bid) -> KeyValue.pair(Long.toString(bid.bidder()), NOTHING))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(10), Inputs.DISORDER))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((session, bids) -> KeyValue.pair(Json.key(session.key(), session.window().start(), session.window().end()),
                new Json().put("bids", bids).toString()))
            .to(output);
    }
}
