"""The cases of tests/mysql/debezium: what runs on a server, and how Debezium is configured."""

from dataclasses import dataclass, field

# Debezium's headers for tracing hold an identity of the run; the basic cases have them, as they are the default.
PLAIN = {"extended.headers.enabled": "false"}
EVERYTHING = PLAIN | {"provide.transaction.metadata": "true", "include.schema.changes": "true", "skipped.operations": "none"}
QUIET = PLAIN | {"include.schema.changes": "false"}

# Other words for types, and options of theirs that change nothing in the log.
OTHERS = [
    ("b", "boolean", ["true", "false", "NULL"]), ("t1", "tinyint(1)", ["1", "127", "-128"]), ("n1", "tinyint(1) unsigned", ["1", "255"]), ("r", "real", ["1.25"]), ("d", "double precision", ["1e3"]),
    ("f2", "float(7,3)", ["1.5", "1234.567"]), ("f9", "float(30)", ["0.1"]), ("d2", "double(10,4)", ["1.5"]), ("nc", "nchar(5)", ["'n'"]), ("nv", "national varchar(5)", ["'nv'"]), ("lv", "long varchar", ["'l'"]), ("lb", "long varbinary", ["0x01"]),
    ("fi", "fixed(6,2)", ["1.5"]), ("nu", "numeric(6)", ["7"]), ("de", "dec", ["8"]), ("zf", "int(5) zerofill", ["42"]), ("m", "middleint", ["3"]), ("i8", "int8", ["8"]), ("cb", "char(3) binary", ["'c'"]), ("ca", "char(3) ascii", ["'c'"]), ("cy", "varchar(3) character set binary", ["0x41ff"]),
    ("vi", "int generated always as (id + 1) virtual", ["default"]), ("st", "int generated always as (id * 2) stored", ["default"]),
]
KEYS = [
    ("tinyint unsigned", "1", "255"), ("bigint unsigned", "1", "18446744073709551615"), ("decimal(10,2)", "1.5", "-2.25"), ("double", "1.5", "-2.25"), ("varchar(20)", "'a'", "'ä €'"), ("char(4)", "'a'", "'b '"), ("binary(4)", "0x01", "0xff00"), ("varbinary(4)", "0x01", "0xff00"),
    ("enum('a','b')", "'a'", "'b'"), ("set('x','y')", "'x'", "'x,y'"), ("bit(1)", "0", "1"), ("bit(12)", "5", "4095"), ("year", "1999", "2155"), ("date", "'2020-01-02'", "'1969-12-31'"), ("time(3)", "'12:34:56.789'", "'-01:00:00'"),
    ("datetime(6)", "'2020-01-02 03:04:05.678901'", "'1969-12-31 23:59:59'"), ("timestamp(6)", "'2020-01-02 03:04:05.678901'", "'1999-12-31 23:59:59'"),
]
UNIQUE = {
    "by_unique": "a int not null, b int, unique key (a)", "by_second": "a int, b int not null, unique key first (a), unique key second (b)", "by_null": "a int, b int, unique key (a)", "by_two": "a int not null, b int not null, unique key (b, a)",
    "by_prefix": "a int not null, b varchar(10) not null, unique key (b(3))", "by_both": "a int not null, b int not null, unique key z (b), unique key y (a)",
}
DEFAULTS = [
    "ti tinyint not null default -5", "tu tinyint unsigned default 200", "b boolean not null default true", "si smallint default 7", "su smallint unsigned not null default 65535", "mi mediumint default -8388608", "i int not null default 0", "iu int unsigned not null default 4294967295",
    "bi bigint default 9223372036854775807", "bu bigint unsigned not null default 18446744073709551615", "f float not null default 1.5", "d double default -0.25", "de decimal(10,3) not null default 12.5", "dn decimal(5) default null", "b1 bit(1) not null default b'1'", "b9 bit(9) default b'101'",
    "y year not null default 2024", "ch char(5) not null default 'a'", "vc varchar(10) default ''", "vq varchar(10) default 'it''s \"q\"'", "bn binary(3) not null default 'ab'", "vb varbinary(5) default 'xyz'", "en enum('a','b') not null default 'b'", "se set('x','y') default 'x,y'", "da date not null default '2020-02-29'",
    "t time(3) default '12:34:56.789'", "dt datetime(6) not null default '2020-01-02 03:04:05.678901'", "now datetime default current_timestamp", "ts timestamp not null default '2020-01-02 03:04:05'", "tn timestamp(3) not null default current_timestamp(3) on update current_timestamp(3)",
    "tz timestamp null default null", "zd date not null default '0000-00-00'", "zt datetime not null default '0000-00-00 00:00:00'",
]
NUMBERS = [
    ("n1", "tinyint unsigned", ["1", "255", "NULL"]), ("n2", "bigint unsigned", ["18446744073709551615", "9223372036854775808", "0"]), ("n3", "bigint", ["-1"]), ("d1", "decimal(10,3)", ["-1.5", "1234567.891", "NULL"]), ("d2", "decimal(5,0)", ["7", "-99999"]),
    ("d3", "decimal(65,30) not null default 1.5", ["0", "-0.000000000000000000000000000001", "99999999999999999999999999999999999.999999999999999999999999999999"]), ("d4", "numeric(4,4) unsigned comment 'a part'", ["0.0001"]), ("n4", "bigint unsigned not null default 18446744073709551615", ["5"]), ("f", "float", ["1.1"]),
]
TIMES = [(f"{name}{digits}", f"{kind}({digits}) {null}", values) for name, kind, null, values in [
    ("t", "time", "null", ["'-838:59:59'", "'12:34:56.123456'", "'23:59:59.999999'", "NULL", "'-00:00:00.5'", "'24:00:00'"]),
    ("dt", "datetime", "null", ["'2026-02-28 12:34:56.123456'", "'1969-12-31 23:59:59.999999'", "'9999-12-31 23:59:59'", "'1000-01-01 00:00:00'", "NULL", "'0000-00-00 00:00:00'"]),
    ("ts", "timestamp", "null default null", ["'2026-02-28 12:34:56.123456'", "'1970-01-01 00:00:01'", "NULL", "'2038-01-19 03:14:07'"]),
] for digits in (0, 1, 3, 4, 6)] + [
    ("da", "date", ["'2026-02-28'", "'1969-12-31'", "'9999-12-31'", "NULL", "'0000-00-00'"]), ("ye", "year", ["2026", "1901", "NULL"]),
    ("dd", "date not null default '2020-02-29'", ["'2026-02-28'"]), ("td", "time(3) not null default '12:34:56.789'", ["'01:02:03'"]), ("md", "datetime(3) not null default '2020-01-02 03:04:05.678'", ["'2026-02-28 01:02:03.004'"]), ("zd", "timestamp(3) not null default '2020-01-02 03:04:05.678'", ["'2026-02-28 01:02:03.004'"]),
]
BYTES = [
    ("bn", "binary(4) not null default 'ab'", ["0x00ff", "0xfbefbeff"]), ("vb", "varbinary(9)", ["''", "0xfbefbe", "0xff", "NULL"]), ("bl", "blob", ["0x00010203fbff", "NULL"]), ("lb", "longblob", ["repeat(0xfe, 30)"]), ("b1", "bit(1)", ["1", "0", "NULL"]), ("b9", "bit(9)", ["257", "1"]),
    ("vc", "varchar(9) comment 'text'", ["'x'"]), ("ge", "point", ["ST_GeomFromText('POINT(1 2)')", "NULL"]), ("e", "enum('a','b')", ["'a'", "NULL"]), ("js", "json", ["'{}'", "NULL"]), ("cb", "varchar(5) character set binary", ["0x41ff"]),
]


