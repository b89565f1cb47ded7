"""What a container prepares so that a door leads it out of its volume: no door follows."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import docker
import pytest
import requests

from tests.integration.scidrive_support import Doors, Inside
from tests.support import Person, Platform

pytestmark = pytest.mark.docker

PLACE = "Storage/sybil/persistent"
SECRET = "the secret of victor, 4711"


@pytest.fixture(scope="module")
def sybil(platform: Platform) -> Iterator[Person]:
    person = platform.add_user("sybil")
    person.sign_in()
    yield person
    if platform.answers() and person.model().get("servers"):
        person.stop()


@pytest.fixture(scope="module")
def victim(platform: Platform) -> Doors:
    """Somebody else, with a file that is theirs."""
    person = platform.add_user("victor")
    person.sign_in()
    doors = Doors(platform, person)
    assert doors.rest("PUT", "file/Storage/victor/persistent/diary.txt", data=SECRET.encode()).ok
    assert doors.rest("PUT", "file/SciDrive/victor/diary.txt", data=SECRET.encode()).ok
    return doors


@pytest.fixture(scope="module")
def doors(platform: Platform, sybil: Person) -> Doors:
    return Doors(platform, sybil)


@pytest.fixture(scope="module")
def inside(platform: Platform, sybil: Person, engine: docker.DockerClient) -> Inside:
    sybil.start(image="base")
    return Inside(platform, engine, "sybil")


@pytest.fixture
def targets(platform: Platform) -> dict[str, str]:
    """Where links lead, by their names: files, and folders that have them. Sybil knows the whole machine."""
    home = platform.deployment.home
    up = "../" * 20
    return {
        "passwd": "/etc/passwd",
        "passwd-relative": f"{up}etc/passwd",
        "other": "../../../victor/persistent/diary.txt",
        "other-drive": "../../../../SciDrive/victor/diary.txt",
        "other-absolute": f"{home}/volumes/Storage/victor/persistent/diary.txt",
        "other-through-own": "../../persistent/../../victor/persistent/diary.txt",
        "key": f"{home}/secrets/hub-cookie",
        "database": f"{home}/hub/jupyterhub.sqlite",
        "environ": "/proc/self/environ",
        "magic-root": "/proc/self/root/etc/passwd",
        "magic-cwd": "/proc/self/cwd/hub/jupyterhub.sqlite",
        "descriptor": "/proc/self/fd/3",
        "zero": "/dev/zero",
        "twice": "passwd",
        "folder-root": "/",
        "folder-etc": "/etc",
        "folder-up": "../..",
        "folder-far": f"{up}.",
        "folder-other": "../../../victor/persistent",
        "folder-magic": "/proc/self/root",
        "folder-descriptors": "/proc/self/fd",
        "loop": "loop",
    }


BELOW = ["passwd", "etc/passwd", "diary.txt", "persistent/diary.txt", "victor/persistent/diary.txt", "0", "3"]
"""What is looked for below a link to a folder."""


def is_outside(answer: requests.Response) -> bool:
    """Whether an answer has something in it that is not sybil's."""
    return any(text in answer.content for text in (b"root:x:0", SECRET.encode(), b"SQLite format", b"SCISERVER_"))


def everything_of_victim(platform: Platform) -> dict[str, bytes]:
    """All files of the victim, as they are on the disk."""
    found = {}
    for root in ("Storage/victor", "Temporary/victor", "SciDrive/victor"):
        for path in (platform.deployment.volumes_dir / root).rglob("*"):
            found[str(path)] = path.read_bytes() if path.is_file() else b""
    return found


@pytest.fixture(autouse=True)
def nothing_of_others_changes(platform: Platform, victim: Doors) -> Iterator[None]:
    before = everything_of_victim(platform)
    assert any(content == SECRET.encode() for content in before.values())
    passwd = Path("/etc/passwd").read_bytes()
    yield
    assert everything_of_victim(platform) == before
    assert Path("/etc/passwd").read_bytes() == passwd


