import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.ValueJoiner;

/** Bids with their auctions, as q4 and q9 need them. */
final class Sales {
    /** No auction is open for longer. */
    private static final Duration LONGEST = Duration.ofSeconds(4);

    private Sales() {
    }

    /** What `joiner` makes of each bid that came while its auction was open. */
    static <T> KStream<String, T> inTime(KStream<String, Auction> auctions, KStream<String, Bid> bids, ValueJoiner<Auction, Bid, T> joiner) {
        return auctions
            .join(bids, (auction, bid) -> bid.at() <= auction.expires() ? joiner.apply(auction, bid) : null,
                JoinWindows.ofTimeDifferenceAndGrace(LONGEST, Inputs.DISORDER).before(Duration.ZERO),
                StreamJoined.with(Serdes.String(), Auction.SERDE, Bid.SERDE))
            .filter((id, sale) -> sale != null);
    }
}
