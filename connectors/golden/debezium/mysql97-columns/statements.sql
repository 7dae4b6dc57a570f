create database g;
use g;
create table people (id int primary key, vc varchar(20), te text, secret varchar(40) not null default 's', bn varbinary(10), gone varchar(10), h1 varchar(64), h2 varchar(10));
insert into people values (1, 'abcdef', 'ä😀x€', 'hidden', 0x0102, 'g', 'hash me', 'short'), (2, null, null, '', null, null, null, null), (3, 'ab', '', 'x', '', '', '', '');
create table `odd-name` (id int primary key, `1st` int, `with space` varchar(5), `d.o.t` int, `ü` int, `a_b` int, `c-d` int, `$x` int);
insert into `odd-name` values (1, 2, 'x', 3, 4, 5, 6, 7);
-- changes
use g;
insert into people values (4, 'ghijkl', 'long text', 'hidden', 0x0304, 'g', 'hash me', 'ü');
update people set te = 'other' where id = 1;
update people set vc = 'changed' where id = 1;
update people set id = 30 where id = 3;
delete from people where id = 2;
update people set vc = 'abcxyz', h1 = 'k' where id = 4;
insert into `odd-name` values (2, 3, 'y', 4, 5, 6, 7, 8);
update `odd-name` set `1st` = 9 where id = 1;
delete from `odd-name` where id = 1;
truncate table `odd-name`;
insert into `odd-name` (id) values (3);
