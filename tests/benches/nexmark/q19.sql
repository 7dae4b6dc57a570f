-- The ten highest bids for each auction; of equals, the earlier is the higher.
SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, "at") AS rank FROM bid QUALIFY rank <= 10
