# ruff: noqa: S608 - SQL of constants
"""Ways out of a query, each tried where a user stands, and again below: past the translator, past the engine.

The second line holds without the first: a statement that the translator refuses is also run on the worker's own
connection, and what the engine refuses is also tried by code in the worker's process.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from casjobs_service.catalog import Catalog, Column, Table
from casjobs_service.contexts import ContextSource
from casjobs_service.errors import Kind, QueryError
from casjobs_service.worker import kernel, seccomp
from casjobs_service.worker.session import Session, WorkerLost
from tests.casjobs.worker_support import AGES, ALICE, BEFORE, BOB, LIMITS, Bench, bench, collect, make_context, query

SECRET = "a password in the service's environment"

# {bob}: path of Bob's MyDB; {secret}: path of a context that Alice may not see; {home}: the service's directory.
READS = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_text('/session/secret')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_json_objects('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM parquet_schema('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'file.csv'",
    "SELECT * FROM '/etc/file.parquet'",
    'SELECT * FROM "/etc/file.json"',
    "SELECT * FROM read_blob('{bob}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM 'http://127.0.0.1:1/x.csv'",
    "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT getenv('PATH')",
    "SELECT * FROM worker",
    "SELECT * FROM request",
    "SELECT content FROM read_text('/proc/self/environ')",
    "SELECT * FROM iceberg_scan('/etc')",
    "SELECT * FROM sqlite_scan('/etc/passwd', 'x')",
    "SELECT * FROM postgres_scan('host=127.0.0.1', 'x', 'y')",
    "FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "FROM query_table('/etc/passwd')",
    "SELECT * FROM (VALUES (1)) t(a), read_text('/etc/passwd')",
    "SELECT (SELECT content FROM read_text('/etc/passwd')) AS a",
    "WITH q AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM q",
]
WRITES = [
    "COPY (SELECT 1) TO '/tmp/out.csv'",
    "COPY (SELECT 1) TO '/session/out.csv'",
    "COPY (SELECT 1) TO '/mydb/out.csv'",
    "COPY (SELECT 1) TO '/mydb/out.parquet' (FORMAT parquet)",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "COPY MyDB.main.own FROM '/etc/passwd'",
    "COPY FROM DATABASE Sky TO MyDB",
    "EXPORT DATABASE '/tmp/out'",
    "EXPORT DATABASE '/session/out'",
    "IMPORT DATABASE '/tmp/out'",
    "ATTACH '{bob}' AS bob",
    "ATTACH '{bob}' AS bob (READ_ONLY)",
    "ATTACH '{secret}' AS secret (READ_ONLY)",
    "ATTACH '/session/new.duckdb' AS new",
    "ATTACH '/mydb/new.duckdb' AS new",
    "ATTACH 'http://127.0.0.1:1/x.duckdb' AS web",
    "ATTACH 'host=127.0.0.1' AS pg (TYPE postgres)",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs",
    "INSTALL httpfs FROM 'http://127.0.0.1:1'",
    "LOAD httpfs",
    "LOAD '/tmp/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SET memory_limit = '100GB'",
    "SET GLOBAL threads = 64",
    "SET temp_directory = '/tmp'",
    "SET lock_configuration = false",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET python_enable_replacements = true",
    "SET autoload_known_extensions = true",
    "SET secret_directory = '/tmp'",
    "SET home_directory = '/tmp'",
    "SET log_query_path = '/tmp/log'",
    "SET default_collation = ''",
    "SET search_path = 'sciserver'",
    "RESET memory_limit",
    "RESET ALL",
    "PRAGMA memory_limit = '100GB'",
    "PRAGMA threads = 64",
    "PRAGMA enable_logging",
    "CALL enable_logging(storage := 'file', storage_path := '/tmp')",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "CREATE TABLE Sky.main.mine AS SELECT 1 AS a",
    "INSERT INTO Sky.main.Stars SELECT * FROM Sky.main.Stars",
    "DELETE FROM Sky.main.Stars",
    "UPDATE Sky.main.Stars SET mag = 0",
    "DROP TABLE Sky.main.Stars",
    "ALTER TABLE Sky.main.Stars RENAME TO mine",
    "CREATE VIEW Sky.main.v AS SELECT 1 AS a",
    "COMMENT ON TABLE Sky.main.Stars IS 'mine'",
    "SELECT * FROM Secret.main.Stars",
    "SELECT * FROM bob.main.private",
    'SELECT * FROM "8".main.private',
    "SELECT * FROM temp.main.others",
]
# Harmless for the engine, but not for users: they look below the databases, or undo what we have set up.
ONLY_TRANSLATED = [
    "DETACH Sky",
    "ATTACH ':memory:' AS m",
    "USE Sky",
    "CHECKPOINT",
    "FORCE CHECKPOINT MyDB",
    "VACUUM",
    "ANALYZE",
    "BEGIN TRANSACTION",
    "COMMIT",
    "EXPLAIN SELECT 1",
    "DESCRIBE SELECT 1",
    "SUMMARIZE SELECT 1",
    "SHOW TABLES",
    "SHOW DATABASES",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CALL duckdb_settings()",
    "PRAGMA database_list",
    "PRAGMA version",
    "PRAGMA show_tables",
    "CREATE MACRO m(a) AS a",
    "CREATE TEMP MACRO m() AS TABLE SELECT * FROM read_text('/etc/passwd')",
    "CREATE SCHEMA MyDB.other",
    "CREATE SEQUENCE s",
    "CREATE TYPE t AS ENUM ('a')",
    "SELECT current_setting('temp_directory')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM pragma_storage_info('own')",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM MyDB.sciserver.journal",
    "SELECT * FROM sciserver.journal",
    "DELETE FROM MyDB.sciserver.journal",
    "DROP SCHEMA MyDB.sciserver CASCADE",
    "CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "SELECT * FROM which_secret('x', 'http')",
    "SELECT current_database()",
    "SELECT current_query()",
    "SELECT pg_backend_pid()",
    "SELECT txid_current()",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM seq_scan('own')",
    "SELECT nextval('s')",
    "SELECT set_bit('1'::BIT, 0, 1) FROM checkpoint('MyDB')",
    "SELECT * FROM force_checkpoint('MyDB')",
    "SELECT write_log('x')",
    "SELECT json_execute_serialized_sql('x')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT COLUMNS(*) FROM duckdb_settings()",
]
T_SQL = [
    "EXEC xp_cmdshell 'id'",
    "EXEC sp_configure 'show advanced options', 1",
    "EXEC('SELECT 1')",
    "EXECUTE sp_executesql N'SELECT 1'",
    "SELECT * FROM OPENROWSET(BULK '/etc/passwd', SINGLE_CLOB) AS x",
    "SELECT * FROM OPENQUERY(server, 'SELECT 1')",
    "SELECT * FROM OPENDATASOURCE('SQLNCLI', 'x').a.b.c",
    "BULK INSERT own FROM '/etc/passwd'",
    "BACKUP DATABASE MyDB TO DISK = '/tmp/x'",
    "RESTORE DATABASE MyDB FROM DISK = '/tmp/x'",
    "CREATE LOGIN x WITH PASSWORD = 'y'",
    "ALTER DATABASE MyDB SET SINGLE_USER",
    "DROP DATABASE MyDB",
    "CREATE DATABASE x",
    "DBCC CHECKDB",
    "SHUTDOWN",
    "KILL 1",
    "WAITFOR DELAY '00:00:10'",
    "USE master",
    "GRANT SELECT ON own TO bob",
    "SELECT * FROM sys.databases",
    "SELECT * FROM master..sysdatabases",
    "SELECT * FROM [bob].[dbo].[private]",
    "SELECT * FROM [8]..private",
    "SELECT * FROM [mydb:bob]..private",
    "SELECT * FROM [myscratch:bob]..private",
    "SELECT * FROM [../8/mydb]..private",
    "SELECT * FROM MyScratch.wsid_8.private",
    "SELECT * FROM Secret..Stars",
    "SELECT * INTO Secret.mine FROM Sky.Stars",
    "DROP TABLE Secret.Stars",
]
T_SQL_HAS = {
    # Another context for unqualified names.
    "USE Sky",
    # Nothing happens.
    "CHECKPOINT",
    "BEGIN TRANSACTION",
    "COMMIT",
    # The text inside is translated.
    "EXECUTE sp_executesql N'SELECT 1'",
}
POSTGRESQL = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(a int)",
    "SELECT pg_sleep(100)",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT current_setting('data_directory')",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM information_schema.tables",
    "COPY t TO PROGRAM 'id'",
    "COPY t FROM PROGRAM 'id'",
    "COPY t TO '/tmp/x'",
    "COPY (SELECT 1) TO STDOUT",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE EXTENSION plpython3u",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE x (a int)",
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET x = 1",
    "DELETE FROM t",
    "TRUNCATE t",
    "DROP TABLE t",
    "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
    "SELECT * FROM t FOR UPDATE",
    "SELECT 1 INTO x",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "RESET ALL",
    "SHOW data_directory",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE t",
    "VACUUM",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE SELECT 1",
    "BEGIN",
    "COMMIT; DROP TABLE t",
    "LOAD 'x'",
    "CALL f()",
    "SELECT f.x FROM other.secrets f",
]
REFUSED = (Kind.FORBIDDEN, Kind.UNSUPPORTED, Kind.NAME, Kind.SYNTAX)


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    os.environ["SCISERVER_SECRET"] = SECRET
    directory = tmp_path_factory.mktemp("casjobs")
    try:
        make_context(directory, "Secret")
        async with bench(directory, [make_context(directory, "Sky"), remote_context(directory)]) as made:
            await made.query("SELECT 'private' AS a INTO MyDB.private", BOB)
            await made.query("SELECT 1 AS a INTO MyDB.own; SELECT 1 AS a INTO MyScratch.own")
            yield made
    finally:
        del os.environ["SCISERVER_SECRET"]


def remote_context(directory: Path) -> ContextSource:
    """A context of which the server does not answer: what the translator lets pass ends as UNAVAILABLE."""
    home = directory / "contexts" / "Remote"
    home.mkdir(parents=True)
    Catalog("Remote", "postgresql", [Table("t", [Column("x", "BIGINT")], schema="public")]).save(home / "catalog.json")
    (home / "context.json").write_text(
        json.dumps({"name": "Remote", "engine": "postgresql", "url": "postgresql://nobody@127.0.0.1:1/nothing"})
    )
    return ContextSource("Remote", "postgresql", home, None, home / "catalog.json")


@pytest.fixture(scope="module", params=AGES)
async def session(request: pytest.FixtureRequest, pool: Bench) -> AsyncIterator[Session]:
    if request.param == "reused":
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as before:
            await collect(before, query(BEFORE))
    else:
        pool.workers._resting.end(0)
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as made:
        assert (made.process.sessions > 1) == (request.param == "reused")
        (made.directory / "secret").write_text("in the session's own directory")
        yield made


def filled(pool: Bench, text: str) -> str:
    return (
        text.replace("{bob}", str(pool.workers.files.file(BOB, "MyDB")))
        .replace("{secret}", str(pool.directory / "contexts/Secret/data-1.duckdb"))
        .replace("{home}", str(pool.directory))
    )


async def refusals(session: Session, texts: list[str], **more: Any) -> dict[str, QueryError | None]:
    """Each text with its error; None for those that ran."""
    found: dict[str, QueryError | None] = {}
    for text in texts:
        try:
            await collect(session, query(text, **more))
            found[text] = None
        except QueryError as error:
            found[text] = error
    return found


@pytest.mark.parametrize("dialect", ["tsql", "duckdb"])
async def test_the_translator_refuses_every_way_out(pool: Bench, session: Session, dialect: str) -> None:
    assert (await collect(session, query("SELECT a FROM MyDB.own", dialect=dialect))).rows == [[1]]
    texts = [filled(pool, text) for text in [*READS, *WRITES, *ONLY_TRANSLATED, *T_SQL]]
    if dialect == "tsql":
        texts = [text for text in texts if text not in T_SQL_HAS]
    found = await refusals(session, texts, dialect=dialect)
    assert not [text for text, error in found.items() if error is None]
    assert not [(text, error) for text, error in found.items() if error is not None and error.kind not in REFUSED]
    shown = " ".join(str(error) for error in found.values())
    assert "root:" not in shown
    # What is refused is not run: everything is as before.
    assert (await collect(session, query("SELECT a FROM MyDB.own", dialect=dialect))).rows == [[1]]
    assert (await collect(session, query("SELECT count(*) FROM Sky.Stars", dialect=dialect))).rows == [[10_000]]


async def test_the_translator_refuses_every_way_out_of_postgresql(pool: Bench, session: Session) -> None:
    # The control: an innocent statement gets as far as the server, which is not there.
    remote = {"dialect": "postgresql", "context": "Remote"}
    [control] = (await refusals(session, ["SELECT x FROM t"], **remote)).values()
    assert control is not None
    assert control.kind is Kind.UNAVAILABLE
    found = await refusals(session, [filled(pool, text) for text in [*POSTGRESQL, *READS, *WRITES]], **remote)
    assert not [(text, error) for text, error in found.items() if error is None or error.kind not in REFUSED]


async def raw(session: Session, sql: str) -> str | QueryError:
    """A statement on the worker's own connection, past the translator."""
    try:
        answer = await collect(session, {"do": "raw", "sql": sql, "contexts": ["Sky"]})
    except QueryError as error:
        return error
    rows: str = answer.event("done")["rows"]
    return rows


