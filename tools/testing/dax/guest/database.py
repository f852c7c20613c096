#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Entries in a database, for the test of power cuts (lib/storecut.py).

  database.py LOG make              make the tables of its database
  database.py LOG append [early]    add entries until the end, each in a transaction; report "LOG NUMBER" on
                                    descriptor 3 after the commit, or with "early" before the previous one
  database.py LOG count             verify all entries, and print how many there are
  database.py sqlite check          SQLite's own check

LOG is sqlite, or postgres with the number of a writer: postgres_0.
"""

import hashlib
import itertools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ACCOUNTS = 50

TABLES = f"""
create table entry (log text, number integer, content text, primary key (log, number));
create index on_content on entry (content);
create table account (id integer primary key, entries integer);
insert into account values {", ".join(f"({i}, 0)" for i in range(ACCOUNTS))};
"""


class Postgres:
    """A server that listens on a socket in /tmp. psql talks to it."""

    def __init__(self):
        [psql] = Path("/usr/lib/postgresql").glob("*/bin/psql")
        self.psql = subprocess.Popen(
            # stdbuf: psql keeps its output otherwise.
            ["runuser", "-u", "postgres", "--", "stdbuf", "-oL", psql, "-h", "/tmp", "-XAtq", "-F", " ",
             "-v", "ON_ERROR_STOP=1", "test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sql):
        self.psql.stdin.write(f"{sql}\n\\echo end\n")
        self.psql.stdin.flush()
        rows = []
        while (line := self.psql.stdout.readline()) != "end\n":
            if not line:
                sys.exit("psql ended")
            rows.append(line.split())
        return rows


class SQLite:
    """A file that is mapped, with a write-ahead log of few pages."""

    def __init__(self):
        self.file = sqlite3.connect("/tmp/db/sqlite", isolation_level=None)
        self.run("pragma journal_mode = wal; pragma synchronous = full; pragma mmap_size = 268435456;"
                 "pragma wal_autocheckpoint = 50")

    def run(self, sql):
        rows = []
        for statement in sql.split(";"):
            rows = self.file.execute(statement).fetchall() or rows
        return [[str(value) for value in row] for row in rows]


def content(log, number):
    """The content of an entry, so that other data cannot pass for it."""
    return hashlib.sha512(f"{log} {number}".encode()).hexdigest()


def count(database, log):
    """The number of entries; a text if something is wrong with them."""
    rows = database.run(f"select number, content from entry where log = '{log}' order by number;")
    for i, row in enumerate(rows):
        if row != [str(i), content(log, i)]:
            return f"{row} instead of entry {i}"
    # Each transaction added an entry and counted it in an account.
    [[entries, counted]] = database.run("select (select count(*) from entry), (select sum(entries) from account);")
    return len(rows) if entries == counted else f"the accounts have {counted} entries, not {entries}"


def main():
    log, what, *more = sys.argv[1:]
    database = SQLite() if log == "sqlite" else Postgres()
    if what == "make":
        database.run(TABLES)
    elif what == "count":
        print(count(database, log))
    elif what == "check":
        answer = database.run("pragma integrity_check")
        sys.exit(answer != [["ok"]] and str(answer))
    else:
        for number in itertools.count(int(count(database, log))):
            if more:
                os.write(3, f"{log} {number + 1}\n".encode())
            database.run(f"begin; insert into entry values ('{log}', {number}, '{content(log, number)}');"
                         f"update account set entries = entries + 1 where id = {number * 7 % ACCOUNTS}; commit;")
            if not more:
                os.write(3, f"{log} {number}\n".encode())


main()
