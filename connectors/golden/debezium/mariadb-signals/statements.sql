create database g;
use g;
create table signals (id varchar(64) primary key, type varchar(32), data varchar(2048));
create table t (id int primary key, v varchar(10));
insert into t values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e');
create table pairs (a int, b varchar(5), v int, primary key (a, b));
insert into pairs values (1, 'x', 1), (1, 'y', 2), (2, 'x', 3);
-- changes
use g;
insert into t values (6, 'f');
insert into signals values ('ask-1', 'execute-snapshot', '{"type": "incremental", "data-collections": ["g.t"]}');
update t set v = 'z' where id = 1;
insert into signals values ('ask-2', 'execute-snapshot', '{"type": "incremental", "data-collections": ["g.pairs"], "additional-conditions": [{"data-collection": "g.pairs", "filter": "v > 1"}]}');
insert into t values (7, 'g');