async def test_the_engine_refuses_them_as_well(pool: Bench, session: Session) -> None:
    assert await raw(session, "SELECT a FROM MyDB.main.own") == "[(1,)]"
    through = {}
    for text in [filled(pool, text) for text in [*READS, *WRITES]]:
        answer = await raw(session, text)
        if isinstance(answer, str):
            through[text] = answer
    # It lists nothing: the file is not there.
    assert not {text for text, rows in through.items() if rows != "[]"}
    assert set(through) <= {"UPDATE EXTENSIONS"}
    assert await raw(session, "SELECT count(*) FROM Sky.main.Stars") == "[(10000,)]"
    for place in ("tmp/out.csv", "tmp/out", "tmp/log"):
        assert not Path("/", place).exists()
    assert sorted(path.name for path in pool.workers.files.directory(ALICE, "MyDB").iterdir()) == ["mydb.duckdb"]


async def test_the_engine_knows_nothing_of_the_machine(pool: Bench, session: Session) -> None:
    for table in ("duckdb_settings()", "duckdb_databases()", "duckdb_secrets()", "duckdb_extensions()", "duckdb_logs"):
        answer = await raw(session, f"SELECT * FROM {table}")
        text = str(answer)
        assert not any(word in text for word in (str(pool.directory), "/root", "/home", SECRET, "Bob", "8/"))
    assert await raw(session, "SELECT database_name FROM duckdb_databases() WHERE path LIKE '%Secret%'") == "[]"
    for name, value in (
        ("enable_external_access", "False"),
        ("lock_configuration", "True"),
        ("autoload_known_extensions", "False"),
        ("autoinstall_known_extensions", "False"),
        ("allow_community_extensions", "False"),
        ("allow_persistent_secrets", "False"),
        ("python_enable_replacements", "False"),
    ):
        assert await raw(session, f"SELECT current_setting('{name}')") == f"[({value},)]"


