import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Each day's bids, bidders and auctions, in all and by three ranges of prices: counts by auction and by bidder first, so that what is
 * kept of a day is numbers and no sets.
 */
public final class Q15 implements Nexmark.Query {
    private static final TimeWindows DAYS = TimeWindows.ofSizeAndGrace(Duration.ofDays(1), Inputs.DISORDER);
    private static final Serde<Counts> COUNTS = Binary.serde((counts, out) -> out.put(counts.first).put(counts.second).put(counts.third),
        in -> new Counts(in.getLong(), in.getLong(), in.getLong()));
    private static final Serde<Day> DAY = Binary.serde((day, out) -> {
        for (long number : day.numbers) {
            out.put(number);
        }
    }, in -> {
        Day day = new Day(new long[7]);
        for (int i = 0; i < 7; i++) {
            day.numbers[i] = in.getLong();
        }
        return day;
    });

    /** Bids of each range. */
    private record Counts(long first, long second, long third) {
        Counts plus(int rank) {
            return new Counts(first + (rank == 1 ? 1 : 0), second + (rank == 2 ? 1 : 0), third + (rank == 3 ? 1 : 0));
        }
    }

    /** Bids of each range; those who have bids: all, and of each range. */
    private record Day(long[] numbers) {
        Day plus(Counts counts, int sign) {
            long[] parts = {counts.first, counts.second, counts.third};
            long[] sums = numbers.clone();
            sums[3] += sign;
            for (int i = 0; i < 3; i++) {
                sums[i] += sign * parts[i];
                sums[4 + i] += parts[i] > 0 ? sign : 0;
            }
            return new Day(sums);
        }

        Json put(Json out, String name, int place) {
            out.put("total_" + name, place == 0 ? numbers[0] + numbers[1] + numbers[2] : numbers[3]);
            for (int i = 0; i < 3; i++) {
                out.put("rank" + (i + 1) + "_" + name, numbers[i + (place == 0 ? 0 : 4)]);
            }
            return out;
        }
    }

    @Override
    public void declare(Inputs inputs, String output) {
        var bids = inputs.bids(Bid::numbers);
        var ranks = bids.mapValues(Bid::rank);
        var byAuction = ranks.groupByKey(Grouped.with(Serdes.String(), Serdes.Integer()));
        var byBidder = bids.map((auction, bid) -> KeyValue.pair(Long.toString(bid.bidder()), bid.rank()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.Integer()));
        days(byAuction)
            .join(days(byBidder), (auctions, bidders) -> {
                Json all = auctions.put(new Json(), "bids", 0);
                return auctions.put(bidders.put(all, "bidders", 3), "auctions", 3).toString();
            }, Materialized.with(Serdes.String(), Serdes.String()))
            .toStream()
            .map((day, counts) -> KeyValue.pair(Json.key(day), counts))
            .to(output);
    }

    private static KTable<String, Day> days(KGroupedStream<String, Integer> ranks) {
        return ranks.windowedBy(DAYS)
            .aggregate(() -> new Counts(0, 0, 0), (key, rank, counts) -> counts.plus(rank), Materialized.with(Serdes.String(), COUNTS))
            .groupBy((window, counts) -> KeyValue.pair(Long.toString(window.window().start()), counts), Grouped.with(Serdes.String(), COUNTS))
            .aggregate(() -> new Day(new long[7]), (day, counts, sums) -> sums.plus(counts, 1), (day, counts, sums) -> sums.plus(counts, -1),
                Materialized.with(Serdes.String(), DAY));
    }
}
