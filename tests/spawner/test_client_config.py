"""The files that client libraries find in a container."""

import io
import json
import tarfile

from sciserver_spawner.client_config import archive

SETTINGS = {"AuthenticationURL": "http://portal/keystone/v3/tokens"}


def members():
    with tarfile.open(fileobj=io.BytesIO(archive("s3cret", SETTINGS))) as tar:
        return {
            member.name: (member, tar.extractfile(member).read() if member.isfile() else None)
            for member in tar.getmembers()
        }


def test_the_token_belongs_to_the_account_and_nobody_else_reads_it():
    member, content = members()["home/idies/keystone.token"]
    # Exactly the token: clients of the original platform send the file's content as it is.
    assert content == b"s3cret"
    assert (member.uid, member.gid, member.mode) == (1000, 1000, 0o600)


def test_everybody_reads_the_client_settings_and_only_root_writes_them():
    member, content = members()["etc/sciserver/sciscript.json"]
    assert json.loads(content) == SETTINGS
    assert (member.uid, member.gid, member.mode) == (0, 0, 0o644)


def test_the_directory_of_the_settings_can_be_entered():
    found = members()
    directory, _ = found["etc/sciserver"]
    assert directory.isdir()
    assert (directory.uid, directory.mode) == (0, 0o755)
    # The engine unpacks in order.
    assert list(found).index("etc/sciserver") < list(found).index("etc/sciserver/sciscript.json")


def test_the_home_directory_is_left_as_the_image_made_it():
    # A member for it would change its owner and mode.
    assert not {"home", "home/idies"} & set(members())
