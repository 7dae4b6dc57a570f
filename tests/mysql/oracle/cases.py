"""The cases of tests/mysql/debezium: what runs on a server, and how Debezium is configured."""

from dataclasses import dataclass, field

EVERYTHING = {"provide.transaction.metadata": "true", "include.schema.changes": "true", "skipped.operations": "none"}


@dataclass
class Case:
    """`setup` is there before the connectors start, `script` runs while they stream; a number in it waits for so many records."""
    kind: str
    options: list = field(default_factory=list)
    databases: tuple = ("g",)
    setup: list = field(default_factory=list)
    script: list = field(default_factory=list)
    variants: dict = field(default_factory=lambda: {"records": EVERYTHING})


def basic(kind):
    case = Case(kind)
    case.setup = [
        "create database g", "use g",
        "create table people (id int not null auto_increment primary key, name varchar(50) not null default 'nobody', age smallint unsigned comment 'in years', joined timestamp(3) null)",
        "create table keyless (a int, b varchar(10))", "create table `lines` (a varchar(10), n int, note text, primary key (n, a))",
        "insert into people values (1, 'Ann', 30, '2026-01-02 03:04:05.678'), (2, 'Bob', null, null), (3, 'Cyd', 65535, '1999-12-31 23:59:59.999')",
        "insert into `lines` values ('x', 1, 'first')",
    ]
    case.script = [
        "use g", "insert into people values (4, 'Dan', 44, '2026-05-06 07:08:09.123')", "insert into people (age) values (5)",
        "update people set age = 31 where id = 1", "update people set id = 20 where id = 2", "delete from people where id = 3",
        "begin", "insert into people values (6, 'Eve', 1, null), (7, 'Fay', 2, null)", "update people set age = age + 1 where id in (6, 7)", "insert into `lines` values ('y', 2, null)", "delete from people where id = 7", "commit",
        "insert into keyless values (1, 'one'), (null, null)", "update keyless set b = 'eins' where a = 1", "delete from keyless where a is null",
        "update `lines` set n = 3, note = 'moved' where a = 'y'", "update `lines` set note = 'same key' where a = 'y'",
        "alter table people add column email varchar(100) null after name, drop column joined", "insert into people values (8, 'Gus', 'gus@example.org', 50)",
        "create table later (id bigint unsigned not null primary key, v double not null default 1.5)", "insert into later values (18446744073709551615, 2), (1, default)",
        "rename table later to latest", "update latest set v = 3 where id = 1", "truncate table `lines`", "insert into `lines` values ('z', 9, 'after')", "drop table keyless",
    ]
    return case


def cases(golden):
    """All of them; `golden` is the script tests/mysql/golden, whose lists of types are used here, too."""
    return {"mysql97-basic": basic("mysql97"), "mariadb-basic": basic("mariadb")}
