-- Two inserts among other changes.
SET NAMES utf8mb4;
USE shop;
INSERT INTO orders (customer, amount, placed_at, note) VALUES ('Mary', 7.00, '2026-03-01 12:30:00', 'gift');
UPDATE orders SET amount = 20.00 WHERE customer = 'Ada';
DELETE FROM orders WHERE customer = 'Grace';
INSERT INTO orders (customer, amount, placed_at) VALUES ('Zoë', 64.25, '2026-03-01 12:31:00');
