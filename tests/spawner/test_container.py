"""A container gets as few rights as work, and the site has the last word."""

import docker
import pytest

from sciserver_spawner.container import Limits, death_message, host_config

LIMITS = Limits(memory=2**31, cpus=1.5, pids=2048, shm_size="512M")


def build(limits=LIMITS, **extra):
    return host_config(limits=limits, network="net", binds={}, mounts=[], port_bindings={}, extra=extra)


def test_rights_are_dropped():
    config = build()
    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges"]
    # Neither granted nor, as a default of the engine, left to chance.
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode", "userns_mode"} & set(config)
    assert config["network_mode"] == "net"


def test_memory_processes_and_processors_are_limited():
    config = build()
    assert config["mem_limit"] == config["memswap_limit"] == 2**31
    assert config["pids_limit"] == 2048
    assert config["cpu_quota"] / config["cpu_period"] == 1.5
    assert config["shm_size"] == "512M"


def test_no_limit_is_no_limit():
    config = build(Limits(memory=None, cpus=None, pids=100, shm_size="64M"))
    assert not {"mem_limit", "memswap_limit", "cpu_quota"} & set(config)


def test_the_dead_are_reaped_and_kept_until_their_log_is_read():
    config = build()
    assert config["init"] is True
    assert config["auto_remove"] is False


def test_site_options_win():
    config = build(cap_drop=["NET_RAW"], pids_limit=10, runtime="nvidia")
    assert (config["cap_drop"], config["pids_limit"], config["runtime"]) == (["NET_RAW"], 10, "nvidia")


def test_the_limit_of_processors_follows_the_sites_period():
    config = build(cpu_period=50_000)
    assert (config["cpu_period"], config["cpu_quota"]) == (50_000, 75_000)


def test_docker_py_takes_every_argument():
    config = docker.APIClient(version="1.44").create_host_config(**build())
    assert config["CapDrop"] == ["ALL"]
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["Memory"] == config["MemorySwap"] == 2**31
    assert config["ShmSize"] == 2**29
    assert config["PidsLimit"] == 2048


def record(**state):
    return {"State": {"ExitCode": 1, "OOMKilled": False} | state}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (record(ExitCode=3), "exit code 3"),
        (record(ExitCode=137, OOMKilled=True), "more memory than it may use (1.5 GiB)"),
        (None, "removed while it was starting"),
    ],
)
def test_a_death_is_explained(state, said):
    assert said in death_message(state, 3 * 2**29)


def test_out_of_memory_without_a_limit_is_explained_too():
    assert "may use and was ended" in death_message(record(OOMKilled=True), None)
