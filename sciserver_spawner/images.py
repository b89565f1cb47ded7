"""The container images of this distribution: which there are, and how an engine gets them.

A tag names content: ``sciserver/<name>:<hash>``, where the hash covers every file of ``images/<name>``, the sources of
our own packages that the image installs, and the tag of the image it is built on. Whoever has the checkout knows the
tag without asking an engine, an unchanged image is never built twice, and containers of an older build keep the image
they were started from.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from sciserver_common.deployment import SOURCE
from sciserver_spawner import build_context

DIRECTORY = SOURCE / "images"
"""One directory per image, named as the image."""

BASE = "debian:bookworm"
"""What everything is built on: Debian's own image, or the same made with debootstrap where no registry answers."""

DEBIAN_MIRROR = "http://deb.debian.org/debian"
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_SUITE = BASE.partition(":")[2]
_LAST_LINES = 20
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE")
_CA_DEFAULT = "/etc/ssl/certs/ca-certificates.crt"
# What a build may need to know of this machine's network; the engine keeps the proxies' values out of the image.
_BUILD_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"),
)

Progress = Callable[[str], None]


class ImageError(Exception):
    """An image's description cannot be used; the text says which and why."""


class ImageBuildError(Exception):
    """An image could not be built; the text has the engine's last words and what to do."""


@dataclass(frozen=True)
class Image:
    """One entry of the catalogue: what the user reads in the menu, and what the image is made of.

    Parameters
    ----------
    name
        Name of its directory, and of the image after ``sciserver/``.
    title, description
        What the menu shows.
    default
        Whether the menu proposes this one.
    directory
        The build's context.
    parent
        The image that this one is built on, or None when that is `BASE`.
    order
        Place in the menu, small first.
    command
        What starts the server; empty for the spawner's own `cmd`.
    packages
        Directories of the checkout with our own packages that the image installs.
    stages
        Stages of the parent's Dockerfile that this one is put together from, instead of from the finished parent.
        Its own steps can so come before those of the parent that change more often. The Dockerfile gets them as
        arguments, with their names in capitals.
    """

    name: str
    title: str
    description: str
    default: bool
    directory: Path
    parent: Image | None
    order: int = 100
    command: tuple[str, ...] = ()
    packages: tuple[Path, ...] = ()
    stages: tuple[str, ...] = ()

    @functools.cached_property
    def tag(self) -> str:
        """``sciserver/<name>:<hash>``; the hash changes with any file of `sources`, and with the parent's."""
        return f"sciserver/{self.name}:{build_context.digest(self.parent_tag, self.sources())}"

    def sources(self) -> Iterator[build_context.Source]:
        """The files it is built from."""
        return build_context.sources(self.directory, self.packages, self.directory.parents[1])

    @property
    def parent_tag(self) -> str:
        """What the build starts from."""
        return self.parent.tag if self.parent else BASE


def catalogue(directory: Path = DIRECTORY) -> list[Image]:
    """The images of the checkout, in the order of the menu.

    Raises
    ------
    ImageError
        An ``image.json`` is damaged, or names a parent or a package that does not exist.
    """
    entries = {file.parent.name: _read_entry(file) for file in sorted(directory.glob("*/image.json"))}
    images: dict[str, Image] = {}

    def load(name: str, children: tuple[str, ...] = ()) -> Image:
        if name in children:
            raise ImageError(f"{' → '.join((*children, name))}: an image cannot be built on itself.")
        if name not in entries:
            raise ImageError(f"images/{children[-1]}/image.json: there is no image {name!r} to build on.")
        if name not in images:
            entry = entries[name]
            images[name] = Image(
                name=name,
                title=entry["title"],
                description=entry["description"],
                default=entry.get("default", False),
                directory=directory / name,
                parent=load(entry["parent"], (*children, name)) if "parent" in entry else None,
                order=entry.get("order", 100),
                command=tuple(entry.get("command", ())),
                packages=tuple(_package(name, path, directory.parent) for path in entry.get("packages", ())),
                stages=tuple(entry.get("stages", ())),
            )
        return images[name]

    return sorted((load(name) for name in entries), key=lambda image: (image.order, image.name))


def find(name: str) -> Image:
    """The image of that name.

    Raises
    ------
    ImageError
        There is none; the text lists those there are.
    """
    images = {image.name: image for image in catalogue()}
    if name not in images:
        raise ImageError(f"There is no image {name!r}. There are: {', '.join(images)}.")
    return images[name]