@dataclass
class Case:
    """`setup` is there before the connectors start, `script` runs while they stream; a number in it waits until each made so many records."""
    kind: str
    options: list = field(default_factory=list)
    databases: tuple = ("g",)
    setup: list = field(default_factory=lambda: ["create database g", "use g"])
    script: list = field(default_factory=lambda: ["use g"])
    variants: dict = field(default_factory=lambda: {"records": QUIET})

    def table(self, name, columns, key="primary key (id)"):
        """A table whose rows have all values of each column: some in the snapshot, the same and changes of them in the log."""
        definitions = ["id int not null"] + [f"{column} {kind}" for column, kind, _ in columns] + ([key] if key else [])
        self.setup.append(f"create table {name} ({', '.join(definitions)}) default character set utf8mb4")
        names = ", ".join(f"{column}" for column, _, _ in columns)
        count = max(len(values) for _, _, values in columns)

        def values(row):
            return [values[row % len(values)] for _, _, values in columns]

        def insert(first):
            return f"insert into {name} (id, {names}) values " + ", ".join(f"({first + row}, {', '.join(values(row))})" for row in range(count))

        self.setup.append(insert(0))
        self.script.append(insert(100))
        for row in (0, 2):
            changes = ", ".join(f"{column} = {value}" for (column, _, _), value in zip(columns, values(row + 1)))
            self.script.append(f"update {name} set {changes} where id = {100 + row}")
        self.script.append(f"delete from {name} where id in (0, 101)")


