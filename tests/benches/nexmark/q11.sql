-- How often each bidder bids without a pause of more than ten seconds; `endtime` is that of the last bid.
WITH begun AS (
    SELECT bidder, "at", coalesce("at" - lag("at") OVER (PARTITION BY bidder ORDER BY "at") > 10000, true)::BIGINT AS new FROM bid
), numbered AS (
    SELECT bidder, "at", sum(new) OVER (PARTITION BY bidder ORDER BY "at") AS session FROM begun
)
SELECT bidder, count(*) AS bids, min("at") AS starttime, max("at") AS endtime FROM numbered GROUP BY bidder, session
