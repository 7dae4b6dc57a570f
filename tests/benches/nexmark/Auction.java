import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;

/** What is sold; texts are empty in those that are read without them. */
public record Auction(long id, String item, String description, long initialBid, long reserve, long at, long expires, long seller,
                      long category, String extra) implements Inputs.Timed {
    public static final Serde<Auction> SERDE = Binary.serde(Auction::write, Auction::read);

    public static Auction whole(JsonParser in) throws IOException {
        return read(in, true);
    }

    public static Auction numbers(JsonParser in) throws IOException {
        return read(in, false);
    }

    private static Auction read(JsonParser in, boolean texts) throws IOException {
        long id = 0;
        long initialBid = 0;
        long reserve = 0;
        long at = 0;
        long expires = 0;
        long seller = 0;
        long category = 0;
        String item = "";
        String description = "";
        String extra = "";
        for (String member = in.nextFieldName(); member != null; member = in.nextFieldName()) {
            in.nextToken();
            switch (member) {
                case "id" -> id = in.getLongValue();
                case "item" -> item = texts ? in.getText() : "";
                case "description" -> description = texts ? in.getText() : "";
                case "initial_bid" -> initialBid = in.getLongValue();
                case "reserve" -> reserve = in.getLongValue();
                case "at" -> at = in.getLongValue();
                case "expires" -> expires = in.getLongValue();
                case "seller" -> seller = in.getLongValue();
                case "category" -> category = in.getLongValue();
                case "extra" -> extra = texts ? in.getText() : "";
                default -> in.skipChildren();
            }
        }
        return new Auction(id, item, description, initialBid, reserve, at, expires, seller, category, extra);
    }

    static void write(Auction auction, Binary out) {
        out.put(auction.id).put(auction.item).put(auction.description).put(auction.initialBid).put(auction.reserve).put(auction.at)
            .put(auction.expires).put(auction.seller).put(auction.category).put(auction.extra);
    }

    static Auction read(ByteBuffer in) {
        return new Auction(in.getLong(), Binary.text(in), Binary.text(in), in.getLong(), in.getLong(), in.getLong(), in.getLong(),
            in.getLong(), in.getLong(), Binary.text(in));
    }
}
