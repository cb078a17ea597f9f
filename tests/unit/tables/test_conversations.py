"""Conversations in prompt tables: the forms in which they may be written, and every fault with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pytest_llmcompare.errors import TableError, UsageError
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.records import Case, Row
from pytest_llmcompare.suite.marker import declare
from pytest_llmcompare.suite.table import read_table
from pytest_llmcompare.text import digest

HERE = Path.cwd()
USER = {"role": "user", "content": "Where is it?"}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital?"},
    {"role": "assistant", "content": "Paris."},
    USER,
]
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def row(source: Any, base: Path = HERE, **columns: Any) -> Row:
    (only,) = read_table(source, base=base, **columns)
    return only


def message(source: Any, base: Path = HERE, **columns: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, base=base, **columns)
    return str(caught.value)


def asked(given: Row) -> dict[str, Any]:
    """The fields of the conversation of a row."""
    return Conversation.from_json(given.conversation).fields()


@pytest.mark.parametrize("column", ["messages", "prompt", "input", "question", " Messages "])
def test_a_list_of_messages_is_a_prompt(column: str, tmp_path: Path) -> None:
    """In every file that can hold a list; the last message of the user is what reports show."""
    (tmp_path / "t.jsonl").write_text(json.dumps({column: CHAT}), encoding="utf-8")
    (tmp_path / "t.json").write_text(json.dumps([{column: CHAT}]), encoding="utf-8")
    (tmp_path / "t.yaml").write_text(json.dumps([{column: CHAT}]), encoding="utf-8")
    pd.DataFrame({column: [CHAT]}).to_parquet(tmp_path / "t.parquet")
    sources = ["t.jsonl", "t.json", "t.yaml", "t.parquet", [{column: CHAT}], pd.DataFrame({column: [CHAT]})]
    rows = [row(source, tmp_path) for source in sources]
    assert [asked(one) for one in rows] == [{"messages": CHAT}] * len(sources)
    assert {(one.input, one.id, len(one.columns)) for one in rows} == {("Where is it?", rows[0].id, 0)}
    assert rows[0].id.startswith("where_is_it_")


def test_messages_and_tools_as_json_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "messages": [json.dumps(CHAT)], "tools": [json.dumps([CLOCK])]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert asked(row("t.csv", tmp_path)) == {"messages": CHAT, "tools": [CLOCK]}


def test_tools_of_a_text(tmp_path: Path) -> None:
    """The text is then the only message; an empty cell offers no tools, and an empty list neither."""
    given = row([{"prompt": "What time is it?", "tools": [CLOCK]}])
    assert asked(given) == {"messages": [{"role": "user", "content": "What time is it?"}], "tools": [CLOCK]}
    (tmp_path / "t.csv").write_text("prompt,tools\nWhat time is it?,\n", encoding="utf-8")
    assert row("t.csv", tmp_path) == row([{"prompt": "What time is it?", "tools": []}]) != given
    assert not row("t.csv", tmp_path).conversation


def test_tables_of_other_tools() -> None:
    """OpenAI's evals (`input` and `ideal`), and Inspect's (`input` as list or text, `target`)."""
    evals = row([{"input": CHAT, "ideal": "There."}])
    inspect = read_table([{"input": CHAT, "target": "There."}, {"input": "Hi", "target": "x"}], base=HERE)
    assert (evals.target, evals.input) == (inspect[0].target, inspect[0].input) == ("There.", "Where is it?")
    assert (inspect[1].input, inspect[1].conversation) == ("Hi", "")
    assert row([{"messages": CHAT, "ideal": "There."}]).target == "There."
    assert row([{"messages": CHAT, "ideal": "a", "target": "b"}]).columns == {"ideal": "a"}
    assert row([{"prompt": "x", "ideal": "a"}]).target is None
    assert "Did you mean 'inputs'?" in message([{"instruction": "Sum up.", "input": "A text.", "target": "x"}])


def test_messages_come_before_other_prompts() -> None:
    given = row([{"prompt": "x", "messages": CHAT}])
    assert (given.input, given.columns) == ("Where is it?", {"prompt": "x"})


def test_a_column_named_by_the_marker() -> None:
    assert asked(row([{"chat": CHAT}], input="chat")) == {"messages": CHAT}
    assert asked(row([{"messages": json.dumps(CHAT)}], input="messages")) == {"messages": CHAT}


def test_what_else_a_message_may_hold() -> None:
    """Calls and their results, further fields, empty texts; values that are missing are left out, as in parquet."""
    call = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    chat = [
        {"role": "developer", "content": ""},
        {"role": "user", "content": "Time?", "name": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "12:00", "tool_call_id": "1"},
    ]
    given = row([{"messages": chat}])
    assert given.input == "Time?"
    assert asked(given)["messages"][1:3] == [
        {"role": "user", "content": "Time?"},
        {"role": "assistant", "tool_calls": [call]},
    ]
    assert row([{"messages": [{"role": "tool", "content": "12:00"}]}]).input == "12:00"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([], "messages is an empty list"),
        ({"role": "user", "content": "x"}, "expected a list of messages."),
        (7, "messages is 7, expected a list of messages."),
        (None, "messages is empty."),
        (["Hi"], "messages, message 1 of 1: 'Hi', expected an object with role and content."),
        (
            [{"role": "usr", "content": "x"}],
            "system, developer, user, assistant or tool. Did you mean 'user'?",
        ),
        ([{"role": 3, "content": "x"}], "messages, message 1 of 1: role is 3, expected"),
        ([{"rôle": "user", "content": "x"}], "message 1 of 1: no role. Did you mean 'rôle'?"),
        ([{"role": "user"}], "message 1 of 1: no content, expected text."),
        ([{"role": "user", "contents": "x"}], "no content, expected text. Did you mean 'contents'?"),
        ([{"role": "user", "content": None}], "message 1 of 1: content is empty, expected text."),
        ([{"role": "assistant", "content": None}, USER], "message 1 of 2: content is empty"),
        ([{"role": "user", "content": 3}], "message 1 of 1: content is 3, expected text."),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], "content is a list of parts ("),
        ([{"role": "user", "content": " \n"}], "messages: the last message is empty."),
        (
            [USER, {"role": "assistant", "content": "x"}],
            "last message is of role 'assistant', expected user or tool",
        ),
        ([{"role": "system", "content": "x"}], "the last message is of role 'system'"),
        ([{"role": "user", "content": "a\ud83d"}], "it holds half a character ('\\ud83d')"),
        ([{**USER, "a\udc00": 1}], "it holds half a character"),
        ([{**USER, "x": [{"y": float("inf")}]}], "it holds inf, which JSON cannot hold."),
        ([{**USER, "x": {1: 2}}], "the name 1 is not text."),
        ([{**USER, "x": {"y": object}}], "it holds <class 'object'>, which JSON cannot hold."),
        ([{**USER, "x": nested(5000)}], "nested too deeply"),
        ([{"role": "user", "content": "x"}, {"from": "gpt", "value": "y"}], "message 2 of 2: no role."),
    ],
)
def test_faulty_messages(messages: Any, what: str) -> None:
    assert what in message([{"id": "a", "messages": messages}])
    if isinstance(messages, list) and messages and "role" in messages[0]:
        assert what.replace("messages", "prompt", 1) in message([{"id": "a", "prompt": messages}])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Hi", "messages is 'Hi', which is not JSON: Expecting value."),
        ("[{'role': 'user'}]", "Put names and text into double quotes"),
        ('[{"role": "user", "role": "tool", "content": "x"}]', "'role' occurs twice in one object"),
        ('[{"role": "user", "content": "x", "k": NaN}]', "JSON has no number NaN"),
        ("[" * 100_000, "Nest values less deeply."),
        ('{"messages": []}', "expected a list of messages."),
        ('[{"role": "user", "content": "\\ud83d"}]', "half a character"),
        ("  ", "messages is empty."),
    ],
)
def test_faulty_json_text(text: str, what: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "messages": [json.dumps(CHAT), text]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source, place in (("t.csv", "t.csv, row 2, line 3: "), (frame, "DataFrame, row 2, index 1: ")):
        found = message(source, tmp_path)
        assert place in found.splitlines()[0]
        assert what in found


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Of several rows, and of a long conversation the first few."""
    bad = {"role": "bot", "content": 1}
    rows = [{"messages": [bad]}, {"messages": CHAT}, {"messages": [bad] * 10_000}, {"messages": CHAT, "tools": "x"}]
    found = message(rows).splitlines()
    assert [line.partition(",")[0] for line in found[:2]] == ["list of prompts"] * 2
    assert "item 3: messages: 19997 more faults in its messages." in "\n".join(found)
    assert any("item 4: tools is 'x', which is not JSON" in line for line in found)
    assert len(found) < 12


