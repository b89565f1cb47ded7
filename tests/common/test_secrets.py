"""Secrets are made once and read by nobody else."""

import os
import stat
import subprocess
import sys

import pytest

from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret


@pytest.fixture
def deployment(tmp_path):
    return Deployment.load(tmp_path)


def test_a_secret_is_long_and_stays_the_same(deployment):
    first = secret(deployment, "proxy")
    assert len(bytes.fromhex(first)) == 32
    assert secret(deployment, "proxy") == first


def test_secrets_differ_by_name_and_deployment(deployment, tmp_path):
    other = Deployment.load(tmp_path / "other")
    values = {secret(deployment, "proxy"), secret(deployment, "hub-cookie"), secret(other, "proxy")}
    assert len(values) == 3


def test_only_the_operators_account_reads_it(deployment):
    before = os.umask(0)
    try:
        secret(deployment, "proxy")
    finally:
        os.umask(before)
    assert stat.S_IMODE((deployment.secrets_dir / "proxy").stat().st_mode) == 0o600
    assert stat.S_IMODE(deployment.secrets_dir.stat().st_mode) == 0o700


def test_nothing_but_the_secret_is_left(deployment):
    secret(deployment, "proxy")
    assert [path.name for path in deployment.secrets_dir.iterdir()] == ["proxy"]


def test_what_the_operator_put_there_is_used(deployment):
    deployment.secrets_dir.mkdir()
    (deployment.secrets_dir / "proxy").write_text("chosen by hand\n")
    assert secret(deployment, "proxy") == "chosen by hand"


RACE = """
import sys
from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret
deployment = Deployment.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    print(secret(deployment, f"s{number}"))
"""


def test_processes_that_ask_at_once_get_the_same_value(deployment):
    # 200 names: at some of them they do meet.
    command = [sys.executable, "-c", RACE, str(deployment.home)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    values = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert values[0] == values[1] == values[2]
    assert len(set(values[0])) == 200
