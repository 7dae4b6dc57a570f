import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;

/** The auctions with the most bids in each ten seconds, every two seconds: final counts by auction, then the most by window. */
public final class Q5 implements Nexmark.Query {
    private static final Serde<Count> COUNT =
        Binary.serde((count, out) -> out.put(count.auction).put(count.bids), in -> new Count(Binary.text(in), in.getLong()));
    private static final Serde<Most> MOST =
        Binary.serde((most, out) -> out.put(most.bids).put(most.auctions, (auction, to) -> to.put(auction)),
            in -> new Most(in.getLong(), Binary.list(in, Binary::text)));

    private record Count(String auction, long bids) {
    }

    private record Most(long bids, List<String> auctions) {
        Most with(Count count) {
            if (count.bids < bids) {
                return this;
            }
            List<String> all = new ArrayList<>(count.bids > bids ? List.of() : auctions);
            all.add(count.auction);
            return new Most(count.bids, all);
        }

        String json(String start) {
            List<Json> rows = auctions.stream().map(auction -> new Json().put("auction", Long.parseLong(auction)).put("num", bids)).toList();
            return new Json().put("starttime", Long.parseLong(start)).put("rows", rows).toString();
        }
    }

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::numbers)
            .groupByKey(Grouped.with(Serdes.String(), Bid.SERDE))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Inputs.DISORDER).advanceBy(Duration.ofSeconds(2)))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((window, bids) -> KeyValue.pair(Long.toString(window.window().start()), new Count(window.key(), bids)))
            .groupByKey(Grouped.with(Serdes.String(), COUNT))
            .aggregate(() -> new Most(0, List.of()), (start, count, most) -> most.with(count), Materialized.with(Serdes.String(), MOST))
            .toStream()
            .mapValues((start, most) -> most.json(start))
            .to(output);
    }
}
