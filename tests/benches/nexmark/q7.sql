-- The highest bids of each ten seconds.
SELECT auction, bidder, price, "at", extra, "at" // 10000 * 10000 AS starttime FROM bid
QUALIFY rank() OVER (PARTITION BY starttime ORDER BY price DESC) = 1
