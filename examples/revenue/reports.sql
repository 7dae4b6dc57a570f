-- What was earned. It may be another server: then the account has to be made there as well.
CREATE DATABASE reports DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE reports.revenue_per_customer (
  customer int PRIMARY KEY,
  name varchar(50) NOT NULL,
  orders bigint NOT NULL,
  revenue decimal(20,2) NOT NULL
);
CREATE TABLE reports.revenue_per_city (
  -- Cities that differ by the case of a letter, or by a space behind it, are different cities to the job. (MariaDB: utf8mb4_nopad_bin.)
  city varchar(50) COLLATE utf8mb4_0900_bin PRIMARY KEY,
  orders bigint NOT NULL,
  revenue decimal(20,2) NOT NULL
);
-- The sink makes a table for how far it is, and changes rows.
GRANT ALL ON reports.* TO 'millstream'@'%';