@pytest.fixture
def folder(inside: Inside, request: pytest.FixtureRequest) -> str:
    """An empty folder of sybil's for one test."""
    name = f"{PLACE}/{request.node.name.split('[')[0]}"
    inside.run("rm", "-rf", name)
    inside.run("mkdir", "-p", name)
    return name


LINKS = """
import os, shutil, sys
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
for name, target in eval(sys.argv[2]).items():
    if os.path.lexists(name):
        shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.remove(name)
    os.symlink(target, name)
"""


def make_links(inside: Inside, folder: str, targets: dict[str, str]) -> None:
    inside.python(LINKS, folder, repr(targets))


def test_links_out_of_the_volume_are_not_read(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str]
) -> None:
    make_links(inside, folder, targets)
    for name in targets:
        for path in [name, *(f"{name}/{below}" for below in BELOW)]:
            for answer in doors.get(folder, path):
                assert answer.status_code in {403, 404, 409}, (path, answer.status_code)
                assert not is_outside(answer), path
                assert "/home/" not in answer.text, answer.text  # nor a path of the machine
        for answer in (
            doors.rest("GET", f"jsontree/{folder}/{name}?level=3"),
            doors.rest("GET", f"file/{folder}/{name}?format=zip"),
            doors.dav("PROPFIND", f"{folder}/{name}/", headers={"Depth": "1"}),
        ):
            assert answer.status_code in {403, 404, 409}, (name, answer.status_code)


def test_links_in_a_tree_are_not_followed_by_what_walks_it(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str]
) -> None:
    make_links(inside, folder, targets)
    inside.sh(f"echo fine > {folder}/own.txt")
    tree = doors.rest("GET", f"jsontree/{folder}?level=10")
    assert not is_outside(tree)
    assert "diary.txt" not in tree.text
    archive = zipfile.ZipFile(io.BytesIO(doors.rest("GET", f"file/{folder}?format=zip").content))
    assert [name for name in archive.namelist() if not name.endswith("/")] == ["own.txt"]
    found = doors.ask("GET", f"/api/search?path={quote(folder)}&pattern=*diary*").json()
    assert found["entries"] == []
    listed = doors.dav("PROPFIND", f"{folder}/", headers={"Depth": "infinity"})
    assert "diary" not in listed.text
    link = doors.ask("POST", "/api/links", json={"path": folder, "seconds": 600}).json()["url"]
    for name in targets:
        for below in ["", *(f"/{name}" for name in BELOW)]:
            answer = requests.get(f"{link}/{name}{below}", timeout=30)
            assert answer.status_code in {403, 404, 409}
            assert not is_outside(answer)


@pytest.mark.parametrize("door", ["rest", "dav"])
def test_copies_of_a_tree_have_nothing_of_others(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str], door: str
) -> None:
    make_links(inside, folder, targets)
    inside.sh(f"echo fine > {folder}/own.txt; rm -rf {PLACE}/copy")
    if door == "rest":
        body = {
            "destinationRootVolume": "Storage",
            "destinationOwnerName": "sybil",
            "destinationUserVolume": "persistent",
            "destinationPath": "copy",
        }
        answer = doors.rest("PUT", f"data/{folder}?doCopy=True", json=body)
    else:
        headers = {"Destination": f"{doors.url}/dav/{PLACE}/copy/"}
        answer = doors.dav("COPY", f"{folder}/", headers=headers)
    assert answer.status_code < 500, answer.text
    copied = inside.sh(f"find {PLACE}/copy -type f -print0 | xargs -0 -r cat", check=False)
    assert SECRET not in copied
    assert "root:x:0" not in copied


