-- Prices in another currency.
SELECT auction, bidder, 0.908::DOUBLE * price AS price, "at", extra FROM bid