@pytest.mark.parametrize(
    ("tools", "what"),
    [
        ("{}", "tools is {}, expected a list of tools."),
        (["clock"], "tools, tool 1 of 1: 'clock', expected an object."),
        ([CLOCK, {"x": float("-inf")}], "tools, tool 2 of 2: it holds -inf, which JSON cannot hold."),
        ('[{"a": 1, "a": 2}]', "'a' occurs twice in one object"),
    ],
)
def test_faulty_tools(tools: Any, what: str) -> None:
    assert what in message([{"messages": CHAT, "tools": tools}])


def test_a_conversation_of_ten_thousand_messages() -> None:
    chat = [{"role": "user", "content": f"message {number}"} for number in range(10_000)]
    given = row([{"messages": chat}])
    assert given.input == "message 9999"
    assert asked(given)["messages"] == chat


def test_conversations_with_one_last_message_have_ids_of_their_own() -> None:
    rows = read_table([{"messages": CHAT}, {"messages": [USER]}], base=HERE)
    assert len({one.id for one in rows}) == 2
    assert "the same prompt, examples and settings as in item 1." in message([{"messages": CHAT}, {"messages": CHAT}])


def cases(table: Any, spec: ModelSpec | None = None, **keywords: Any) -> tuple[Case, ...]:
    declaration = declare((table,), keywords, test="test_x", folder=".", base=HERE)
    return declaration.cases(spec or ModelSpec("m", "x", SourceKind.HUB))