def is_built(client: docker.DockerClient, image: Image) -> bool:
    """Whether the engine has the image as the checkout describes it now."""
    return _exists(client, image.tag)


def build(
    client: docker.DockerClient, image: Image, *, progress: Progress = print, ca_bundle: Path | None = None
) -> None:
    """Make sure that the engine has the image, building it and those below it where they are missing.

    An interrupted build leaves finished steps in the engine's cache, and the next call continues there. Of two calls
    at the same time, the second waits and then finds the image.

    Parameters
    ----------
    client
        The engine.
    progress
        Called with each line of what goes on.
    ca_bundle
        Certificate authorities to trust while packages are downloaded; `host_ca_bundle` by default. They do not
        enter the image.

    Raises
    ------
    ImageBuildError
        The engine could not build it.
    """
    if is_built(client, image):
        return
    if image.parent:
        build(client, image.parent, progress=progress, ca_bundle=ca_bundle)
    else:
        ensure_base(client, progress)
    with _lock(image.tag, progress):
        if is_built(client, image):
            return
        progress(f"Building {image.tag} ({image.title})")
        authorities = ca_bundle or host_ca_bundle()
        parents = {"PARENT": image.parent_tag}
        if image.parent and image.stages:
            # They are in the engine's cache since the parent was built.
            parents = {
                stage.upper(): _run_build(client, image.parent, authorities, lambda _: None, target=stage)
                for stage in image.stages
            }
        _run_build(client, image, authorities, progress, parents, tag=image.tag)
        progress(f"Built {image.tag}")


def ensure_base(client: docker.DockerClient, progress: Progress = print) -> None:
    """Make `BASE` available: as it is, else pulled, else made from Debian's packages.

    Raises
    ------
    ImageBuildError
        None of these is possible here; the text says what to install.
    """
    if _exists(client, BASE):
        return
    with _lock(BASE, progress):
        if _exists(client, BASE):
            return
        progress(f"Pulling {BASE}")
        try:
            client.images.pull(*BASE.split(":"))
        except (docker.errors.APIError, OSError) as error:
            progress(f"No registry gives {BASE} ({error}): making it from Debian's packages instead.")
            _bootstrap(client, progress)


def host_ca_bundle() -> Path | None:
    """The certificate authorities that this machine trusts, where they are known.

    A network that re-signs TLS has an authority of its own, which a build must trust as the machine does.
    """
    candidates = [os.environ.get(variable) for variable in _CA_VARIABLES]
    for candidate in (*candidates, _CA_DEFAULT):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def _read_entry(file: Path) -> dict[str, Any]:
    try:
        entry = json.loads(file.read_text())
        missing = {"title", "description"} - entry.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(f"{file} cannot be read: {error}") from error
    if missing:
        raise ImageError(f"{file} has no {' and no '.join(sorted(missing))}.")
    return entry


def _package(image: str, path: str, checkout: Path) -> Path:
    package = checkout / path
    if not package.is_dir() or checkout.resolve() not in package.resolve().parents:
        raise ImageError(f"images/{image}/image.json: there is no package {path!r} in {checkout}.")
    return package


def _exists(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


@contextlib.contextmanager
def _lock(tag: str, progress: Progress) -> Iterator[None]:
    """Hold back a second build of the same image on this machine; the system frees it when the process dies."""
    name = tag.replace("/", "-").replace(":", "-")
    path = Path(tempfile.gettempdir()) / f"sciserver-build-{os.getuid()}-{name}.lock"
    # Never follow a link that another account has put there.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"Waiting for another build of {tag}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_build(
    client: docker.DockerClient,
    image: Image,
    ca_bundle: Path | None,
    progress: Progress,
    parents: dict[str, str] | None = None,
    **options: str,
) -> str:
    """Build the image, or with `target` a stage of it, and give its ID."""
    arguments = {name: os.environ[name] for name in _BUILD_VARIABLES if os.environ.get(name)}
    arguments |= parents or {"PARENT": image.parent_tag}
    lines: list[str] = []
    made = ""
    try:
        with build_context.archive(image.sources(), ca_bundle) as context:
            events = client.api.build(
                fileobj=context,
                custom_context=True,
                buildargs=arguments,
                rm=True,
                forcerm=True,
                decode=True,
                **options,
            )
            for event in events:
                if "error" in event:
                    raise ImageBuildError(_explain(image, event["error"], lines))
                made = event.get("aux", {}).get("ID", made)
                for line in event.get("stream", "").splitlines():
                    if line.strip():
                        lines.append(line.rstrip())
                        progress(lines[-1])
    except (docker.errors.APIError, OSError) as error:
        raise ImageBuildError(_explain(image, str(error), lines)) from error
    if not made:
        raise ImageBuildError(_explain(image, "The engine ended the build without an image.", lines))
    return made


