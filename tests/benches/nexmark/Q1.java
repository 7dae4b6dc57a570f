/** Prices in another currency. */
public final class Q1 implements Nexmark.Query {
    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::extra)
            .mapValues(bid -> new Json().put("auction", bid.auction()).put("bidder", bid.bidder()).put("price", 0.908 * bid.price())
                .put("at", bid.at()).put("extra", bid.extra()).toString())
            .to(output);
    }
}
