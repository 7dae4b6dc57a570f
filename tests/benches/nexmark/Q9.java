import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/** The bid that each auction closed for: the highest, and of equals the first. */
public final class Q9 implements Nexmark.Query {
    private static final Serde<Sale> SALE = Binary.serde((sale, out) -> {
        Auction.write(sale.auction, out);
        Bid.write(sale.bid, out);
    }, in -> new Sale(Auction.read(in), Bid.read(in)));

    private record Sale(Auction auction, Bid bid) {
        String json() {
            return new Json().put("id", auction.id()).put("item", auction.item()).put("description", auction.description())
                .put("initial_bid", auction.initialBid()).put("reserve", auction.reserve()).put("at", auction.at())
                .put("expires", auction.expires()).put("seller", auction.seller()).put("category", auction.category())
                .put("extra", auction.extra()).put("bidder", bid.bidder()).put("price", bid.price()).put("bid_at", bid.at())
                .put("bid_extra", bid.extra()).toString();
        }
    }

    @Override
    public void declare(Inputs inputs, String output) {
        Sales.inTime(inputs.auctions(Auction::whole), inputs.bids(Bid::extra), Sale::new)
            .groupByKey(Grouped.with(Serdes.String(), SALE))
            .reduce((best, sale) -> sale.bid.beats(best.bid) ? sale : best, Materialized.with(Serdes.String(), SALE))
            .toStream()
            .mapValues(Sale::json)
            .to(output);
    }
}
