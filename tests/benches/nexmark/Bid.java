import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;

/** What somebody would pay; texts are empty in those that are read without them. */
public record Bid(long auction, long bidder, long price, String channel, String url, long at, String extra) implements Inputs.Timed {
    public static final Serde<Bid> SERDE = Binary.serde(Bid::write, Bid::read);
    /** Prices below the first are of rank 1, those below the second of rank 2, all others of rank 3. */
    private static final long[] RANKS = {10_000, 1_000_000};

    public static Bid whole(JsonParser in) throws IOException {
        return read(in, true, true);
    }

    /** Without channel and address. */
    public static Bid extra(JsonParser in) throws IOException {
        return read(in, false, true);
    }

    public static Bid address(JsonParser in) throws IOException {
        return read(in, true, false);
    }

    public static Bid numbers(JsonParser in) throws IOException {
        return read(in, false, false);
    }

    private static Bid read(JsonParser in, boolean address, boolean filler) throws IOException {
        long auction = 0;
        long bidder = 0;
        long price = 0;
        long at = 0;
        String channel = "";
        String url = "";
        String extra = "";
        for (String member = in.nextFieldName(); member != null; member = in.nextFieldName()) {
            in.nextToken();
            switch (member) {
                case "auction" -> auction = in.getLongValue();
                case "bidder" -> bidder = in.getLongValue();
                case "price" -> price = in.getLongValue();
                case "channel" -> channel = address ? in.getText() : "";
                case "url" -> url = address ? in.getText() : "";
                case "at" -> at = in.getLongValue();
                case "extra" -> extra = filler ? in.getText() : "";
                default -> in.skipChildren();
            }
        }
        return new Bid(auction, bidder, price, channel, url, at, extra);
    }

    public int rank() {
        return price < RANKS[0] ? 1 : price < RANKS[1] ? 2 : 3;
    }

    /** Whether it wins against another bid for the same thing. */
    public boolean beats(Bid other) {
        return price > other.price || price == other.price && at < other.at;
    }

    static void write(Bid bid, Binary out) {
        out.put(bid.auction).put(bid.bidder).put(bid.price).put(bid.channel).put(bid.url).put(bid.at).put(bid.extra);
    }

    static Bid read(ByteBuffer in) {
        return new Bid(in.getLong(), in.getLong(), in.getLong(), Binary.text(in), Binary.text(in), in.getLong(), Binary.text(in));
    }
}