async def test_temporary_tables_are_seen_by_their_session_only(pool: Bench, session: Session) -> None:
    await collect(session, query("SELECT 1 AS a INTO #others"))
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as second:
        assert isinstance(await raw(second, 'SELECT * FROM temp.main."#others"'), QueryError)
        answer = await raw(second, "SELECT count(*) FROM duckdb_tables() WHERE temporary")
        assert answer == "[(0,)]"


async def python(session: Session, code: str) -> dict[str, Any]:
    """Code in the worker's process: what it leaves in `result`, or its error."""
    return (await collect(session, {"do": "python", "code": code})).event("done")


async def result(session: Session, code: str) -> Any:
    answer = await python(session, code)
    assert "result" in answer, answer
    return ast.literal_eval(answer["result"])


OUTSIDE = """
import ctypes, errno, signal
libc = ctypes.CDLL(None, use_errno=True)
result = {}
def attempt(name, call):
    try:
        value = call()
        result[name] = f'worked: {value!r}'
    except Exception as error:
        result[name] = getattr(error, 'errno', None) or type(error).__name__
def native(number, *arguments):
    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    if answer < 0:
        raise OSError(ctypes.get_errno(), '')
    return answer
"""

FILES = (
    OUTSIDE
    + """
for path in ('/etc/passwd', '/proc/self/environ', '/proc/1/environ', '/sys/kernel', '/dev/null', '/root', OUTER,
             BOBS, SESSIONS, '/usr/bin/env', '/tmp', '/..' + BOBS, '/session/../..' + BOBS, '/proc/self/root' + BOBS,
             '/mydb/../../..' + BOBS):
    attempt('read ' + path, lambda: os.open(path, os.O_RDONLY))
    attempt('list ' + path, lambda: os.listdir(path))
for path in (NEW, '/new', '/contexts/new', '/etc/new'):
    attempt('make ' + path, lambda: os.open(path, os.O_WRONLY | os.O_CREAT))
    attempt('make directory ' + path, lambda: os.mkdir(path))
for path in CONTEXT:
    attempt('write ' + path, lambda: os.open(path, os.O_RDWR))
    attempt('remove ' + path, lambda: os.unlink(path))
    attempt('truncate ' + path, lambda: os.truncate(path, 0))
    attempt('rename ' + path, lambda: os.rename(path, path + '.old'))
attempt('symlink', lambda: os.symlink('/etc/passwd', OWN + '/link'))
attempt('link', lambda: os.link(CONTEXT[0], OWN + '/link'))
attempt('fifo', lambda: os.mkfifo(OWN + '/fifo'))
attempt('device', lambda: os.mknod(OWN + '/device', 0o20600, 259))
attempt('chmod', lambda: os.chmod(OWN, 0o777))
attempt('chown', lambda: os.chown(OWN, 0, 0))
attempt('chroot', lambda: os.chroot(OWN))
"""
)