def test_nothing_is_written_or_removed_through_links(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str]
) -> None:
    make_links(inside, folder, targets)
    for name in targets:
        for path in (f"{folder}/{name}/planted.txt", f"{folder}/{name}/diary.txt", f"{folder}/{name}/new/planted.txt"):
            assert not doors.rest("PUT", f"file/{path}", data=b"planted").ok, path
            assert not doors.dav("PUT", path, data=b"planted").ok, path
            assert not doors.rest("DELETE", f"data/{path}?quiet=False").ok, path
            assert not doors.dav("DELETE", path).ok, path
        assert not doors.rest("PUT", f"folder/{folder}/{name}/planted").ok
        assert not doors.dav("MKCOL", f"{folder}/{name}/planted/").ok
    assert set(inside.sh(f"ls -A {folder}").split()) == set(targets)
    assert not list(Path("/").glob("planted*"))
    assert not list(Path("/etc").glob("planted*"))


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("door", ["rest", "dav"])
def test_a_link_itself_may_be_replaced_and_removed(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str], door: str, method: str
) -> None:
    # It is sybil's own; what it leads to stays as it is.
    make_links(inside, folder, targets)
    for name in targets:
        data = b"planted" if method == "PUT" else None
        if door == "dav":
            answer = doors.dav(method, f"{folder}/{name}", data=data)
        else:
            kind = "file" if method == "PUT" else "data"
            answer = doors.rest(method, f"{kind}/{folder}/{name}", data=data)
        assert answer.status_code < 500, (name, answer.text)
    assert not list(Path("/").glob("planted*"))


def test_a_tree_with_links_is_removed_and_what_they_lead_to_is_not(
    inside: Inside, doors: Doors, folder: str, targets: dict[str, str]
) -> None:
    make_links(inside, folder, targets)
    assert doors.rest("DELETE", f"data/{folder}").ok
    assert inside.sh(f"ls -A {folder}", check=False).startswith("ls: cannot access")


def test_links_inside_the_volume_work(inside: Inside, doors: Doors, folder: str) -> None:
    inside.sh(
        f"cd {folder} && mkdir real && echo own > real/file.txt && ln -s real/file.txt link && ln -s real linked"
    )
    for path in ("link", "linked/file.txt"):
        assert [(answer.status_code, answer.text) for answer in doors.get(folder, path)] == [(200, "own\n")] * 2


# -- what is no file


SPECIAL = """
import os, socket, stat, sys
os.chdir(sys.argv[1])
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
devices = [("memory", stat.S_IFCHR, (1, 1)), ("zero", stat.S_IFCHR, (1, 5)), ("disk", stat.S_IFBLK, (8, 0))]
for name, kind, device in devices:
    try:
        os.mknod(name, 0o666 | kind, os.makedev(*device))
    except PermissionError:
        print("denied", end=" ")
"""


def test_pipes_sockets_and_devices_are_never_opened(inside: Inside, doors: Doors, folder: str) -> None:
    assert inside.python(SPECIAL, folder).split() == ["denied"] * 3
    for name in ("pipe", "socket"):
        begin = time.monotonic()
        for answer in doors.get(folder, name):
            assert answer.status_code in {403, 404}, (name, answer.status_code)
        for answer in (
            doors.rest("PUT", f"file/{folder}/{name}/x", data=b"x"),
            doors.dav("PROPFIND", f"{folder}/{name}"),
        ):
            assert answer.status_code < 500
        assert time.monotonic() - begin < 10
    # They may be replaced by a file and removed; nobody waits for the other end of a pipe.
    assert doors.rest("PUT", f"file/{folder}/pipe", data=b"a file now").status_code in {200, 403, 409}
    archive = doors.rest("GET", f"file/{folder}?format=zip")
    assert archive.status_code == 200
    assert doors.rest("DELETE", f"data/{folder}").ok


def test_hard_links_show_only_what_a_container_may_read_itself(
    inside: Inside, doors: Doors, folder: str, platform: Platform
) -> None:
    # To another volume it is another mount; to what is not its own, the kernel refuses.
    for source in ("Temporary/sybil/scratch/x", "/etc/passwd", "SciDrive/sybil/x"):
        inside.sh(f"touch {source}", check=False)
        told = inside.sh(f"ln {source} {folder}/hard", check=False)
        assert "cross-device" in told or "not permitted" in told, told
    inside.sh(f"echo own > {folder}/one && ln {folder}/one {folder}/two")
    assert [answer.text for answer in doors.get(folder, "two")] == ["own\n"] * 2
    # Whoever writes one of them over a door leaves the other as it was.
    assert doors.rest("PUT", f"file/{folder}/two", data=b"new").ok
    assert inside.sh(f"cat {folder}/one {folder}/two") == "own\nnew"


