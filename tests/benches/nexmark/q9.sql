-- The bid that each auction closed for: the highest, and of equals the first.
SELECT auction.*, bid.bidder, bid.price, bid."at" AS bid_at, bid.extra AS bid_extra
FROM auction JOIN bid ON auction.id = bid.auction
WHERE bid."at" BETWEEN auction."at" AND auction.expires
QUALIFY row_number() OVER (PARTITION BY auction.id ORDER BY bid.price DESC, bid."at") = 1
