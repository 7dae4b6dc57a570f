-- The last bid of each bidder for each auction.
SELECT * FROM bid QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY "at" DESC) = 1
