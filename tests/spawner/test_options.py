"""The menu of images."""

import pytest
from bs4 import BeautifulSoup
from jupyterhub.spawner import SpawnException

from sciserver_spawner.options import MenuItem, find, from_form, render_form

MENU = [
    MenuItem("python", "site/python:1", "Python", "numpy & friends"),
    MenuItem("r", "site/r:1", "R"),
    MenuItem("plain", "site/plain:1"),
]


def inputs(html):
    return BeautifulSoup(html, "html.parser").find_all("input")


@pytest.mark.parametrize("asked", [None, ""])
def test_without_a_choice_the_first_image_is_taken(asked):
    assert find(MENU, asked) is MENU[0]


def test_an_image_is_found_by_its_name():
    assert find(MENU, "r") is MENU[1]


# A reference, e.g. of an image with root rights in it, must not get past the menu.
@pytest.mark.parametrize("asked", ["nothing", "site/r:1", "R", ["r"], {"r": 1}, 0, False, "r\n"])
def test_what_is_not_on_the_menu_is_refused_with_what_is(asked):
    with pytest.raises(SpawnException) as caught:
        find(MENU, asked)
    assert caught.value.status_code == 400
    assert caught.value.reason == "option"
    assert "python, r, plain" in caught.value.message


def test_a_long_wrong_name_is_not_repeated_in_full():
    with pytest.raises(SpawnException) as caught:
        find(MENU, "x" * 10_000)
    assert len(caught.value.message) < 200


def test_a_wrong_name_cannot_put_html_on_the_page():
    with pytest.raises(SpawnException) as caught:
        find(MENU, "<script>alert(1)</script>")
    assert "<script>" not in caught.value.message_html


def test_without_images_the_operator_is_told_what_to_do():
    with pytest.raises(SpawnException, match="sciserver image build") as caught:
        find([], None)
    assert caught.value.reason == "image"


def test_the_form_offers_each_image_and_checks_the_first():
    fields = inputs(render_form(MENU, ""))
    assert [field["value"] for field in fields] == ["python", "r", "plain"]
    assert [field.has_attr("checked") for field in fields] == [True, False, False]


def test_the_form_remembers_the_last_choice():
    assert [field.has_attr("checked") for field in inputs(render_form(MENU, "r"))] == [False, True, False]


def test_the_form_falls_back_to_the_first_when_the_last_choice_is_no_longer_offered():
    assert [field.has_attr("checked") for field in inputs(render_form(MENU, "gone"))] == [True, False, False]


def test_an_image_without_a_title_shows_its_name():
    assert "plain" in BeautifulSoup(render_form(MENU, ""), "html.parser").get_text()


def test_titles_are_text_not_html():
    evil = MenuItem('"><script>', "site/x:1", "<b>T</b>", "<img src=x onerror=alert(1)>")
    page = BeautifulSoup(render_form([evil, *MENU], ""), "html.parser")
    assert page.find_all(["script", "b", "img"]) == []
    assert page.find("strong").get_text() == "<b>T</b>"
    assert page.find("input")["value"] == '"><script>'


def test_one_image_needs_no_form():
    assert render_form(MENU[:1], "") == ""


def test_the_form_gives_what_find_takes():
    assert from_form({"image": ["r"], "cpu": ["1000"]}) == {"image": "r"}
    assert from_form({}) == {}
