"""Any order of changes, against a model: a dictionary of files and a set of folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from scidrive_service.objects import ObjectTree
from scidrive_service.paths import Path as Names
from scidrive_service.tree import Tree
from tests.scidrive.ceph import Ceph
from tests.scidrive.local_support import ACCOUNT, directory

SEGMENTS = st.sampled_from(["a", "b", "c\n", "caf\u00e9", "cafe\u0301", "%2e", " "])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=3).map(tuple)
CONTENT = st.binary(max_size=40)


class Model:
    """What the doors promise of a tree."""

    def __init__(self) -> None:
        self.files: dict[Names, bytes] = {}
        self.folders: set[Names] = {()}

    def has(self, path: Names) -> bool:
        return path in self.files or path in self.folders

    def is_through_file(self, path: Names) -> bool:
        return any(path[:end] in self.files for end in range(len(path)))

    def needs_parent(self, path: Names, parents: bool) -> None:
        if self.is_through_file(path):
            raise FileError("", Kind.NOT_A_FOLDER)
        if path[:-1] not in self.folders and not parents:
            raise FileError("", Kind.MISSING)

    def make_parents(self, path: Names) -> None:
        self.folders.update(path[:end] for end in range(len(path)))

    def needs(self, path: Names) -> None:
        if not self.has(path):
            raise FileError("", Kind.MISSING)

    def put(self, path: Names, data: bytes, overwrite: bool, parents: bool) -> None:
        self.needs_parent(path, parents)
        if path in self.folders:
            raise FileError("", Kind.NOT_A_FOLDER)
        if path in self.files and not overwrite:
            raise FileError("", Kind.EXISTS)
        self.make_parents(path)
        self.files[path] = data

    def get(self, path: Names) -> bytes:
        self.needs(path)
        if path in self.folders:
            raise FileError("", Kind.NOT_A_FOLDER)
        return self.files[path]

    def make_folder(self, path: Names, parents: bool) -> bool:
        self.needs_parent(path, parents)
        if path in self.files:
            raise FileError("", Kind.EXISTS)
        if path in self.folders:
            return False
        self.make_parents(path)
        self.folders.add(path)
        return True

    def below(self, path: Names) -> list[Names]:
        return [other for other in (*self.files, *self.folders) if other[: len(path)] == path]

    def remove(self, path: Names) -> None:
        self.needs(path)
        for other in self.below(path):
            self.files.pop(other, None)
            self.folders.discard(other)

    def move(self, source: Names, target: Names, overwrite: bool, parents: bool) -> None:
        if len(target) > len(source) and target[: len(source)] == source:
            raise FileError("", Kind.NAME)
        self.needs(source)
        self.needs_parent(target, parents)
        if self.has(target) and not overwrite:
            raise FileError("", Kind.EXISTS)
        if source == target:
            return
        if source[: len(target)] == target:
            raise FileError("", Kind.NAME)
        if self.has(target):
            self.remove(target)
        self.make_parents(target)
        for other in self.below(source):
            new = target + other[len(source) :]
            if other in self.files:
                self.files[new] = self.files.pop(other)
            else:
                self.folders.remove(other)
                self.folders.add(new)

    def list(self, path: Names) -> list[tuple[str, bool, int]]:
        self.needs(path)
        if path in self.files:
            raise FileError("", Kind.NOT_A_FOLDER)
        return sorted(
            (
                (other[-1], other in self.folders, len(self.files.get(other, b"")))
                for other in self.below(path)
                if len(other) == len(path) + 1
            ),
            key=lambda item: os.fsencode(item[0]),
        )


class Machine(RuleBasedStateMachine):
    """Does the same to a tree and to the model, and compares what comes of it."""

    def make_tree(self) -> Tree:
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.tree = self.make_tree()
        self.model = Model()

    def both(self, act: Callable[[], Any], expected: Callable[[], Any]) -> None:
        try:
            wanted = expected()
        except FileError as error:
            kind = error.kind
        else:
            assert act() == wanted
            return
        with pytest.raises(FileError) as caught:
            act()
        assert caught.value.kind is kind, (caught.value, kind)

    @rule(path=NAMES, data=CONTENT, overwrite=st.booleans(), parents=st.booleans())
    def put(self, path: Names, data: bytes, overwrite: bool, parents: bool) -> None:
        def act() -> None:
            writer = self.tree.create(path, overwrite=overwrite, parents=parents)
            writer.write(data)
            assert writer.commit().path == path

        self.both(act, lambda: self.model.put(path, data, overwrite, parents))

    @rule(path=NAMES, data=CONTENT)
    def give_up(self, path: Names, data: bytes) -> None:
        try:
            writer = self.tree.create(path)
        except FileError:
            return
        writer.write(data)
        writer.abort()

    @rule(path=NAMES)
    def get(self, path: Names) -> None:
        def act() -> bytes:
            reader = self.tree.open(path)
            try:
                return reader.read(0, 100)
            finally:
                reader.close()

        self.both(act, lambda: self.model.get(path))

    @rule(path=NAMES, parents=st.booleans())
    def make_folder(self, path: Names, parents: bool) -> None:
        self.both(lambda: self.tree.make_folder(path, parents=parents), lambda: self.model.make_folder(path, parents))

    @rule(path=NAMES)
    def remove(self, path: Names) -> None:
        self.both(lambda: self.tree.remove(path), lambda: self.model.remove(path))

    @rule(source=NAMES, to=NAMES, overwrite=st.booleans(), parents=st.booleans())
    def move(self, source: Names, to: Names, overwrite: bool, parents: bool) -> None:
        def act() -> None:
            entry = self.tree.move(source, to, overwrite=overwrite, parents=parents)
            assert entry.path == to

        self.both(act, lambda: self.model.move(source, to, overwrite, parents))

    @rule(path=st.lists(SEGMENTS, max_size=2).map(tuple))
    def list(self, path: Names) -> None:
        if not self.model.is_through_file(path):
            self.both(
                lambda: [(entry.name, entry.is_folder, entry.size) for entry in self.tree.list(path)],
                lambda: self.model.list(path),
            )

    @rule(path=NAMES)
    def stat(self, path: Names) -> None:
        self.both(
            lambda: (self.tree.stat(path).is_folder, self.tree.stat(path).size),
            lambda: (self.model.needs(path), (path in self.model.folders, len(self.model.files.get(path, b""))))[1],
        )

    @invariant()
    def all_of_it(self) -> None:
        walked = list(self.tree.walk(()))
        found = {entry.path: entry.is_folder for entry in walked}
        assert len(walked) == len(found)
        assert found == {
            **dict.fromkeys(self.model.files, False),
            **dict.fromkeys(self.model.folders - {()}, True),
        }
        for position, entry in enumerate(walked):
            assert entry.path[:-1] in {(), *(other.path for other in walked[:position])}
        usage = self.tree.usage()
        assert (usage.bytes, usage.files) == (sum(map(len, self.model.files.values())), len(found))


def run(machine: type[Machine], examples: int, steps: int, *, shrink: bool = True) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_local() -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    class Local(Machine):
        def make_tree(self) -> Tree:
            self.parent = Path(tempfile.mkdtemp(dir=memory))
            self.root = directory(self.parent)
            return LocalTree(self.root, account=ACCOUNT)

        @invariant()
        def a_container_sees_the_same(self) -> None:
            seen = {path.relative_to(self.root).parts: path for path in self.root.rglob("*")}
            assert {path for path, where in seen.items() if where.is_dir()} == self.model.folders - {()}
            files = {path: where.read_bytes() for path, where in seen.items() if where.is_file()}
            assert files == self.model.files

        def teardown(self) -> None:
            if hasattr(self, "parent"):
                shutil.rmtree(self.parent)

    run(Local, 40, 30)


def test_objects(ceph: Ceph) -> None:
    class Objects(Machine):
        count = 0

        def make_tree(self) -> Tree:
            Objects.count += 1
            return ObjectTree(f"s3://drive/stateful/{Objects.count}", **ceph.options)

    run(Objects, 5, 20, shrink=False)  # each step takes a dozen requests
