import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.StreamJoined;

/** Bids with their auctions, of category 10. */
public final class Q20 implements Nexmark.Query {
    /** Bids lead their auctions by less, and follow them by less. */
    private static final Duration NEAR = Duration.ofSeconds(10);

    @Override
    public void declare(Inputs inputs, String output) {
        KStream<String, Auction> auctions = inputs.auctions(Auction::whole).filter((id, auction) -> auction.category() == 10);
        inputs.bids(Bid::whole)
            .join(auctions, Q20::json, JoinWindows.ofTimeDifferenceAndGrace(NEAR, Inputs.DISORDER),
                StreamJoined.with(Serdes.String(), Bid.SERDE, Auction.SERDE))
            .to(output);
    }

    private static String json(Bid bid, Auction auction) {
        return new Json().put("auction", bid.auction()).put("bidder", bid.bidder()).put("price", bid.price()).put("channel", bid.channel())
            .put("url", bid.url()).put("at", bid.at()).put("extra", bid.extra()).put("item", auction.item())
            .put("description", auction.description()).put("initial_bid", auction.initialBid()).put("reserve", auction.reserve())
            .put("auction_at", auction.at()).put("expires", auction.expires()).put("seller", auction.seller())
            .put("category", auction.category()).put("auction_extra", auction.extra()).toString();
    }
}
