-- Bids with a value that is looked up.
SELECT auction, bidder, price, "at", side.value FROM bid JOIN side ON side.key = auction % 10000
