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

/** The highest bids of each ten seconds: of each auction first, so that few records are shuffled. */
public final class Q7 implements Nexmark.Query {
    private static final Serde<Highest> HIGHEST =
        Binary.serde((highest, out) -> out.put(highest.bids, Bid::write), in -> new Highest(Binary.list(in, Bid::read)));

    /** Bids of one price. */
    private record Highest(List<Bid> bids) {
        static Highest none() {
            return new Highest(List.of());
        }

        long price() {
            return bids.isEmpty() ? -1 : bids.get(0).price();
        }

        Highest with(Highest other) {
            if (other.price() != price()) {
                return other.price() > price() ? other : this;
            }
            List<Bid> all = new ArrayList<>(bids);
            all.addAll(other.bids);
            return new Highest(all);
        }

        String json(String start) {
            List<Json> rows = bids.stream().map(bid -> new Json().put("auction", bid.auction()).put("bidder", bid.bidder())
                .put("price", bid.price()).put("at", bid.at()).put("extra", bid.extra())).toList();
            return new Json().put("starttime", Long.parseLong(start)).put("rows", rows).toString();
        }
    }

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::extra)
            .groupByKey(Grouped.with(Serdes.String(), Bid.SERDE))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Inputs.DISORDER))
            .aggregate(Highest::none, (auction, bid, highest) -> highest.with(new Highest(List.of(bid))),
                Materialized.with(Serdes.String(), HIGHEST))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((window, highest) -> KeyValue.pair(Long.toString(window.window().start()), highest))
            .groupByKey(Grouped.with(Serdes.String(), HIGHEST))
            .aggregate(Highest::none, (start, some, highest) -> highest.with(some), Materialized.with(Serdes.String(), HIGHEST))
            .toStream()
            .mapValues((start, highest) -> highest.json(start))
            .to(output);
    }
}