def test_files_that_the_container_closed_to_itself_are_no_error_of_the_service(
    inside: Inside, doors: Doors, folder: str
) -> None:
    inside.sh(f"cd {folder} && echo x > closed && chmod 000 closed && mkdir shut && echo x > shut/x && chmod 000 shut")
    for path in ("closed", "shut/x"):
        for answer in doors.get(folder, path):
            assert answer.status_code in {403, 404}, (path, answer.status_code)
    assert doors.rest("GET", f"jsontree/{folder}?level=4").status_code in {200, 403}
    assert doors.dav("PROPFIND", f"{folder}/", headers={"Depth": "infinity"}).status_code < 500
    inside.sh(f"chmod -R 700 {folder}")


def test_setuid_and_owners_are_not_taken_over(inside: Inside, doors: Doors, folder: str, platform: Platform) -> None:
    inside.sh(f"cp /bin/sh {folder}/shell && chmod 4777 {folder}/shell")
    body = {
        "destinationRootVolume": "SciDrive",
        "destinationOwnerName": "sybil",
        "destinationUserVolume": "shell",
        "destinationPath": "",
    }
    assert doors.rest("PUT", f"data/{folder}/shell?doCopy=True&replaceExisting=True", json=body).ok
    status = (platform.deployment.volumes_dir / "SciDrive" / "sybil" / "shell").stat()
    assert status.st_mode & 0o6000 == 0
    assert status.st_uid == 1000


# -- names


NAMES = """
import os, sys
os.chdir(sys.argv[1])
for name in eval(sys.argv[2]):
    with open(name, "w") as file:
        file.write("of " + repr(name))
"""

ODD: list[bytes] = [
    b"new\nline",
    b"\xff\xfe not utf-8 \x80",
    b"e\xcc\x81 decomposed",
    b"\xc3\xa9 composed",
    b"a" * 255,
    b"%2e%2e%2fpercent",
    b"..%2f..%2f",
    b"tab\tand\x7f\x01",
    b"question?hash#amp&semicolon;",
    b" blanks ",
    b"...",
    b"-rf",
    b"<script>alert(1)<script>",
    b"]]>&amp;\x1b[31m",
    "right \u202e to left".encode(),
    b"C:\\windows\\path",
    b"\xed\xa0\x80 half a surrogate",
]


def test_odd_names_are_listed_read_and_removed(inside: Inside, doors: Doors, folder: str) -> None:
    inside.python(NAMES, folder, repr(ODD))
    listed = doors.rest("GET", f"jsontree/{folder}").json()["root"]["files"]
    assert sorted(entry["name"].encode(errors="surrogateescape") for entry in listed) == sorted(ODD)
    propfind = doors.dav("PROPFIND", f"{folder}/", headers={"Depth": "1"})
    assert propfind.status_code == 207
    assert propfind.text.count("<") > 20
    for name in ODD:
        want = f"of {name!r}"
        for answer in doors.get(folder, name):
            assert (answer.status_code, answer.text) == (200, want), name
            assert "\n" not in answer.headers.get("Content-Disposition", "")
        assert quote(name) in propfind.text
    for number, name in enumerate(ODD):
        path = f"{folder}/{quote(name)}"
        answer = doors.rest("DELETE", f"data/{path}?quiet=False") if number % 2 else doors.dav("DELETE", path)
        assert answer.ok, (name, answer.text)
    assert inside.sh(f"ls -A {folder}") == ""


