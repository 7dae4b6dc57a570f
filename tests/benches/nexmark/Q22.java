/** Bids with the folders of their addresses. */
public final class Q22 implements Nexmark.Query {
    @Override
    public void declare(Inputs inputs, String output) {
        inputs.bids(Bid::address).mapValues(Q22::json).to(output);
    }

    private static String json(Bid bid) {
        Json out = new Json().put("auction", bid.auction()).put("bidder", bid.bidder()).put("price", bid.price())
            .put("channel", bid.channel());
        // Behind the third slash, as in https://host/dir1/dir2/dir3/item.
        int begin = 0;
        for (int slash = 0; slash < 3; slash++) {
            begin = after(bid.url(), begin);
        }
        for (int folder = 1; folder <= 3; folder++) {
            int end = after(bid.url(), begin);
            out.put("dir" + folder, begin < end ? bid.url().substring(begin, end - 1) : "");
            begin = end;
        }
        return out.toString();
    }

    /** The place behind the next slash, or behind the end. */
    private static int after(String url, int from) {
        int slash = url.indexOf('/', from);
        return slash < 0 ? url.length() + 1 : slash + 1;
    }
}
