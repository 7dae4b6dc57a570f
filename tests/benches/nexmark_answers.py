"""What the queries of Nexmark answer, as DuckDB says: nexmark/QUERY.sql over generated files, and a job's output compared with it."""

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb

SQL = Path(__file__).resolve().parent / "nexmark"
# Numbers of persons and auctions below this are those of the events that only close windows.
FIRST_ID = 1000
TOLERANCE = 1e-9

NUMBER, TEXT = "BIGINT", "VARCHAR"
COLUMNS = {
    "person": {"id": NUMBER, "name": TEXT, "email": TEXT, "card": TEXT, "city": TEXT, "state": TEXT, "at": NUMBER, "extra": TEXT},
    "auction": {"id": NUMBER, "item": TEXT, "description": TEXT, "initial_bid": NUMBER, "reserve": NUMBER, "at": NUMBER,
                "expires": NUMBER, "seller": NUMBER, "category": NUMBER, "extra": TEXT},
    "bid": {"auction": NUMBER, "bidder": NUMBER, "price": NUMBER, "channel": TEXT, "url": TEXT, "at": NUMBER, "extra": TEXT},
    "side": {"key": NUMBER, "value": TEXT},
}
FILES = {"person": "persons", "auction": "auctions", "bid": "bids", "side": "side"}


@dataclass(frozen=True)
class Query:
    """What has to be known of a query beside its SQL."""

    inputs: tuple
    # Rows of the events that close windows, which some systems give and others do not.
    closing: str
    # Whether the last record of a key stands for it; the records of the others are rows, whatever their keys.
    table: bool = False
    # The columns that a table's JSON array of a key has, if its value lacks them.
    keys: tuple = ()
    # Whether a record may stand for several rows: the objects in its member `rows`, each with the record's other members.
    lists: bool = False


# Of q5, q7, q8 and q11 a system may give rows when windows close (records without a key), or a table that changes until then.
QUERIES = {
    "q1": Query(("bids",), f"auction < {FIRST_ID}"),
    "q3": Query(("persons", "auctions"), f"id < {FIRST_ID}", table=True, keys=("id",)),
    "q4": Query(("auctions", "bids"), "category = 0", table=True, keys=("category",)),
    "q5": Query(("bids",), f"auction < {FIRST_ID}", table=True, keys=("starttime",), lists=True),
    "q7": Query(("bids",), f"auction < {FIRST_ID}", table=True, keys=("starttime",), lists=True),
    "q8": Query(("persons", "auctions"), f"id < {FIRST_ID}", table=True, keys=("id", "starttime")),
    "q9": Query(("auctions", "bids"), f"id < {FIRST_ID}", table=True, keys=("id",)),
    "q11": Query(("bids",), f"bidder < {FIRST_ID}", table=True, keys=("bidder", "starttime", "endtime")),
    "q13": Query(("bids",), f"auction < {FIRST_ID}"),
    "q15": Query(("bids",), f"day > (SELECT max(\"at\") FROM bid WHERE auction >= {FIRST_ID})", table=True, keys=("day",)),
    "q17": Query(("bids",), f"auction < {FIRST_ID}", table=True, keys=("auction", "day")),
    "q18": Query(("bids",), f"auction < {FIRST_ID}", table=True, keys=("bidder", "auction")),
    "q19": Query(("bids",), f"auction < {FIRST_ID}", table=True, keys=("auction", "rank"), lists=True),
    "q20": Query(("auctions", "bids"), f"auction < {FIRST_ID}"),
    "q22": Query(("bids",), f"auction < {FIRST_ID}"),
}


