-- The auctions with the most bids in each ten seconds, every two seconds.
SELECT auction, "at" // 2000 * 2000 - 2000 * hop AS starttime, count(*) AS num
FROM bid CROSS JOIN range(5) AS hops(hop)
GROUP BY auction, starttime
QUALIFY rank() OVER (PARTITION BY starttime ORDER BY num DESC) = 1