def test_the_hash_is_of_messages_and_tools() -> None:
    """Not of the order of names within a message; that of a text is as it was."""
    other = [{"content": one["content"], "role": one["role"]} for one in CHAT]
    tables: list[dict[str, Any]] = [
        {"messages": CHAT},
        {"messages": other},
        {"messages": CHAT[1:]},
        {"messages": CHAT, "tools": [CLOCK]},
    ]
    first, same, shorter, tools = (cases([{"id": "a", **table}])[0].input_hash for table in tables)
    assert first == same
    assert len({first, shorter, tools}) == 3
    assert cases([{"id": "a", "prompt": "x"}], examples="y")[0].input_hash == digest("yx")


def test_a_conversation_goes_through_the_tokenizers_template() -> None:
    """Whether the model's table says so or not; a template of one's own stays."""
    own = ModelSpec("m", "x", SourceKind.HUB, chat_template="{{ messages }}")
    assert [cases([{"messages": CHAT}], spec)[0].template for spec in (None, own)] == ["tokenizer", "{{ messages }}"]
    assert not cases(["x"])[0].template


@pytest.mark.parametrize("table", [[{"id": "a", "messages": CHAT}], [{"id": "a", "prompt": "x", "tools": [CLOCK]}]])
def test_examples_cannot_stand_before_a_conversation(table: Any) -> None:
    what = "in row 'a' few-shot examples cannot be put before a conversation."
    for keywords, where in (({"examples": "y"}, "examples"), ({"variants": {"v": {"examples": "y"}}}, "variants['v']")):
        with pytest.raises(UsageError, match="few-shot examples") as caught:
            cases(table, **keywords)
        assert f"llm_prompts: {where}: {what}" in str(caught.value)
    with pytest.raises(UsageError, match="model 'm', examples: in row 'a'"):
        cases(table, ModelSpec("m", "x", SourceKind.HUB, examples="y"))
    rows = [{**table[0], "few_shot_examples": "y"}]
    assert "item 1: few-shot examples cannot be put before a conversation." in message(rows)
