-- Bids with their auctions, of category 10.
SELECT bid.*, item, description, initial_bid, reserve, auction."at" AS auction_at, expires, seller, category, auction.extra AS auction_extra
FROM bid JOIN auction ON bid.auction = auction.id
WHERE category = 10
