import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/** The ten highest bids for each auction; of equals, the earlier is the higher. A record has all ten. */
public final class Q19 implements Nexmark.Query {
    private static final int MOST = 10;
    private static final Serde<List<Bid>> BIDS =
        Binary.serde((bids, out) -> out.put(bids, Bid::write), in -> Binary.list(in, Bid::read));

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::whole)
            .groupByKey(Grouped.with(Serdes.String(), Bid.SERDE))
            .aggregate(List::of, (auction, bid, bids) -> with(bids, bid), Materialized.with(Serdes.String(), BIDS))
            .toStream()
            .mapValues((auction, bids) -> json(auction, bids))
            .to(output);
    }

    private static List<Bid> with(List<Bid> bids, Bid bid) {
        int place = 0;
        while (place < bids.size() && !bid.beats(bids.get(place))) {
            place++;
        }
        if (place == MOST) {
            return bids;
        }
        List<Bid> more = new ArrayList<>(bids);
        more.add(place, bid);
        return more.size() > MOST ? more.subList(0, MOST) : more;
    }

    private static String json(String auction, List<Bid> bids) {
        List<Json> rows = new ArrayList<>();
        for (Bid bid : bids) {
            rows.add(new Json().put("rank", rows.size() + 1L).put("bidder", bid.bidder()).put("price", bid.price())
                .put("channel", bid.channel()).put("url", bid.url()).put("at", bid.at()).put("extra", bid.extra()));
        }
        return new Json().put("auction", Long.parseLong(auction)).put("rows", rows).toString();
    }
}
