-- A table, and an account that may read it, its log, and nothing else.
CREATE DATABASE shop;
CREATE TABLE shop.orders (
  id int PRIMARY KEY AUTO_INCREMENT,
  customer varchar(50) NOT NULL,
  amount decimal(10,2) NOT NULL,
  placed_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
  note text
);
INSERT INTO shop.orders (customer, amount) VALUES ('Ada', 19.99), ('Grace', 120.50);

CREATE USER 'millstream'@'%' IDENTIFIED BY 'replace-me';
-- LOCK TABLES is for servers without GTIDs, and for tables without a key: each is locked for a moment when its rows begin to be read.
GRANT SELECT, LOCK TABLES ON shop.* TO 'millstream'@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'millstream'@'%';
-- The log says what columns are called. Not needed, but then nobody has to be asked for it.
SET PERSIST binlog_row_metadata = 'FULL';