POWERS = (
    OUTSIDE
    + """
import resource, socket, subprocess
attempt('inet', lambda: socket.socket(socket.AF_INET))
attempt('inet6 udp', lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
attempt('unix', lambda: socket.socket(socket.AF_UNIX))
attempt('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt('vsock', lambda: socket.socket(40))
attempt('pair', socket.socketpair)
attempt('resolve', lambda: socket.getaddrinfo('localhost', 80))
attempt('fork', os.fork)
attempt('exec', lambda: os.execv('/bin/sh', ['sh']))
attempt('spawn', lambda: os.posix_spawn('/bin/sh', ['sh'], {}))
attempt('run', lambda: subprocess.run(['id']))
attempt('system', lambda: 0 if os.system('true') == 0 else os.execv('/bin/true', ['true']))
for pid in (1, PARENT, OTHER, -1, 0):
    attempt(f'kill {pid}', lambda: os.kill(pid, signal.SIGKILL))
    attempt(f'pidfd {pid}', lambda: os.pidfd_open(pid))
    attempt(f'tgkill {pid}', lambda: native(TGKILL, pid, pid, 9))
attempt('setuid', lambda: os.setuid(0))
attempt('setresuid', lambda: os.setresuid(0, 0, 0))
attempt('setgid', lambda: os.setgid(0))
attempt('setgroups', lambda: os.setgroups([0]))
attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt('session', os.setsid)
attempt('nofile', lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (10**6, 10**6)))
attempt('memory', lambda: resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)))
attempt('parent limits', lambda: resource.prlimit(PARENT, resource.RLIMIT_NOFILE))
attempt('affinity', lambda: os.sched_setaffinity(0, {0}))
attempt('dumpable', lambda: native(PRCTL, 4, 1, 0, 0, 0))
attempt('ptrace me', lambda: native(PRCTL, 0x59616d61, -1, 0, 0, 0))
import mmap
attempt('executable memory', lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
attempt('library', lambda: ctypes.CDLL('/usr/lib/x86_64-linux-gnu/libc.so.6'))
"""
)


