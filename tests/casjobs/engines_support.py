"""A real PostgreSQL with q3c, whose processes a test may stop and kill."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from tests.support import free_port

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
OWNER = "owner"
READER = "reader"
PASSWORD = "not-a/secret @ all"  # needs quoting in a URL


SCHEMA = f"""
CREATE TABLE stars (
    id bigint PRIMARY KEY, ra double precision, dec double precision, mag real, flux numeric(18,4), name text,
    seen timestamp
);
INSERT INTO stars
SELECT g, (g * 0.7) % 360, (g * 0.3) % 180 - 90, g % 25, g / 3.0, 'Star ' || g,
       timestamp '2020-01-01' + g * interval '1 s'
FROM generate_series(1, 100000) g;
CREATE INDEX ON stars (q3c_ang2ipix(ra, dec));
ANALYZE stars;
COMMENT ON TABLE stars IS 'Stars of a test';
COMMENT ON COLUMN stars.ra IS '{{"unit": "deg", "ucd": "pos.eq.ra;meta.main", "description": "Right ascension"}}';
COMMENT ON COLUMN stars.mag IS 'Magnitude';
CREATE VIEW bright AS SELECT id, ra, dec, mag FROM stars WHERE mag < 5;
CREATE TABLE hidden (secret text);
CREATE SCHEMA extra;
CREATE TABLE extra.notes (id bigint, note varchar(20));
CREATE FUNCTION luminosity(mag double precision) RETURNS double precision LANGUAGE sql
AS 'SELECT power(10, -0.4 * mag)';
COMMENT ON FUNCTION luminosity IS 'Of a magnitude.';
CREATE FUNCTION near(ra double precision, radius double precision) RETURNS TABLE (id bigint, distance double precision)
LANGUAGE sql AS 'SELECT id, abs(stars.ra - near.ra) FROM stars WHERE abs(stars.ra - near.ra) < radius';
GRANT USAGE ON SCHEMA extra TO {READER};
GRANT SELECT ON stars, bright, extra.notes TO {READER};
GRANT INSERT, UPDATE, DELETE ON stars TO {READER};
"""  # noqa: S608 - our own texts


def _is_alive(pid: int) -> bool:
    try:
        # A zombie may stay: nobody but process 1 can reap it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class PostgreSQL:
    """A cluster of its own in a temporary directory, run by an account without privileges.

    The account `READER` signs in with `PASSWORD`; `OWNER` may do everything, by the socket only.
    """

    def __init__(self) -> None:
        # Not below pytest's directory, which other accounts cannot enter.
        self.home = Path(tempfile.mkdtemp(prefix="casjobs-pg-"))
        if os.getuid() == 0:
            shutil.chown(self.home, "nobody", "nogroup")
        self.port = free_port()
        self._run("initdb", "-D", f"{self.home}/data", "-U", OWNER, "--auth=trust", "--no-sync", "--encoding=UTF8")
        (self.home / "data/pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.start()
        self._run("createdb", "-h", str(self.home), "-p", str(self.port), "-U", OWNER, "science")
        self.sql(f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'; CREATE EXTENSION q3c;" + SCHEMA)

    @property
    def url(self) -> str:
        """As an operator writes it for `sciserver context add`."""
        return f"postgresql://{READER}@127.0.0.1:{self.port}/science"

    def empty_database(self) -> str:
        """URL of a new database for its owner."""
        name = f"d{uuid.uuid4().hex}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://{OWNER}@/{name}?host={self.home}&port={self.port}"

    def sql(self, text: str) -> str:
        """Run statements as the owner; returns what psql prints, without headings."""
        return self._run(
            "psql", "-h", str(self.home), "-p", str(self.port), "-U", OWNER, "-v", "ON_ERROR_STOP=1", "-qAtc", text,
            "science",
        )  # fmt: skip

    def start(self) -> None:
        """Also after `kill`."""
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", f"{self.home}/data", "-o", options, "-l", f"{self.home}/log", "-w", "start")

    def kill(self) -> None:
        """SIGKILL to all processes; returns when they are gone."""
        pids = self._signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_is_alive(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # They name a process of which a zombie may stay.
        for left in (self.home / "data/postmaster.pid", *self.home.glob(".s.PGSQL.*")):
            left.unlink()

    def pause(self) -> None:
        """SIGSTOP to all processes: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The opposite of `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[int]:
        postmaster = int((self.home / "data/postmaster.pid").read_text().split()[0])
        # Stopped first: no child starts between the list and the signals.
        os.kill(postmaster, signal.SIGSTOP)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = [*map(int, children), postmaster]
        for pid in pids:
            # A backend may end by itself meanwhile, of a connection that was just closed.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def remove(self) -> None:
        """Stop it and remove its files."""
        try:
            self._run("pg_ctl", "-D", f"{self.home}/data", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> str:
        # PostgreSQL refuses to run as root, which is what containers of a CI often are.
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run(
            [str(BINARIES / program), *arguments],
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            timeout=60,
            env={"LC_ALL": "C"},
            cwd="/",
            **user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{program}: {(done.stderr or b'').decode()}"
        return (done.stdout or b"").decode().strip()


@functools.cache
def shared_server() -> PostgreSQL:
    """One for all tests: it takes seconds to make."""
    server = PostgreSQL()
    atexit.register(server.remove)
    return server