def basic(kind, *options, variants=None):
    case = Case(kind, list(options), variants=variants or {"records": {"provide.transaction.metadata": "true", "include.schema.changes": "true", "skipped.operations": "none"}})
    case.setup += [
        "create table people (id int not null auto_increment primary key, name varchar(50) not null default 'nobody', age smallint unsigned comment 'in years', joined timestamp(3) null)",
        "create table keyless (a int, b varchar(10))", "create table `lines` (a varchar(10), n int, note text, primary key (n, a))",
        "insert into people values (1, 'Ann', 30, '2026-01-02 03:04:05.678'), (2, 'Bob', null, null), (3, 'Cyd', 65535, '1999-12-31 23:59:59.999')",
        "insert into `lines` values ('x', 1, 'first')",
    ]
    case.script += [
        "insert into people values (4, 'Dan', 44, '2026-05-06 07:08:09.123')", "insert into people (age) values (5)",
        "update people set age = 31 where id = 1", "update people set id = 20 where id = 2", "delete from people where id = 3",
        "begin", "insert into people values (6, 'Eve', 1, null), (7, 'Fay', 2, null)", "update people set age = age + 1 where id in (6, 7)", "insert into `lines` values ('y', 2, null)", "delete from people where id = 7", "commit",
        "insert into keyless values (1, 'one'), (null, null)", "update keyless set b = 'eins' where a = 1", "delete from keyless where a is null",
        "update `lines` set n = 3, note = 'moved' where a = 'y'", "update `lines` set note = 'same key' where a = 'y'",
        "alter table people add column email varchar(100) null after name, drop column joined", "insert into people values (8, 'Gus', 'gus@example.org', 50)",
        "create table later (id bigint unsigned not null primary key, v double not null default 1.5)", "insert into later values (18446744073709551615, 2), (1, default)",
        "rename table later to latest", "update latest set v = 3 where id = 1", "truncate table `lines`", "insert into `lines` values ('z', 9, 'after')", "drop table keyless",
    ]
    return case


def types(kind, golden):
    """Every type with its edge values, by default options."""
    case = Case(kind)
    # The year 0000 in a snapshot of MariaDB stops the connector.
    case.table("numbers", [(name, kind_of, [value for value in values if kind != "mariadb" or value != "'0000'"]) for name, kind_of, values in golden.NUMBERS])
    case.table("times", golden.TIMES)
    case.table("texts", golden.TEXTS)
    case.table("shapes", golden.SHAPES)
    case.table("charsets", golden.charset_columns({"gb18030"} if kind == "mariadb" else ()))
    # The longest documents say nothing that shorter ones do not.
    documents = [document for document in golden.DOCUMENTS if "14000" not in document and "98" not in document]
    if kind == "mariadb":
        case.table("documents", [("doc", "json", ["'{\"a\":1}'", "'[ 1,2 ]'", "NULL"])])
        # Its parser does not know INET4 and INET6, and stops the connector.
        case.table("identities", [("u", "uuid", ["'123e4567-e89b-12d3-a456-426655440000'", "NULL"])])
    else:
        case.table("documents", [("doc", "json", documents)])
        case.table("vectors", [("ve", "vector(3)", ["string_to_vector('[1,2,3]')", "string_to_vector('[-0.5,1e10]')", "NULL"])])
        case.table("shown", [("hidden", "int invisible", ["1", "NULL"]), ("seen", "int", ["2"])])
    case.table("others", OTHERS)
    return case