async def test_no_file_outside_can_be_seen_or_changed(pool: Bench, session: Session) -> None:
    names = {
        "OUTER": str(pool.directory),
        "BOBS": str(pool.workers.files.file(BOB, "MyDB")),
        "SESSIONS": str(pool.directory / "sessions"),
        "NEW": "/tmp/new",
        "OWN": "/session",
        "CONTEXT": ["/contexts/0.json", "/contexts/0.duckdb"],
    }
    found = await result(session, "".join(f"{name} = {value!r}\n" for name, value in names.items()) + FILES)
    assert len(found) > 40
    assert not {name: answer for name, answer in found.items() if isinstance(answer, str)}
    # And where it may write it may.
    assert await result(session, "open('/session/mine', 'w').write('x'); result = os.listdir('/session')")


def names_of_powers(session: Session, other: Session) -> str:
    column = 0 if kernel.MACHINE == "x86_64" else 1
    names = {
        "PARENT": os.getpid(),
        "OTHER": other.process.pid,
        "TGKILL": seccomp._TGKILL[column],
        "PRCTL": 157 if column == 0 else 167,
    }
    return "".join(f"{name} = {value!r}\n" for name, value in names.items())


async def test_no_network_no_program_no_other_process(pool: Bench, session: Session) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as other:
        found = await result(session, names_of_powers(session, other) + POWERS)
        assert len(found) > 35
        assert not {name: answer for name, answer in found.items() if isinstance(answer, str) and "worked" in answer}
        assert (await collect(other, query("SELECT 1 AS a"))).rows == [[1]]