def _explain(image: Image, reason: str, lines: list[str]) -> str:
    text = "\n".join(lines[-_LAST_LINES:])
    hint = "Correct it"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "Set PIP_CERT to a file with the certificate authorities of your network"
    elif any(sign in text for sign in ("Temporary failure", "Could not resolve", "NewConnectionError", "timed out")):
        hint = "Check that this machine's containers reach deb.debian.org, pypi.org and registry.npmjs.org"
    elif "No space left" in text + reason:
        hint = "Free space on the engine's disk (`docker system df` shows what takes it)"
    elif "DO NOT MATCH THE HASHES" in text:
        hint = f"Do not use the packages of this index: they are not those of images/{image.name}/requirements.lock"
    return (
        f"{image.tag} could not be built: {reason.strip()}\n{text}\n"
        f"{hint}, then run `sciserver image build {image.name}` again: it continues after the last good step."
    )


def _bootstrap(client: docker.DockerClient, progress: Progress) -> None:
    """Make `BASE` with debootstrap and give it to the engine."""
    if not shutil.which("debootstrap"):
        raise ImageBuildError(
            f"{BASE} is missing, no registry gives it, and there is no debootstrap to make it with. Install that "
            "(`apt-get install debootstrap debian-archive-keyring`), or load the image into the engine "
            "(`docker load`), and try again."
        )
    if os.geteuid() != 0:
        raise ImageBuildError(
            f"{BASE} is missing, no registry gives it, and only root can make it with debootstrap. Run "
            "`sciserver image build base` once as root, or load the image into the engine (`docker load`)."
        )
    if not DEBIAN_KEYRING.exists():
        # Without it, debootstrap on Ubuntu would go on without checking a signature.
        raise ImageBuildError(
            f"{DEBIAN_KEYRING} is missing, so Debian's packages cannot be verified. Install it "
            "(`apt-get install debian-archive-keyring`) and try again."
        )
    with tempfile.TemporaryDirectory(prefix="sciserver-debootstrap-") as temporary:
        root = Path(temporary) / "root"
        _debootstrap(root, DEBIAN_KEYRING, progress)
        progress(f"Importing {BASE}")
        _import(client, root)


def _debootstrap(root: Path, keyring: Path, progress: Progress) -> None:
    command = ["debootstrap", "--variant=minbase", f"--keyring={keyring}", "--force-check-gpg", _SUITE]
    lines: list[str] = []
    with subprocess.Popen(
        [*command, str(root), DEBIAN_MIRROR], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker: stdout is a pipe
        for line in process.stdout:
            lines.append(line.rstrip())
            progress(lines[-1])
    if process.returncode:
        last = "\n".join(lines[-_LAST_LINES:])
        raise ImageBuildError(
            f"debootstrap could not make {BASE}:\n{last}\nCheck that this machine reaches {DEBIAN_MIRROR}, and that "
            f"{tempfile.gettempdir()} has 1 GB free and allows device files and programs (mount options); "
            "$TMPDIR names another place."
        )
    # Downloaded packages and lists would only make every image larger.
    for leftover in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
        leftover.unlink()


def _import(client: docker.DockerClient, root: Path) -> None:
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            # The engine makes its own; what the bootstrap left there is of no use.
            tar.add(root, arcname=".", filter=lambda entry: None if entry.name.startswith("./dev/") else entry)
        file.seek(0)
        repository, suite = BASE.split(":")
        # An iterator, not the file: docker-py announces chunks, and only for an iterator does requests send them.
        chunks = iter(lambda: file.read(1 << 20), b"")
        client.api.import_image_from_stream(chunks, repository=repository, tag=suite, changes=['CMD ["bash"]'])
