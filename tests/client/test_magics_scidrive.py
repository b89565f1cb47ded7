"""`%scidrive` in a shell, against the running service."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.client.magics_support import Shell, kernel
from tests.scidrive.drive_platform import DrivePlatform

HERE = Path()


@pytest.fixture(autouse=True)
def files(drive_site: DrivePlatform, drive_shell: Shell) -> Iterator[None]:
    """Some files here, and nothing there."""
    for name, text in (("a.txt", "a"), ("b.txt", "bb"), ("c.dat", "ccc")):
        Path(name).write_text(text)
    Path("dir/sub").mkdir(parents=True)
    Path("dir/sub/d.txt").write_text("dddd")
    yield
    for entry in drive_shell.value("%scidrive ls"):
        drive_shell.value(f"%scidrive rm -r -y '{entry.path}'")


def names(shell: Shell, line: str) -> list[str]:
    """What ``ls`` lists; folders with a slash."""
    return [entry.path + "/" * entry.is_folder for entry in shell.value(f"%scidrive ls {line}")]


def test_there_and_back(drive_shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    drive_shell.value("%scidrive put a.txt")
    drive_shell.value("%scidrive put a.txt other.txt")
    drive_shell.value("%scidrive put a.txt b.txt folder")
    drive_shell.value("%scidrive put *.dat folder/")
    assert names(drive_shell, "") == ["folder/", "a.txt", "other.txt"]
    assert names(drive_shell, "folder") == ["folder/a.txt", "folder/b.txt", "folder/c.dat"]
    Path("a.txt").unlink()
    assert drive_shell.value("%scidrive get a.txt") == [HERE / "a.txt"]
    assert Path("a.txt").read_text() == "a"
    Path("into").mkdir()
    drive_shell.value("%scidrive get folder/*.txt other.txt into")
    assert sorted(path.name for path in Path("into").iterdir()) == ["a.txt", "b.txt", "other.txt"]
    listing = drive_shell.value("%scidrive ls folder/c.dat")
    assert "folder/c.dat" in repr(listing)
    assert "3 B" in listing._repr_html_()


def test_folders(drive_shell: Shell) -> None:
    assert drive_shell.error("%scidrive put dir") == ["dir is a folder.", "Use -r if everything in it is meant."]
    drive_shell.value("%scidrive put -r dir")
    drive_shell.value("%scidrive put -r dir top")
    drive_shell.value("%scidrive put -r dir top")
    everything = ["dir/", "dir/sub/", "dir/sub/d.txt"]
    assert [name for name in names(drive_shell, "-r") if name.startswith("dir")] == everything
    assert "top/dir/sub/d.txt" in names(drive_shell, "-r top")
    assert drive_shell.error("%scidrive get dir back")[0] == "dir is a folder."
    drive_shell.value("%scidrive get -r dir back")
    assert Path("back/sub/d.txt").read_text() == "dddd"


def test_nothing_is_replaced_unless_wanted(drive_shell: Shell) -> None:
    drive_shell.value("%scidrive put a.txt")
    Path("a.txt").write_text("new")
    assert drive_shell.error("%scidrive put a.txt")[-1] == "Use -f to replace what is there."
    assert drive_shell.error("%scidrive get a.txt")[-1] == "Use -f to replace it."
    drive_shell.value("%scidrive put -f a.txt")
    Path("a.txt").write_text("newer")
    drive_shell.value("%scidrive get a.txt -f")
    assert Path("a.txt").read_text() == "new"


def test_patterns(drive_shell: Shell) -> None:
    drive_shell.value("%scidrive put *.* x/")
    assert names(drive_shell, "x/*.txt") == ["x/a.txt", "x/b.txt"]
    assert names(drive_shell, "*/[bc].*") == ["x/b.txt", "x/c.dat"]
    assert names(drive_shell, "x/?.dat") == ["x/c.dat"]
    assert drive_shell.error("%scidrive ls *.nothing") == ["Nothing in SciDrive matches *.nothing."]
    assert drive_shell.error("%scidrive put *.nothing") == ["No file matches *.nothing."]
    assert "3 files need a folder" in drive_shell.error("%scidrive get x/* nowhere")[0]


def test_values_are_neither_patterns_nor_options(drive_shell: Shell) -> None:
    Path("*.txt").write_text("star")
    Path("-r").write_text("dash")
    Path("two words").write_text("blank")
    drive_shell.ip.user_ns |= {"star": "*.txt", "dash": "-r", "blank": "two words", "path": HERE / "a.txt"}
    for name in ("star", "dash", "blank", "path"):
        drive_shell.value("%scidrive put {{" + name + "}}")
    assert set(names(drive_shell, "")) == {"*.txt", "-r", "two words", "a.txt"}
    drive_shell.value("%scidrive rm {{star}} {{dash}}")
    assert set(names(drive_shell, "")) == {"two words", "a.txt"}
    assert names(drive_shell, "'two words'") == ["two words"]
    assert "NameError" in drive_shell.error("%scidrive rm {{nope}}")[0]


def test_removing_asks(drive_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    drive_shell.value("%scidrive put -r dir")
    drive_shell.value("%scidrive put a.txt b.txt dir")
    drive_shell.value("%scidrive rm dir/a.txt")
    drive_shell.value("%scidrive put a.txt dir")
    # pytest has no terminal.
    for line in ("-r dir", "dir/*.txt"):
        assert drive_shell.error(f"%scidrive rm {line}")[-1] == "Use -y to do it without a question."
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer in ("", "n", "no"):
        monkeypatch.setattr(builtins, "input", lambda question, answer=answer: asked.append(question) or answer)
        assert drive_shell.error("%scidrive rm -r dir") == ["Nothing was removed."]
    assert asked == ["Remove dir/? [y/N] "] * 3
    assert len(names(drive_shell, "dir")) == 3
    monkeypatch.setattr(builtins, "input", lambda question: "y")
    drive_shell.value("%scidrive rm dir/*.txt")
    assert names(drive_shell, "dir") == ["dir/sub/"]
    assert drive_shell.error("%scidrive rm dir")[0] == "dir is a folder."
    drive_shell.value("%scidrive rm -r -y dir")
    assert names(drive_shell, "") == []
    assert "whole drive" in drive_shell.error("%scidrive rm -r -y /")[0]


def test_a_question_in_a_notebook(drive_site: DrivePlatform, drive_shell: Shell) -> None:
    drive_shell.value("%scidrive put -r dir")
    with kernel(dict(os.environ)) as notebook:
        shown = notebook.run("%scidrive rm -r dir", answer="y")
        assert shown.asked == ["Remove dir/? [y/N] "]
        assert shown.text == "Removed: dir\n"
        shown = notebook.run("%scidrive rm -r dir", can_ask=False)
        assert "dir does not exist" in shown.traceback


def test_share(drive_shell: Shell, capsys: pytest.CaptureFixture[str], drive_site: DrivePlatform) -> None:
    drive_shell.value("%scidrive put a.txt")
    for option in ("", "--hours 1", "--days 2"):
        link = drive_shell.value(f"%scidrive share a.txt {option}")
        assert requests.get(link.url, timeout=60).text == "a"
        assert f"until {link.expires:%Y-%m-%d %H:%M} UTC" in capsys.readouterr().out
        assert drive_site.token("maria") not in link.url
    assert "Either --hours or --days." in drive_shell.error("%scidrive share a.txt --hours 1 --days 1")[0]
    assert "not a number above 0" in drive_shell.error("%scidrive share a.txt --hours -1")[0]
    assert "does not exist" in drive_shell.error("%scidrive share nothing")[0]


def test_usage(drive_shell: Shell) -> None:
    [usage] = drive_shell.value("%scidrive usage")
    assert usage.name == "SciDrive"
    assert "GB" in repr(drive_shell.value("%scidrive usage"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lss", "Did you mean ls?"),
        ("nonsense", "See %scidrive help."),
        ("get", "required: PATH"),
        ("get nothing", "does not exist"),
        ("put nothing", "There is no file nothing."),
        ("get ../x", "without . and .."),
        ("ls a.txt --long", "Unrecognized arguments: --long"),
        ("put 'a.txt", "A quote is not closed"),
        ("get a.txt /nowhere/x", "does not exist"),
        ("help nothing", "There is no command nothing."),
    ],
)
def test_wrong_inputs(drive_shell: Shell, line: str, said: str) -> None:
    assert said in "\n".join(drive_shell.error(f"%scidrive {line}"))


def test_a_place_that_cannot_be_written(drive_shell: Shell) -> None:
    drive_shell.value("%scidrive put a.txt")
    assert drive_shell.error("%scidrive get a.txt /nowhere/x") == ["There is no folder /nowhere."]
    Path("here").write_text("a file")
    assert drive_shell.error("%scidrive get a.txt here/x") == ["There is no folder here."]


def test_help(drive_shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("", "help"):
        drive_shell.value(f"%scidrive {line}")
        assert "share" in capsys.readouterr().out
    drive_shell.value("%scidrive help rm")
    assert "usage: %scidrive rm [--recursive] [--yes] PATH" in capsys.readouterr().out