def keys(kind):
    """Keys of every type that may be one, unique keys that stand for a primary one, and defaults of every type."""
    case = Case(kind)
    for number, (key, first, second) in enumerate(KEYS):
        case.setup += [f"create table key{number} (k {key} not null, v int, primary key (k))", f"insert into key{number} values ({first}, 1)"]
        case.script += [f"insert into key{number} values ({second}, 2)", f"update key{number} set v = 3", f"delete from key{number} where v = 3"]
    for name, definition in UNIQUE.items():
        case.setup += [f"create table {name} ({definition})", f"insert into {name} (a, b) values (1, 2)"]
        case.script += [f"insert into {name} (a, b) values (3, 4)", f"update {name} set a = 5 where b = 4", f"delete from {name}"]
    defaults = DEFAULTS + (["te text default ('x')", "js json default (json_array(1))", "ex int not null default (1 + 2)"] if kind == "mysql97" else ["te text default 'x'", "u uuid default '123e4567-e89b-12d3-a456-426655440000'", "ex int not null default (1 + 2)"])
    case.setup += [f"create table defaults (id int primary key, {', '.join(defaults)}, required varchar(10) not null)", "insert into defaults (id, required) values (1, 'x')"]
    nulls = [definition.split()[0] for definition in defaults if "not null" not in definition]
    case.script += ["insert into defaults (id, required) values (2, 'x')", f"insert into defaults (id, required, {', '.join(nulls)}) values (3, 'x'{', null' * len(nulls)})",
                    f"create table made (id int primary key, {', '.join(defaults)})", "insert into made (id) values (1)", "create table grown (id int primary key)", "insert into grown values (1)"]
    for definition in defaults:
        case.script.append(f"alter table grown add column {definition}")
    case.script.append("insert into grown (id) values (2)")
    return case


def schemas(kind):
    """DDL between rows, and what other statements make of tables; several databases."""
    case = Case(kind, databases=("g", "h"), variants={"records": EVERYTHING})
    case.setup += ["create database h", "create table t (id int primary key, a int, b varchar(20))", "insert into t values (1, 1, 'one')", "create table h.u (id int primary key, v text)", "insert into h.u values (1, 'v')"]
    row = "insert into t (id) values ({})".format
    steps = [
        "alter table t add column c decimal(6,2) not null default 1.25 comment 'money' first", "alter table t change a a2 bigint unsigned null", "alter table t rename column b to b2", "alter table t modify b2 varchar(40) character set latin1 not null default 'x' after id",
        "alter table t drop primary key, add primary key (id, c)", "alter table t alter column b2 set default 'y'", "alter table t alter column b2 drop default", "alter table t modify b2 varchar(40)", "create index by_b on t (b2)", "alter table t add column (d date, e time)", "alter table t drop column d, drop e",
        "alter table t convert to character set utf8mb4", "alter table t comment = 'all of it'", "create or replace view seen as select id from t", "drop view seen", "optimize table t", "analyze table t", "alter table t engine = innodb", "set @x = 1", "/* a comment */ alter table t add f int /* within */ default 3 /* behind */",
    ]
    for number, step in enumerate(steps):
        case.script += [step, row(100 + number)]
    case.script += [
        "create table copy like t", "insert into copy (id) values (1)", "create table chosen as select id, a2 from t limit 2", "update chosen set a2 = 7", "rename table t to t2, h.u to g.u", "insert into t2 (id) values (900)", "insert into u values (2, 'moved')",
        "create temporary table passing (id int)", "insert into passing values (1)", "drop temporary table passing", "drop table copy, chosen", "drop table if exists never_there", "truncate t2", "create table `odd-name` (`Ä b` int primary key, `select` int)", "insert into `odd-name` values (1, 2)",
        "create database other", "create table other.t (id int primary key)", "insert into other.t values (1)", "drop database other", "use h", "create table w (id int primary key)", "insert into w values (1)", "alter table g.t2 add column z int", "insert into g.t2 (id) values (901)", "drop database h", "use g", "insert into u values (3, 'still')",
    ]
    return case


