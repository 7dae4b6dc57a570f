/** Bids with a value that is looked up. */
public final class Q13 implements Nexmark.Query {
    private static final long SIDE_ROWS = 10_000;

    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::numbers)
            .join(inputs.side(), (id, bid) -> Long.toString(bid.auction() % SIDE_ROWS), (bid, value) -> new Json()
                .put("auction", bid.auction()).put("bidder", bid.bidder()).put("price", bid.price()).put("at", bid.at())
                .put("value", value).toString())
            .to(output);
    }
}