async def test_no_other_system_call(session: Session) -> None:
    """Each number that is not allowed, with arguments that would do no harm."""
    column = 0 if kernel.MACHINE == "x86_64" else 1
    allowed = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    allowed |= {calls[column] for calls, *_ in seccomp._CONDITIONAL} | {seccomp._TGKILL[column]}
    # The kernel answers uretprobe itself, by ending who is not being traced.
    allowed |= {335, 336} if column == 0 else set()
    numbers = [number for number in range(480) if number not in allowed]
    code = (
        OUTSIDE + f"for number in {numbers!r}:\n    attempt(number, lambda: native(number, -1, -1, -1, -1, -1, -1))\n"
    )
    found = await result(session, code)
    assert len(found) == len(numbers)
    assert set(found.values()) == {1, 38}  # EPERM, ENOSYS


async def test_another_machines_system_calls_end_the_process(pool: Bench) -> None:
    """x86's second set of numbers would go around the list."""
    if kernel.MACHINE == "x86_64":
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
            with pytest.raises(WorkerLost):
                await python(session, OUTSIDE + "native(0x40000000 + 39)")


async def test_nothing_is_inherited(session: Session) -> None:
    """Neither the service's environment nor its open files."""
    pid = session.process.pid
    assert SECRET not in Path(f"/proc/{pid}/environ").read_text()
    assert "SCISERVER_SECRET" not in await result(session, "result = dict(os.environ)")
    targets = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        # One may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    known = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/null", "/contexts/", "/mydb/", "/scratch/")
    assert all(target.startswith(known) for target in targets), targets
    assert len([target for target in targets if target.startswith("socket:")]) == 1