@pytest.mark.parametrize(
    "path",
    [
        "../../victor/persistent/diary.txt",
        "%2e%2e/%2e%2e/victor/persistent/diary.txt",
        "..%2f..%2fvictor%2fpersistent%2fdiary.txt",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%252e%252e/%252e%252e/victor/persistent/diary.txt",
        "a/../../../victor/persistent/diary.txt",
        "..%00/diary.txt",
        "%c0%ae%c0%ae/%c0%ae%c0%ae/victor/persistent/diary.txt",
    ],
)
def test_no_spelling_of_an_address_leads_out(doors: Doors, path: str) -> None:
    for prefix in (f"/fileservice/api/file/{PLACE}", f"/dav/{PLACE}", "/vospace-2.0/1/files/sandbox", "/dav/SciDrive"):
        request = requests.Request("GET", "http://host/", headers={"X-Auth-Token": doors.token}).prepare()
        # Not through requests' own tidying of addresses.
        request.url = f"{doors.url}{prefix}/{path}"
        answer = requests.Session().send(request, timeout=30, allow_redirects=False)
        assert answer.status_code in {400, 403, 404}, (prefix, answer.status_code)
        assert not is_outside(answer)


# -- races

SWAP = """
import ctypes, os, sys, time
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("swap", exist_ok=True)
open("swap/diary.txt", "w").write("of sybil")
open("swap/passwd", "w").write("of sybil")
for name, target in (("out", sys.argv[2]),):
    if not os.path.lexists(name):
        os.symlink(target, name)
AT_FDCWD, EXCHANGE = -100, 2
end = time.monotonic() + float(sys.argv[3])
count = 0
while time.monotonic() < end:
    assert libc.renameat2(AT_FDCWD, b"swap", AT_FDCWD, b"out", EXCHANGE) == 0, os.strerror(ctypes.get_errno())
    count += 1
open("count", "w").write(str(count))
"""

SECONDS = 6.0


@pytest.mark.parametrize("target", ["../../../victor/persistent", "/etc"], ids=["other", "etc"])
def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    inside: Inside, doors: Doors, folder: str, target: str, platform: Platform
) -> None:
    inside.start(SWAP, folder, target, str(SECONDS))
    end = time.monotonic() + SECONDS - 1
    codes: dict[str, set[int]] = {}
    strange: list[object] = []

    def again(what: str, ask: Callable[[int], requests.Response]) -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            try:
                answer = ask(number)
            except requests.RequestException as error:
                strange.append((what, error))
                return
            codes.setdefault(what, set()).add(answer.status_code)
            if is_outside(answer) or answer.status_code >= 500:
                strange.append((what, answer.status_code, answer.text[:200]))

    work: dict[str, Callable[[int], requests.Response]] = {
        "read": lambda _: doors.rest("GET", f"file/{folder}/swap/diary.txt"),
        "read passwd": lambda _: doors.dav("GET", f"{folder}/swap/passwd"),
        "list": lambda _: doors.rest("GET", f"jsontree/{folder}?level=4"),
        "archive": lambda _: doors.rest("GET", f"file/{folder}?format=zip"),
        "write": lambda number: doors.rest("PUT", f"file/{folder}/swap/planted-{number}.txt", data=b"planted"),
        "write by dav": lambda number: doors.dav("PUT", f"{folder}/swap/planted-dav-{number}.txt", data=b"planted"),
        "make folder": lambda number: doors.rest("PUT", f"folder/{folder}/swap/planted-{number}"),
        "remove": lambda number: doors.rest("DELETE", f"data/{folder}/swap/planted-{number}.txt?quiet=True"),
    }
    threads = [threading.Thread(target=again, args=item) for item in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert strange == []
    # The race was on: the folder was seen both ways.
    assert 200 in codes["read"]
    assert len(codes["read"]) > 1, codes
    time.sleep(2)
    assert int(inside.run("cat", f"{folder}/count")) > 1000
    assert not list(Path("/etc").glob("planted*"))


def test_removing_a_tree_while_its_folders_become_links_removes_nothing_else(
    inside: Inside, doors: Doors, folder: str
) -> None:
    for _ in range(5):
        inside.run("mkdir", "-p", folder)
        inside.start(
            SWAP.replace("assert libc", "libc").replace("== 0, os.strerror(ctypes.get_errno())", ""),
            folder,
            "../../../victor/persistent",
            "1.5",
        )
        time.sleep(0.5)
        for _ in range(5):
            doors.rest("DELETE", f"data/{folder}?quiet=True")
            doors.dav("DELETE", f"{folder}/")
        time.sleep(1)
        inside.sh(f"rm -rf {folder}", check=False)
