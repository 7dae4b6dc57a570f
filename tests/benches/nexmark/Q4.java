import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/** The average of the prices for which auctions of a category closed. */
public final class Q4 implements Nexmark.Query {
    private static final Serde<Sale> SALE =
        Binary.serde((sale, out) -> out.put(sale.category).put(sale.price), in -> new Sale(in.getLong(), in.getLong()));
    private static final Serde<Total> TOTAL =
        Binary.serde((total, out) -> out.put(total.prices).put(total.auctions), in -> new Total(in.getLong(), in.getLong()));

    private record Sale(long category, long price) {
    }

    private record Total(long prices, long auctions) {
    }

    @Override
    public void declare(Inputs inputs, String output) {
        Sales.inTime(inputs.auctions(Auction::numbers), inputs.bids(Bid::numbers), (auction, bid) -> new Sale(auction.category(), bid.price()))
            .groupByKey(Grouped.with(Serdes.String(), SALE))
            .reduce((best, sale) -> sale.price > best.price ? sale : best, Materialized.with(Serdes.String(), SALE))
            .groupBy((id, sale) -> KeyValue.pair(Long.toString(sale.category), sale.price), Grouped.with(Serdes.String(), Serdes.Long()))
            .aggregate(() -> new Total(0, 0), (category, price, total) -> new Total(total.prices + price, total.auctions + 1),
                (category, price, total) -> new Total(total.prices - price, total.auctions - 1), Materialized.with(Serdes.String(), TOTAL))
            .toStream()
            .mapValues(total -> new Json().put("final", (double) total.prices / total.auctions).toString())
            .to(output);
    }
}
