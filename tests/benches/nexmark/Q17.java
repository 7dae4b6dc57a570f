import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/** Each auction's bids of each day, in all and by three ranges of prices, and their prices. */
public final class Q17 implements Nexmark.Query {
    private static final Serde<Day> DAY = Binary.serde(
        (day, out) -> out.put(day.first).put(day.second).put(day.third).put(day.min).put(day.max).put(day.sum),
        in -> new Day(in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getLong()));

    private record Day(long first, long second, long third, long min, long max, long sum) {
        Day with(Bid bid) {
            int rank = bid.rank();
            return new Day(first + (rank == 1 ? 1 : 0), second + (rank == 2 ? 1 : 0), third + (rank == 3 ? 1 : 0),
                Math.min(min, bid.price()), Math.max(max, bid.price()), sum + bid.price());
        }

        String json() {
            long bids = first + second + third;
            return new Json().put("total_bids", bids).put("rank1_bids", first).put("rank2_bids", second).put("rank3_bids", third)
                .put("min_price", min).put("max_price", max).put("avg_price", (double) sum / bids).put("sum_price", sum).toString();
        }
    }

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::numbers)
            .groupByKey(Grouped.with(Serdes.String(), Bid.SERDE))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofDays(1), Inputs.DISORDER))
            .aggregate(() -> new Day(0, 0, 0, Long.MAX_VALUE, Long.MIN_VALUE, 0), (auction, bid, day) -> day.with(bid),
                Materialized.with(Serdes.String(), DAY))
            .toStream()
            .map((window, day) -> KeyValue.pair(Json.key(window.key(), window.window().start()), day.json()))
            .to(output);
    }
}
