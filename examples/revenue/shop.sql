-- What is sold, with some of it there already, and an account that may read it and its log.
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (
  id int PRIMARY KEY,
  name varchar(50) NOT NULL,
  city varchar(50) NOT NULL
);
CREATE TABLE shop.orders (
  id int PRIMARY KEY AUTO_INCREMENT,
  -- None for who bought without an account.
  customer int,
  amount decimal(10,2) NOT NULL
);
INSERT INTO shop.customers VALUES (1, 'Ada', 'London'), (2, 'Grace', 'New York'), (3, 'Zoë', 'London');
INSERT INTO shop.orders (customer, amount) VALUES (1, 19.99), (2, 120.50), (1, 5.01), (3, 7.00), (NULL, 3.00);

CREATE USER 'millstream'@'%' IDENTIFIED BY 'replace-me';
-- LOCK TABLES is for servers without GTIDs: tables are locked for a moment when their rows begin to be read.
GRANT SELECT, LOCK TABLES ON shop.* TO 'millstream'@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'millstream'@'%';
-- The log says what columns are called. Not needed, but then nobody has to be asked for it. (MariaDB: SET GLOBAL, and the server's configuration.)
SET PERSIST binlog_row_metadata = 'FULL';
