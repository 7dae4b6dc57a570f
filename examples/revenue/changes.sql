-- An order comes, one is corrected, one was somebody else's, one is cancelled; a customer moves, another one comes.
START TRANSACTION;
INSERT INTO shop.orders (customer, amount) VALUES (3, 42.00);
UPDATE shop.orders SET amount = 100.00 WHERE id = 2;
COMMIT;
UPDATE shop.orders SET customer = 2 WHERE id = 5;
DELETE FROM shop.orders WHERE id = 3;
UPDATE shop.customers SET city = 'Paris' WHERE id = 3;
INSERT INTO shop.customers VALUES (4, 'Mary', 'Paris');
