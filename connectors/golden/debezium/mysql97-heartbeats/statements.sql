create database g;
use g;
create database pulse;
create table pulse.beat (id int primary key, n int);
insert into pulse.beat values (1, 0);
create table t (id int primary key);
insert into t values (1);
-- changes
use g;
insert into t values (2);
insert into t values (3);