def transactions(kind):
    case = Case(kind, databases=("g", "h"), variants={"records": EVERYTHING, "bare": QUIET | {"tombstones.on.delete": "false"}})
    case.setup += ["create database h", "create table several (id int primary key, v int)", "create table h.second (id int primary key, v int)", "create table plain (id int primary key) engine = myisam"]
    case.script += [
        "begin", "insert into several values (1, 1), (2, 2)", "insert into h.second values (1, 1)", "update several set v = v + 1", "savepoint s", "delete from several", "rollback to s", "insert into several values (3, 3)", "commit",
        "begin", "insert into several values (9, 9)", "rollback", "begin", "commit", "insert into several select id + 10, v from several", "replace into several values (1, 100)", "insert into several values (1, 5) on duplicate key update v = 101",
        "insert into plain values (1), (2)", "delete from plain", "update several set id = id + 100 where id < 3", "delete several, s2 from several join h.second s2 on s2.id = 1 where several.id = 101",
        "xa start 'one'", "insert into several values (50, 1)", "xa end 'one'", "xa prepare 'one'", "xa commit 'one'", "insert into several values (51, 2)", "create table other (id int primary key)", "insert into other values (1)",
    ]
    return case


def modes(kind):
    """How values and names are written: one run, read with many configurations."""
    own = {
        "decimal_string": {"decimal.handling.mode": "string"}, "decimal_double": {"decimal.handling.mode": "double", "bigint.unsigned.handling.mode": "precise"}, "time_connect": {"time.precision.mode": "connect"},
        "time_isostring": {"time.precision.mode": "isostring"}, "time_microseconds": {"time.precision.mode": "microseconds"}, "time_nanoseconds": {"time.precision.mode": "nanoseconds"},
        "binary_base64": {"binary.handling.mode": "base64"}, "binary_base64_url": {"binary.handling.mode": "base64-url-safe"}, "binary_hex": {"binary.handling.mode": "hex"}, "bigint_precise": {"bigint.unsigned.handling.mode": "precise"},
        "propagate_columns": {"column.propagate.source.type": ".*\\.(n.*|d1|vc|e)"}, "propagate_types": {"datatype.propagate.source.type": ".+\\.(DECIMAL|VARCHAR|TINYINT UNSIGNED|DATETIME)", "include.schema.comments": "true"},
    }
    case = Case(kind, variants={name: QUIET | config for name, config in own.items()})
    case.table("numbers", NUMBERS)
    case.table("times", TIMES)
    case.table("bytes", BYTES)
    return case


def columns(kind):
    """Columns that are left out, hidden, made keys, and tables and columns with odd names; operations that are skipped."""
    own = {
        "masks": {"column.truncate.to.3.chars": ".*\\.(vc|te)", "column.mask.with.5.chars": ".*\\.secret,.*\\.bn", "column.mask.with.0.chars": ".*\\.gone", "column.mask.hash.SHA-256.with.salt.CzQMA0cB5K": ".*\\.h1", "column.mask.hash.v2.MD5.with.salt.abc": ".*\\.h2"},
        "key_columns": {"message.key.columns": "g.people:vc,h1;g.odd.*:id"}, "names_avro": {"schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro"}, "names_unicode": {"schema.name.adjustment.mode": "avro_unicode", "field.name.adjustment.mode": "avro_unicode"},
        "query": {"include.query": "true"}, "no_tombstones": {"tombstones.on.delete": "false"}, "skip_ud": {"skipped.operations": "u,d"}, "skip_ct": {"skipped.operations": "c,t"}, "column_include": {"column.include.list": "g.people.(id|vc),g.odd-name.*", "skip.messages.without.change": "true"},
        "column_exclude": {"column.exclude.list": ".*\\.(id|te|secret)"}, "tables": {"table.include.list": "g\\.people", "topic.delimiter": "_", "topic.transaction": "tx", "provide.transaction.metadata": "true"}, "tables_exclude": {"table.exclude.list": "g\\.people", "extended.headers.enabled": "true"},
        "overrides": {"snapshot.select.statement.overrides": "g.people", "snapshot.select.statement.overrides.g.people": "select * from g.people where id > 1"}, "snapshot_some": {"snapshot.include.collection.list": "g.odd.*"}, "no_data": {"snapshot.mode": "no_data"},
    }
    case = Case(kind, ["--binlog-annotate-row-events=ON"] if kind == "mariadb" else ["--binlog-rows-query-log-events=ON"], variants={name: QUIET | config for name, config in own.items()})
    case.setup += [
        "create table people (id int primary key, vc varchar(20), te text, secret varchar(40) not null default 's', bn varbinary(10), gone varchar(10), h1 varchar(64), h2 varchar(10))",
        "insert into people values (1, 'abcdef', 'ä😀x€', 'hidden', 0x0102, 'g', 'hash me', 'short'), (2, null, null, '', null, null, null, null), (3, 'ab', '', 'x', '', '', '', '')",
        "create table `odd-name` (id int primary key, `1st` int, `with space` varchar(5), `d.o.t` int, `ü` int, `a_b` int, `c-d` int, `$x` int)", "insert into `odd-name` values (1, 2, 'x', 3, 4, 5, 6, 7)",
    ]
    case.script += [
        "insert into people values (4, 'ghijkl', 'long text', 'hidden', 0x0304, 'g', 'hash me', 'ü')", "update people set te = 'other' where id = 1", "update people set vc = 'changed' where id = 1", "update people set id = 30 where id = 3", "delete from people where id = 2",
        "update people set vc = 'abcxyz', h1 = 'k' where id = 4", "insert into `odd-name` values (2, 3, 'y', 4, 5, 6, 7, 8)", "update `odd-name` set `1st` = 9 where id = 1", "delete from `odd-name` where id = 1", "truncate table `odd-name`", "insert into `odd-name` (id) values (3)",
    ]
    return case


