"""Users' directories: made with the right owner, under names that lead nowhere else."""

import os
import stat
from pathlib import Path

import docker
import pytest

from sciserver_spawner import volumes
from sciserver_spawner.volumes import UserVolume, VolumeError, data_volumes, make, make_through_engine
from tests.fakes.engine import Boot

PERSISTENT = UserVolume("Storage", "ada", "persistent")


@pytest.fixture
def owners(monkeypatch):
    """Who was given which directory; the tests need not be root."""
    given = {}
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.update({Path(path): (user, group)}))
    return given


@pytest.fixture
def not_root(monkeypatch):
    """This process may not give directories away."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_volume_belongs_to_the_containers_account_and_is_closed_to_others(tmp_path, owners):
    assert make([PERSISTENT], tmp_path) == []
    path = tmp_path / "Storage" / "ada" / "persistent"
    assert owners == {path: (1000, 1000)}
    assert mode(path) == 0o700


def test_the_directories_above_stay_the_operators(tmp_path, owners):
    make([PERSISTENT], tmp_path)
    for parent in (tmp_path / "Storage", tmp_path / "Storage" / "ada"):
        # Whoever may write there could put a symbolic link in the place of the volume.
        assert parent not in owners
        assert parent.stat().st_uid == os.getuid()
        assert mode(parent) & 0o066 == 0


def test_the_umask_opens_nothing(tmp_path, owners):
    before = os.umask(0)
    try:
        make([PERSISTENT], tmp_path)
    finally:
        os.umask(before)
    assert mode(tmp_path / "Storage" / "ada" / "persistent") == 0o700
    assert mode(tmp_path / "Storage" / "ada") == 0o700


def test_an_existing_volume_is_left_alone(tmp_path, owners, monkeypatch):
    path = tmp_path / "Storage" / "ada" / "persistent"
    path.mkdir(parents=True)
    (path / "thesis.ipynb").write_text("{}")
    # The user opened it to others, as is their right.
    path.chmod(0o755)
    monkeypatch.setattr(volumes, "USER_ID", os.getuid())
    assert make([PERSISTENT], tmp_path) == []
    assert owners == {}
    assert mode(path) == 0o755
    assert (path / "thesis.ipynb").read_text() == "{}"


def test_a_volume_that_was_left_half_made_is_finished(tmp_path, owners, monkeypatch):
    path = tmp_path / "Storage" / "ada" / "persistent"
    path.mkdir(parents=True)
    monkeypatch.setattr(volumes, "USER_ID", os.getuid() + 1)
    make([PERSISTENT], tmp_path)
    assert list(owners) == [path]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../bob",
        "a/b",
        "/",
        "/etc",
        "a..b",
        "-rf",
        ".ssh",
        "a\n",
        "\n",
        "a b",
        "a\0b",
        "ада",
        "\uff41",
        "x" * 64,
    ],
)
@pytest.mark.parametrize("place", ["root", "owner", "name"])
def test_a_name_that_leads_elsewhere_is_refused(name, place):
    with pytest.raises(VolumeError, match="cannot be the name of a directory"):
        UserVolume(**{"root": "Storage", "owner": "ada", "name": "persistent", place: name})


@pytest.mark.parametrize("name", ["ada", "Ada.Lovelace", "ada@example.org", "a-b_c+d", "0", "x" * 63])
def test_usual_user_names_are_directories(name, tmp_path):
    assert UserVolume("Storage", name, "x").host_path(tmp_path) == tmp_path / "Storage" / name / "x"


def test_scidrive_is_a_directory_with_the_users_name(tmp_path, owners):
    drive = UserVolume("SciDrive", "ada")
    assert make([drive], tmp_path) == []
    assert owners == {tmp_path / "SciDrive" / "ada": (1000, 1000)}
    assert (tmp_path / "SciDrive").stat().st_uid == os.getuid()
    assert mode(tmp_path / "SciDrive") == 0o700
    assert drive.mount_point == "/home/idies/workspace/SciDrive/ada"


def test_a_volume_is_mounted_where_the_platform_promises():
    assert PERSISTENT.mount_point == "/home/idies/workspace/Storage/ada/persistent"


def test_a_file_in_the_way_is_explained(tmp_path, owners):
    (tmp_path / "Storage").write_text("")
    with pytest.raises(VolumeError, match=r"Storage/ada/persistent cannot be made \(.+\)\. Tell the operator"):
        make([PERSISTENT], tmp_path)


def test_without_the_right_to_give_away_the_rest_is_left_to_the_engine(tmp_path, not_root):
    scratch = UserVolume("Temporary", "ada", "scratch")
    assert make([PERSISTENT, scratch], tmp_path) == [PERSISTENT, scratch]


def test_the_engine_makes_volumes_with_as_few_rights_as_work(tmp_path, fake):
    client = docker.APIClient(fake.url, version="1.44")
    make_through_engine(client, "site/image:1", [PERSISTENT], tmp_path)
    assert (tmp_path / "Storage" / "ada" / "persistent").is_dir()
    (create,) = fake.asked("create")
    assert create.body["User"] == "0:0"
    assert create.body["Entrypoint"] == ["install", "-d", "-m", "0700", "-o", "1000", "-g", "1000", "--"]
    host = create.body["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert fake.containers == {}


def test_volumes_that_the_engine_cannot_make_are_explained_and_nothing_is_left(tmp_path, fake):
    fake.boot = Boot(dies=1, log=("install: cannot create directory: Read-only file system",))
    client = docker.APIClient(fake.url, version="1.44")
    with pytest.raises(VolumeError, match="Read-only file system"):
        make_through_engine(client, "site/image:1", [PERSISTENT], tmp_path)
    assert fake.containers == {}


def test_data_volumes_are_the_directories_with_proper_names(tmp_path):
    for name in ("SDSS", "Gaia-DR3", ".hidden", "Storage", "Temporary", "with space"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.txt").write_text("")
    assert data_volumes(tmp_path, {"Storage", "Temporary"}) == {
        str(tmp_path / "Gaia-DR3"): "/home/idies/workspace/Gaia-DR3",
        str(tmp_path / "SDSS"): "/home/idies/workspace/SDSS",
    }


def test_without_a_data_directory_there_are_no_data_volumes(tmp_path):
    assert data_volumes(tmp_path / "none", set()) == {}
