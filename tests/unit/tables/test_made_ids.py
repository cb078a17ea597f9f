"""Ids made from the rows: readable, unique, and no row's id depends on another row."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.suite import prompt_ids
from pytest_llmcompare.suite.prompt_ids import Content, made_ids, slug
from pytest_llmcompare.suite.table import read_table

SKY = "Q: What color is the sky?\nA:"


def ids(source: Any) -> list[str]:
    return [row.id for row in read_table(source, base=Path.cwd())]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What color is the sky?", "what_color_is_the_sky"),
        (SKY, "what_color_is_the_sky"),
        ("Question: Who?\n\nAnswer: ", "who"),
        ("USER: hello there\nASSISTANT:", "hello_there"),
        ("What is a Q: in text? Data:", "what_is_a_q_in_text_data"),
        ("It's 3.5 o'clock; isn’t it?", "its_3_5_oclock_isnt_it"),
        ("Größe, café, naïve, ﬁne", "grosse_cafe_naive_fine"),
        ("Translate this sentence from English to German: Good day", "translate_this_sentence_from"),
        ("x" * 100, "x" * 33),
        ("a " * 2000, "_".join("a" * 17)),
        ("GPT是什么？", "gpt"),
        ("你好", "你好"),
        ("Q: 你好吗？\nA:", "你好吗"),
        ("空は何色ですか？", "空は何色ですか"),
        ("ما هو لون السماء؟", "ما_هو_لون_السماء"),
        ("می\u200cخواهم بروم", "میخواهم_بروم"),
        ("Какого цвета небо над Москвой?", "какого_цвета"),
        ("हिन्दी में आकाश", "हिन्दी_में_आकाश"),
        ("하늘은 무슨 색인가요?", "하늘은_무슨_색인가요"),
        ("很" * 40, "很" * 16),
        ("ΓΙΑΤΊ;", "γιατί"),
        ("\u0301 \u202e你", "你"),
        ("´Đ", "đ"),
        ("🙂🙂", "prompt"),
        ("???", "prompt"),
        ("A:", "prompt"),
        ("\ud83d", "prompt"),
    ],
)
def test_slugs(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected


def test_an_id_is_a_slug_and_six_digits_of_the_content() -> None:
    """Written out, since a change would make every stored baseline of such tables obsolete."""
    assert ids(["What color is the sky?", "你好"]) == ["what_color_is_the_sky_9d26cd", "你好_0e8fe7"]


def test_the_same_question_with_other_examples_and_settings() -> None:
    """The article's second experiment: a table without ids that repeats its questions."""
    table = [
        {"input_text": SKY, "few_shot_examples": examples, "config_dict": config}
        for examples in ("Q: Is snow white?\nA: Yes.\n", "Q: Is coal white?\nA: No.\n")
        for config in ({"do_sample": True, "top_k": 10}, {"do_sample": False})
    ]
    found = ids(table)
    assert len(set(found)) == 4
    assert all(re.fullmatch(r"what_color_is_the_sky_[0-9a-f]{6}", name) for name in found)
    assert ids(table[::-1]) == found[::-1]


def test_settings_count_by_content_and_not_by_spelling() -> None:
    one, other = '{"top_k": 5, "do_sample": true}', {"do_sample": True, "top_k": 5}
    assert ids([{"prompt": "a", "config_dict": one}]) == ids([{"prompt": "a", "config_dict": other}])


def test_target_and_other_columns_do_not_rename_a_row() -> None:
    assert ids([{"prompt": "a", "target": "b", "note": "c"}]) == ids(["a"])


TEXTS = st.sampled_from(["Sky?", "sky", "SKY!", "Sky ?", "Q: sky", "你好", "您好", "Why?"]) | st.text(
    min_size=1, max_size=60
)
CONTENTS = st.lists(
    st.tuples(
        TEXTS,
        st.none() | st.sampled_from(["", "Q: a\nA: b\n"]),
        st.sampled_from([{}, {"top_k": 5}, {"top_k": 5, "do_sample": True}]),
    ),
    unique_by=repr,
    max_size=30,
)


@given(CONTENTS)
def test_different_rows_have_different_ids_of_the_promised_form(contents: list[Content]) -> None:
    found = made_ids(contents)
    assert len(set(found)) == len(contents)
    for name, (prompt, *_) in zip(found, contents, strict=True):
        assert name.isprintable()
        latin = re.fullmatch(r"[a-z0-9][a-z0-9_]{0,32}_[0-9a-f]{6}", name)
        other = not re.search("[A-Za-z0-9]", prompt) and re.fullmatch(r"\w\S{0,15}_[0-9a-f]{6}", name)
        assert latin or other, name


@given(CONTENTS, st.randoms(use_true_random=False))
def test_moving_inserting_and_removing_rows_renames_nothing(contents: list[Content], chance: random.Random) -> None:
    """Each row has the id that it would have alone."""
    alone = {repr(content): made_ids([content])[0] for content in contents}
    chance.shuffle(contents)
    some = contents[: chance.randint(0, len(contents))]
    assert made_ids(some) == [alone[repr(content)] for content in some]


def test_equal_digits_are_told_apart_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one digit instead of six, equal ones are found soon; both rows get twice as many."""
    monkeypatch.setattr(prompt_ids, "DIGITS", 2)
    contents: list[Content] = [("?" * count, None, {}) for count in range(1, 40)]
    found = made_ids(contents)
    assert len(set(found)) == len(contents)
    assert {len(name.rpartition("_")[2]) for name in found} == {2, 4}
    assert made_ids(contents[::-1]) == found[::-1]


def test_equal_contents_have_equal_ids() -> None:
    """So that the table can name both rows."""
    assert made_ids([("a", None, {}), ("a", None, {})]) == made_ids([("a", None, {})]) * 2
