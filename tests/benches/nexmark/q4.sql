-- The average of the prices for which auctions of a category closed.
SELECT category, avg(final)::DOUBLE AS final
FROM (
    SELECT max(bid.price) AS final, auction.category
    FROM auction JOIN bid ON auction.id = bid.auction
    WHERE bid."at" BETWEEN auction."at" AND auction.expires
    GROUP BY auction.id, auction.category
)
GROUP BY category
