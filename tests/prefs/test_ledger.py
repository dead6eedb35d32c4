"""The ledger on real SQLite files: what goes in comes out, on disk before it is used, one process at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.engines import Completion, EngineOptions, Request
from loopguard.engines.scripted import ScriptedEngine
from loopguard.errors import EngineError, InputError, RunInUse, StorageError
from loopguard.prefs.asking import Asker, NotAnswered
from loopguard.prefs.keys import digest_messages, request_key
from loopguard.prefs.ledger import Failure, Ledger, Progress, SourceRow, Spent, answer_from_text, answer_to_text
from loopguard.records import Prompt
from tests.prefs.disks import make_read_only, small_disk

HOLD = """
import sys, time
from pathlib import Path
from loopguard.prefs.ledger import Ledger
with Ledger.open(Path(sys.argv[1])):
    print("open", flush=True)
    time.sleep(600)
"""

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)  # lone surrogates and NUL among them


def recording(run_dir: Path, use: Callable[[Ledger], Coroutine[Any, Any, Any]]) -> Any:
    """Open the ledger, use it in an event loop, close it."""
    with Ledger.open(run_dir) as ledger:
        return asyncio.run(use(ledger))


def key(k: int) -> bytes:
    return k.to_bytes(16, "big")


# -- answers


@settings(max_examples=60, deadline=None)
@given(
    answer=st.builds(
        Completion,
        content=ANY_TEXT,
        reasoning=ANY_TEXT,
        finish_reason=ANY_TEXT,
        prompt_tokens=st.integers(0, 2**40),
        completion_tokens=st.integers(0, 2**40),
        first_logprobs=st.none() | st.dictionaries(ANY_TEXT, st.floats(max_value=0, allow_nan=False), max_size=4),
        token_ids=st.none() | st.lists(st.integers(0, 2**31), max_size=4),
    )
)
def test_every_field_of_an_answer_comes_back(answer: Completion) -> None:
    async def use(ledger: Ledger) -> None:
        await ledger.record("p", {key(1): answer})
        assert ledger.answers("p") == {key(1): answer}

    with tempfile.TemporaryDirectory() as folder:
        recording(Path(folder), use)
        with Ledger.read(Path(folder)) as ledger:
            assert ledger.answers("p") == {key(1): answer}


@pytest.mark.parametrize("text", ["\ud800 lone \udfff", "a\0b\0", "\x1b[31m\r\n", "文" * 5_000_000, ""])
def test_odd_and_huge_texts_come_back(text: str, tmp_path: Path) -> None:
    answer = Completion(content=text, reasoning=text)

    async def use(ledger: Ledger) -> None:
        await ledger.record("p", {key(1): answer})

    recording(tmp_path, use)
    with Ledger.open(tmp_path) as ledger:
        assert ledger.answers("p") == {key(1): answer}
        assert ledger.answers("another prompt") == {}


def test_the_first_answer_to_a_request_stays(tmp_path: Path) -> None:
    async def use(ledger: Ledger) -> None:
        await ledger.record("p", {key(1): Completion(content="first")})
        await ledger.record("p", {key(1): Completion(content="second")})
        assert ledger.answers("p")[key(1)].content == "first"

    recording(tmp_path, use)


def test_a_failure_is_kept_until_an_answer_comes(tmp_path: Path) -> None:
    async def use(ledger: Ledger) -> None:
        await ledger.record_failure("p", key(1), Failure("engine", "first try"))
        await ledger.record_failure("p", key(1), Failure("engine", "odd \ud800 words\0"))
        await ledger.record_failure("p", key(2), Failure("context_too_long", "too long"))
        assert ledger.failures("p")[key(1)].error.startswith("odd")
        await ledger.record("p", {key(1): Completion(content="at last")})
        assert ledger.failures("p") == {key(2): Failure("context_too_long", "too long")}

    recording(tmp_path, use)


def test_thousands_of_records_share_few_commits(tmp_path: Path) -> None:
    commits: list[str] = []

    async def use(ledger: Ledger) -> None:
        assert ledger._writer is not None
        ledger._writer._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        await asyncio.gather(*(ledger.record(f"p{k % 97}", {key(k): Completion(content=str(k))}) for k in range(5000)))
        other = sqlite3.connect(ledger.path)
        assert other.execute("SELECT count(*), count(DISTINCT key) FROM answers").fetchone() == (5000, 5000)
        other.close()

    recording(tmp_path, use)
    assert 0 < len(commits) < 500
    with Ledger.read(tmp_path) as ledger:
        assert {k: a.content for k, a in ledger.answers("p3").items()} == {key(k): str(k) for k in range(3, 5000, 97)}


def test_answers_of_many_prompts_are_taken_in_at_once(tmp_path: Path) -> None:
    async def use(ledger: Ledger) -> None:
        await ledger.record("p0", {key(0): Completion(content="first")})

    recording(tmp_path, use)
    answers = [(f"p{k % 7}", key(k), answer_to_text(Completion(content=str(k)))) for k in range(1000)]
    failures = [
        ("p1", key(1), Failure("engine", "answered meanwhile")),
        ("p9", key(9), Failure("engine", "bad \ud800")),
    ]
    with Ledger.open(tmp_path) as ledger:
        ledger.ingest(iter(answers), iter(failures), [Spent("sampling", "m", 3, 20, 10)] * 2)
    with Ledger.read(tmp_path) as ledger:
        assert ledger.tally()["answers"] == 1000
        assert ledger.answers("p0")[key(0)].content == "first"
        assert ledger.answers("p3")[key(3)] == answer_from_text(answers[3][2]) == Completion(content="3")
        assert ledger.failures("p1") == {}
        assert ledger.failures("p9") == {key(9): Failure("engine", "bad \ufffd")}
        assert ledger.spending() == [Spent("sampling", "m", 6, 40, 20)]


def test_what_cannot_be_taken_in_whole_is_not_taken_in(tmp_path: Path) -> None:
    def breaks() -> Any:
        yield "p", key(1), "{}"
        raise InputError("no more")

    with Ledger.open(tmp_path) as ledger:
        with pytest.raises(InputError, match="no more"):
            ledger.ingest(breaks(), [])
        assert ledger.answers("p") == {}
    with Ledger.read(tmp_path) as ledger, pytest.raises(StorageError, match="reading only"):
        ledger.ingest([], [])


def test_records_from_several_event_loops_at_once(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:

        def work(part: int) -> None:
            async def use() -> None:
                await asyncio.gather(
                    *(ledger.record("p", {key(100 * part + k): Completion(content="")}) for k in range(100))
                )

            asyncio.run(use())

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ledger.answers("p")) == 400


def test_what_cannot_be_written_wakes_its_waiters_and_every_later_one(tmp_path: Path) -> None:
    async def use(ledger: Ledger) -> None:
        bad = ledger._submit([("INSERT INTO no_such_table VALUES (1)", ())])
        with pytest.raises(StorageError, match=r"ledger\.sqlite: no such table"):
            await asyncio.wait_for(bad, 60)
        with pytest.raises(StorageError, match="no such table"):
            await asyncio.wait_for(ledger.record("p", {key(1): Completion(content="")}), 60)

    recording(tmp_path, use)
    with Ledger.read(tmp_path) as ledger:
        assert ledger.answers("p") == {}


# -- the asker


def test_an_answer_is_on_disk_before_it_is_used(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"samples": ["a", "b", "c"], "greedy": "g"}\n')
    request = Request(messages=[{"role": "user", "content": "?"}], temperature=0.5, seed=7, n=3)

    async def use(ledger: Ledger) -> None:
        asker = Asker(ledger, ScriptedEngine(str(script), EngineOptions()), model="m", extra_body={})
        answers = await asker.ask("p", request, {})
        other = sqlite3.connect(ledger.path)
        on_disk = {k for (k,) in other.execute("SELECT key FROM answers WHERE prompt_id = 'p'")}
        other.close()
        assert on_disk == {_key(dataclasses.replace(request, n=1, seed=7 + k)) for k in range(3)}
        assert asker.usage.requests == 1
        again = await asker.ask("p", request, ledger.answers("p"))
        assert [a.content for a in again] == [a.content for a in answers] == ["b", "c", "a"]
        assert (asker.usage.requests, asker.usage.taken_from_ledger) == (1, 3)

    recording(tmp_path / "run", use)


def test_only_the_choices_that_are_missing_are_asked(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"samples": ["0", "1", "2", "3", "4"]}\n')
    request = Request(messages=[{"role": "user", "content": "?"}], temperature=0.5, seed=0, n=5)

    async def use(ledger: Ledger) -> None:
        asker = Asker(ledger, ScriptedEngine(str(script), EngineOptions()), model="m", extra_body={})
        known = {_key(dataclasses.replace(request, n=1, seed=2)): Completion(content="kept")}
        answers = await asker.ask("p", request, known)
        assert [a.content for a in answers] == ["0", "1", "kept", "3", "4"]
        assert (asker.usage.requests, asker.usage.choices) == (2, 4)

    recording(tmp_path / "run", use)


def test_a_failed_request_is_recorded_and_replayed_as_such(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"samples": [{"error": "it \\ud800 broke"}]}\n')
    request = Request(messages=[{"role": "user", "content": "?"}], temperature=0.5, seed=0)

    async def use(ledger: Ledger) -> None:
        replay = Asker(ledger, None, model="m", extra_body={})
        with pytest.raises(NotAnswered, match="not asked yet") as never:
            await replay.ask("p", request, {})
        assert never.value.failure is None
        asker = Asker(ledger, ScriptedEngine(str(script), EngineOptions()), model="m", extra_body={})
        with pytest.raises(EngineError, match="broke"):
            await asyncio.wait_for(asker.ask("p", request, {}), 60)
        with pytest.raises(NotAnswered, match="it \ufffd broke") as failed:
            await replay.ask("p", request, {})
        assert failed.value.failure == Failure("engine", "it \ufffd broke")

    recording(tmp_path / "run", use)


# -- keys

REQUEST = Request(messages=[{"role": "user", "content": "Hi"}], temperature=0.5, top_p=0.9, max_tokens=64, seed=1)


def _key(request: Request, model: str = "m", extra: dict[str, Any] | None = None) -> bytes:
    return request_key(model, request, extra or {}, messages_digest=digest_messages(request.messages))


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": [{"role": "user", "content": "Hi "}]},
        {"messages": [{"role": "system", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "H"}, {"role": "user", "content": "i"}]},
        {"temperature": 0.6},
        {"top_p": 0.8},
        {"max_tokens": 65},
        {"seed": 2},
        {"seed": None},
        {"top_logprobs": 1},
        {"json_schema": {"type": "object"}},
        {"early_stop": {"min_count": 4}},
    ],
)
def test_every_parameter_is_part_of_the_key(changed: dict[str, Any]) -> None:
    assert _key(dataclasses.replace(REQUEST, **changed)) != _key(REQUEST)


def test_model_and_extra_fields_are_part_of_the_key_and_n_is_not() -> None:
    assert len({_key(REQUEST), _key(REQUEST, model="n"), _key(REQUEST, extra={"top_k": 1})}) == 3
    assert _key(REQUEST, extra={"a": 1, "b": {"c": 2, "d": 3}}) == _key(REQUEST, extra={"b": {"d": 3, "c": 2}, "a": 1})
    assert _key(dataclasses.replace(REQUEST, n=5)) == _key(REQUEST)
    assert _key(dataclasses.replace(REQUEST, temperature=1)) == _key(dataclasses.replace(REQUEST, temperature=1.0))


def test_a_new_field_of_a_request_must_be_thought_of() -> None:
    known = {"messages", "temperature", "top_p", "max_tokens", "seed", "n", "top_logprobs", "json_schema"}
    known |= {"early_stop"}
    assert {field.name for field in dataclasses.fields(Request)} == known


def test_odd_messages_have_digests_of_their_own() -> None:
    texts = ["\ud800", "\udfff", "\ufffd", "\0", "", "a\0"]
    assert len({digest_messages([{"role": "user", "content": text}]) for text in texts}) == len(texts)


# -- prompts and progress


def test_prompts_come_back_in_order_and_page_by_page(tmp_path: Path) -> None:
    prompt = Prompt.make(
        [{"role": "system", "content": "s\0"}, {"role": "user", "content": "文"}], row=1, reference="42"
    )
    rows = [SourceRow(1, prompt), SourceRow(2, None, "empty", "nothing \ud800")]
    rows += [SourceRow(k, Prompt.make(f"p{k}", row=k)) for k in range(3, 25)]
    with Ledger.open(tmp_path) as ledger:
        ledger.set_prompts([SourceRow(1, Prompt.make("of an earlier session", row=1))])
        ledger.set_prompts(iter(rows))
        found = list(ledger.rows(page=5))
        assert found == [rows[0], SourceRow(2, None, "empty", "nothing \ufffd"), *rows[2:]]
        assert ledger.count() == 23


def test_a_source_that_breaks_leaves_the_former_prompts(tmp_path: Path) -> None:
    def breaks() -> Any:
        yield SourceRow(1, Prompt.make("new", row=1))
        raise InputError("line 2 is broken")

    with Ledger.open(tmp_path) as ledger:
        ledger.set_prompts([SourceRow(1, Prompt.make("old", row=1))])
        with pytest.raises(InputError, match="line 2"):
            ledger.set_prompts(breaks())
        assert [row.prompt and row.prompt.messages[0]["content"] for row in ledger.rows()] == ["old"]


def test_progress_says_what_is_left_to_do(tmp_path: Path) -> None:
    prompts = [Prompt.make(f"p{k}", row=k) for k in range(4)]

    async def use(ledger: Ledger) -> None:
        ledger.set_prompts(SourceRow(p.row, p) for p in prompts)
        await ledger.record_progress(prompts[0].prompt_id, "now", Progress("done", 1, 1, 5, 2))
        await ledger.record_progress(prompts[1].prompt_id, "before", Progress("done", 1, 0, 5, 1))
        await ledger.record_progress(prompts[2].prompt_id, "now", Progress("failed", 0, 0, 0, 0))
        await ledger.record_progress("of another file", "now", Progress("done", 9, 9, 9, 9))
        todo = [row.prompt for row in ledger.rows(todo_under="now")]
        assert todo == prompts[1:]
        assert (ledger.count(), ledger.count(state="done"), ledger.count(done_under="now")) == (4, 2, 1)
        sums = {"done": 2, "failed": 1, "greedy": 2, "greedy_looping": 1, "sampled": 10, "sampled_looping": 3}
        assert ledger.tally() == sums | {"answers": 0}

    recording(tmp_path, use)


def test_small_facts_are_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        assert ledger.get("seconds") is None
        ledger.put("seconds", "1.5")
        ledger.put("seconds", "2.5")
    with Ledger.read(tmp_path) as ledger:
        assert ledger.get("seconds") == "2.5"


# -- one process at a time


def test_a_second_process_is_turned_away_until_the_first_is_gone(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    try:
        assert first.stdout.readline() == "open\n"
        with pytest.raises(RunInUse) as refused:
            Ledger.open(tmp_path)
        assert str(refused.value).startswith(f"{tmp_path}: another process works in this run directory")
        assert "\n" not in str(refused.value)
        with Ledger.read(tmp_path) as ledger:  # looking on is always possible
            assert ledger.count() == 0
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    with Ledger.open(tmp_path) as ledger:
        assert ledger.count() == 0


def test_the_same_process_is_turned_away_too_and_close_gives_the_run_free(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    with pytest.raises(RunInUse):
        Ledger.open(tmp_path)
    ledger.close()
    ledger.close()
    Ledger.open(tmp_path).close()


def test_a_closed_ledger_takes_nothing_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.close()
    with pytest.raises(StorageError, match="closed"):
        asyncio.run(asyncio.wait_for(ledger.record("p", {key(1): Completion(content="")}), 60))
    with Ledger.read(tmp_path) as reader, pytest.raises(StorageError, match="reading only"):
        asyncio.run(reader.record("p", {key(1): Completion(content="")}))


# -- files that are no ledgers, and folders that take none


def test_another_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.executescript("CREATE TABLE meta (name TEXT, value TEXT); INSERT INTO meta VALUES ('format', '99')")
    connection.close()
    before = (tmp_path / "ledger.sqlite").read_bytes()
    for opening in (Ledger.open, Ledger.read):
        with pytest.raises(StorageError, match="ledger format 99, this version reads 1; pass another --out"):
            opening(tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    with pytest.raises(StorageError, match="ledger format none"):
        Ledger.open(tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    connection.close()


@pytest.mark.parametrize("damage", ["no database at all", "overwritten"])
def test_a_damaged_file_is_told_in_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    if damage == "overwritten":

        async def use(ledger: Ledger) -> None:
            await ledger.record("p", {key(k): Completion(content="x" * 1000) for k in range(50)})

        recording(tmp_path, use)
        data = bytearray(path.read_bytes())
        data[4096:] = bytes(b ^ 0x5A for b in data[4096:])
        path.write_bytes(data)
    else:
        path.write_bytes(b"these are not the bytes of a database, however long one looks at them" * 100)
    with pytest.raises(StorageError) as error, Ledger.open(tmp_path) as ledger:
        ledger.answers("p")
    assert str(error.value).endswith("the file is damaged or no ledger; move it away or pass another --out")
    assert "\n" not in str(error.value)
    path.unlink()
    Ledger.open(tmp_path).close()  # the lock was given back


def test_no_run_directory_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run directory \(it holds no ledger\.sqlite\)"):
        Ledger.read(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_the_way_of_the_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(StorageError, match=r"cannot be written .*; pass an --out that can be written to"):
            Ledger.open(tmp_path / place)


def test_a_read_only_disk_can_be_looked_at_and_not_written(tmp_path: Path) -> None:
    async def use(ledger: Ledger) -> None:
        await ledger.record("p", {key(1): Completion(content="kept")})

    with small_disk(tmp_path / "disk", kilobytes=1024) as disk:
        recording(disk / "run", use)
        make_read_only(disk)
        with pytest.raises(StorageError, match="cannot be written"):
            Ledger.open(disk / "run")
        with pytest.raises(StorageError, match="cannot be written"):
            Ledger.open(disk / "new")
        with Ledger.read(disk / "run") as ledger:
            assert ledger.answers("p")[key(1)].content == "kept"