def beats(kind):
    """Heartbeats, and the statement that goes with each."""
    case = Case(kind, databases=("g", "pulse"), variants={"records": QUIET | {"heartbeat.interval.ms": "300", "heartbeat.action.query": "update pulse.beat set n = n + 1", "topic.heartbeat.prefix": "beat"}})
    case.setup += ["create database pulse", "create table pulse.beat (id int primary key, n int)", "insert into pulse.beat values (1, 0)", "create table t (id int primary key)", "insert into t values (1)"]
    case.script += ["insert into t values (2)", 8, "insert into t values (3)"]
    return case


def signals(kind):
    """Incremental snapshots, asked for by a row in the table of signals."""
    case = Case(kind, variants={"records": QUIET | {"signal.data.collection": "g.signals", "incremental.snapshot.chunk.size": "2", "snapshot.mode": "no_data", "provide.transaction.metadata": "true"}})
    case.setup += ["create table signals (id varchar(64) primary key, type varchar(32), data varchar(2048))", "create table t (id int primary key, v varchar(10))", "insert into t values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')", "create table pairs (a int, b varchar(5), v int, primary key (a, b))", "insert into pairs values (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)"]
    case.script += [
        "insert into t values (6, 'f')", "insert into signals values ('ask-1', 'execute-snapshot', '{\"type\": \"incremental\", \"data-collections\": [\"g.t\"]}')", 24, "update t set v = 'z' where id = 1",
        "insert into signals values ('ask-2', 'execute-snapshot', '{\"type\": \"incremental\", \"data-collections\": [\"g.pairs\"], \"additional-conditions\": [{\"data-collection\": \"g.pairs\", \"filter\": \"v > 1\"}]}')", 36, "insert into t values (7, 'g')",
    ]
    return case


def cases(golden):
    """All of them; `golden` is the script tests/mysql/golden, whose lists of types are used here, too."""
    made = {}
    for kind in ("mysql97", "mariadb"):
        made |= {f"{kind}-basic": basic(kind), f"{kind}-types": types(kind, golden), f"{kind}-keys": keys(kind), f"{kind}-schemas": schemas(kind), f"{kind}-transactions": transactions(kind),
                 f"{kind}-modes": modes(kind), f"{kind}-columns": columns(kind), f"{kind}-heartbeats": beats(kind), f"{kind}-signals": signals(kind)}
    # Without GTIDs, with compressed transactions, and on a server that is not in UTC. MariaDB's compressed events are not among the cases:
    # Debezium misses the DDL in them, and stops.
    written = {"records": EVERYTHING}
    made["mysql97-no-gtids"] = basic("mysql97", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", variants=written)
    made["mysql97-compressed"] = basic("mysql97", "--binlog-transaction-compression=ON", variants=written)
    for kind in ("mysql97", "mariadb"):
        made[f"{kind}-zone"] = zone = Case(kind, ["--default-time-zone=+05:30"])
        zone.setup.append("set time_zone = '+05:30'")
        zone.script.append("set time_zone = '+05:30'")
        zone.table("times", TIMES)
    return made
