import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/** The last bid of each bidder for each auction. */
public final class Q18 implements Nexmark.Query {
    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::whole)
            .groupBy((auction, bid) -> Json.key(bid.bidder(), bid.auction()), Grouped.with(Serdes.String(), Bid.SERDE))
            .reduce((last, bid) -> bid.at() >= last.at() ? bid : last, Materialized.with(Serdes.String(), Bid.SERDE))
            .toStream()
            .mapValues(bid -> new Json().put("price", bid.price()).put("channel", bid.channel()).put("url", bid.url()).put("at", bid.at())
                .put("extra", bid.extra()).toString())
            .to(output);
    }
}