async def test_every_thread_is_locked_in(session: Session) -> None:
    pid = session.process.pid
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    assert len(threads) > 1
    uid = str(1_900_000_000 + ALICE.id)
    for thread in threads:
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        assert set(status["Uid"].split()) == {uid}
        assert set(status["Gid"].split()) == {uid}
        assert status["Groups"].strip() == ""
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        for space in ("mnt", "net", "ipc", "uts"):
            assert (thread / "ns" / space).readlink() != Path(f"/proc/self/ns/{space}").readlink()
        assert sorted(path.name for path in (thread / "root").iterdir()) == ["contexts", "mydb", "scratch", "session"]
    assert Path(f"/proc/{pid}/net/dev").read_text().count(":") == 1, "loopback only"
    limits = Path(f"/proc/{pid}/limits").read_text()
    for name in ("Max core file size", "Max cpu time", "Max data size", "Max address space", "Max file size"):
        [line] = [line for line in limits.splitlines() if line.startswith(name)]
        assert "unlimited" not in line


CONFINED = """
import asyncio, json, sys, tempfile
from pathlib import Path
from tests.casjobs import test_isolation as t
from tests.casjobs.worker_support import ALICE, BOB, LIMITS, bench, make_context, query, collect

async def main():
    home = Path(sys.argv[1])
    context = make_context(home, "Sky")
    async with bench(home, [context]) as pool:
        await pool.query("SELECT 'private' AS a INTO MyDB.private", BOB)
        made = (await pool.query("SELECT TOP 5 objID INTO MyDB.own FROM Sky.Stars; SELECT count(*) FROM own")).rows
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session, \\
                   pool.workers.session(ALICE, LIMITS, pool.contexts) as other:
            assert session.process.sessions == 1, "no second database can be opened"
            await collect(other, query("SELECT 1 AS a", output={"spool": True}))
            again = await collect(other, {"do": "convert", "spools": ["result-1.arrow"], "output": {"format": "csv"}})
            assert again.data == b"a\\n1\\n"
            names = {"OUTER": str(home), "BOBS": str(pool.workers.files.file(BOB, "MyDB")), "NEW": "/tmp/new",
                     "SESSIONS": str(home / "sessions"), "OWN": str(session.directory),
                     "CONTEXT": [str(context.catalog), str(context.data)]}
            code = "".join(f"{name} = {value!r}\\n" for name, value in names.items())
            files = await t.result(session, code + t.FILES)
            powers = await t.result(session, t.names_of_powers(session, other) + t.POWERS)
            print(json.dumps([pool.workers.protections(), made, files, powers]))

try:
    asyncio.run(main())
except RuntimeError as error:
    print(json.dumps(str(error)))
"""


def confined(home: Path, *, landlock: bool) -> Any:
    """A service that may not make mounts, on a kernel with or without Landlock."""
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in ((0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000))
    )

    def restrict() -> None:
        kernel.prctl(kernel.PR_CAPBSET_DROP, 21)  # CAP_SYS_ADMIN
        if not landlock:
            closing = seccomp.Filter.__new__(seccomp.Filter)
            closing.load(program)
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            closing.close()

    answer = subprocess.run(
        [sys.executable, "-c", CONFINED, str(home)],
        preexec_fn=restrict,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return json.loads(answer.stdout)


async def test_without_mounts_landlock_does_it(tmp_path: Path) -> None:
    protections, made, files, powers = await asyncio.to_thread(confined, tmp_path, landlock=True)
    assert protections["files"] == "landlock"
    assert not protections["uid"]
    assert made == [[5]]
    # Files are there, and closed. The directory of an open path may be named, and nothing more.
    assert not {name: answer for name, answer in files.items() if isinstance(answer, str) and "worked" in answer}
    assert not {name: answer for name, answer in powers.items() if isinstance(answer, str) and "worked" in answer}


async def test_without_either_the_service_does_not_start(tmp_path: Path) -> None:
    answer = await asyncio.to_thread(confined, tmp_path, landlock=False)
    assert isinstance(answer, str)
    assert "CAP_SYS_ADMIN" in answer
    assert "require_sandbox" in answer