class Answers:
    """The answers over the files of a folder, each found once."""

    def __init__(self, data, database=":memory:"):
        self.connection = duckdb.connect(database)
        self.connection.execute("SET enable_progress_bar = false")
        for table, columns in COLUMNS.items():
            self.connection.execute(f"""CREATE OR REPLACE TABLE {table} AS
                SELECT unnest(from_json_strict(value, '{json.dumps(columns)}'))
                FROM {lines(f'{data}/{FILES[table]}-*.tsv', {'key': TEXT, 'value': TEXT})}""")
        self.found = {}

    def answer(self, name):
        """The table of a query's answer: its name and columns with their types."""
        if name not in self.found:
            sql, table = (SQL / f"{name}.sql").read_text(), f"answer_{name}"
            self.connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM ({sql}) WHERE NOT ({QUERIES[name].closing})")
            self.found[name] = dict(self.connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall())
        return f"answer_{name}", self.found[name]

    def difference(self, name, output):
        """The first row in which `output` differs from the answer, as a text; none if it does not. Its lines are those of
        `millstream consume` with `print.offset` and `print.key`."""
        query, (table, columns) = QUERIES[name], self.answer(name)
        run = self.connection.execute
        run(f"""CREATE OR REPLACE TABLE records AS SELECT "offset"[8:]::BIGINT AS place, key, value
            FROM {lines(output, {'offset': TEXT, 'key': TEXT, 'value': TEXT})}""")
        values = "SELECT key, value FROM records"
        if query.table:
            values = """SELECT key, arg_max(value, place) AS value FROM records WHERE key <> 'null' GROUP BY key
                UNION ALL SELECT key, value FROM records WHERE key = 'null'"""
        # One without a value deletes its key.
        values = f"SELECT key, value, value AS whole FROM ({values}) WHERE value <> 'null'"
        if query.lists:
            values = f"""SELECT key, whole, unnest(CASE WHEN json_exists(value, '$.rows') THEN from_json(value -> '$.rows', '["JSON"]')
                ELSE [value::JSON] END)::VARCHAR AS value FROM ({values})"""
        members = json.dumps(dict.fromkeys(columns, TEXT))
        outer = f", from_json(whole, '{members}') AS outer_row" if query.lists else ""
        values = f"SELECT key, from_json(value, '{members}') AS row{outer} FROM ({values})"
        typed = ", ".join(f"{self.typed(column, kind, query)} AS {quoted(column)}" for column, kind in columns.items())
        values = f"SELECT {typed} FROM ({values})"
        run(f"CREATE OR REPLACE TABLE output AS SELECT * FROM ({values}) WHERE ({query.closing}) IS NOT TRUE")
        # Sorting both takes most of the time; what has equal rows has equal sums of hashes.
        counts, sums = zip(*[run(f"SELECT count(*), sum(hash(rows)::HUGEINT) FROM {source} AS rows").fetchone() for source in (table, "output")])
        if counts[0] == counts[1] and sums[0] == sums[1]:
            return None
        found = self.first_difference(table, columns)
        if found is None:
            return None
        lacks, more, *values = found
        expected, given = dict(zip(columns, values)), dict(zip(columns, values[len(columns):]))
        differ = [column for column in columns if expected[column] != given[column]]
        return (f"{name}: {counts[0]} rows expected, {counts[1]} found; the first that differs, in {', '.join(differ)}:\n"
                f"  expected {'no row' if more else expected}\n  found    {'no row' if lacks else given}")

    @staticmethod
    def typed(column, kind, query):
        """A column of the output: from the row, the record around it, or the key. What is no number where one should be is null."""
        sources = [f"row.{quoted(column)}"]
        if query.lists:
            sources.append(f"outer_row.{quoted(column)}")
        if column in query.keys:
            place = query.keys.index(column)
            sources.append(f"CASE WHEN key LIKE '[%' THEN key ->> {place} ELSE key END")
        value = f"coalesce({', '.join(sources)})"
        if kind == NUMBER:
            return f"CASE WHEN regexp_full_match({value}, '-?[0-9]+') THEN {value}::BIGINT END"
        return value if kind == TEXT else f"TRY_CAST({value} AS {kind})"

    def first_difference(self, table, columns):
        """Both sorted, row beside row: floats may differ a little, and so come last in the order."""
        floats = [column for column, kind in columns.items() if kind == "DOUBLE"]
        order = ", ".join([quoted(column) for column in columns if column not in floats] + [quoted(column) for column in floats])
        sides = [f"SELECT *, row_number() OVER (ORDER BY {order}) AS sorted_place FROM {source}" for source in (table, "output")]
        differs = " OR ".join(self.differs(f"a.{quoted(column)}", f"b.{quoted(column)}", column in floats) for column in columns)
        shown = ", ".join(f"{side}.{quoted(column)}" for side in "ab" for column in columns)
        return self.connection.execute(f"""SELECT b.sorted_place IS NULL, a.sorted_place IS NULL, {shown}
            FROM ({sides[0]}) AS a FULL JOIN ({sides[1]}) AS b USING (sorted_place)
            WHERE a.sorted_place IS NULL OR b.sorted_place IS NULL OR {differs} ORDER BY sorted_place LIMIT 1""").fetchone()

    @staticmethod
    def differs(one, other, is_float):
        if not is_float:
            return f"{one} IS DISTINCT FROM {other}"
        return f"({one} IS NULL) <> ({other} IS NULL) OR abs({one} - {other}) > {TOLERANCE} * greatest(1, abs({one}))"


def quoted(column):
    return f'"{column}"'


def lines(path, columns):
    """A table of lines that are split at tabs, and nothing else."""
    names = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return f"""read_csv('{path}', delim = '\t', quote = '', escape = '', header = false, auto_detect = false,
        columns = {{{names}}})"""
