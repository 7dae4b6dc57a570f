-- Each auction's bids of each day, in all and by three ranges of prices, and their prices.
SELECT
    auction,
    "at" // 86400000 * 86400000 AS day,
    count(*) AS total_bids,
    count(*) FILTER (price < 10000) AS rank1_bids,
    count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids,
    count(*) FILTER (price >= 1000000) AS rank3_bids,
    min(price) AS min_price,
    max(price) AS max_price,
    avg(price)::DOUBLE AS avg_price,
    sum(price)::BIGINT AS sum_price
FROM bid
GROUP BY auction, day
