-- Persons that came and opened auctions within the same ten seconds.
SELECT DISTINCT person.id, person.name, person."at" // 10000 * 10000 AS starttime
FROM person JOIN auction ON auction.seller = person.id AND auction."at" // 10000 = person."at" // 10000
