"""The dataset card: exact figures, nothing invented, and text that cannot leave its place."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from loopguard import Run
from loopguard.files import TableWriter
from loopguard.handover.card import Licence, hub_dataset, prompts_name, public_name
from loopguard.handover.markdown import code, fenced, shortened, table
from loopguard.handover.pair_figures import Lengths, pair_figures, score_figures
from loopguard.handover.push import prepare
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES, candidate_row, pair_row, schemas
from loopguard.records import Pair
from tests.handover.a_run import WAIT, make_run
from tests.prefs.made import PROMPT, candidate, loop

UNKNOWN = Licence(name="unknown", said_by="nobody")


def card_of(run: Path, folder: Path, licence: Licence = UNKNOWN, **options: Any) -> str:
    return prepare(run, "me/pairs", folder, licence=licence, **options)["README.md"].read_text()


def head(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def parsed(card: str) -> Any:
    """The card as the Hub renders it, its YAML cut off."""
    return MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2])


def headings(card: str) -> list[str]:
    tokens = parsed(card)
    return [tokens[k + 1].content for k, token in enumerate(tokens) if token.type == "heading_open"]


# -- text in its place


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "`plain`"),
        ("", "(empty)"),
        (" \n ", "(empty)"),
        ("two\nlines", "`two lines`"),
        ("a `tick`", "`` a `tick` ``"),
        ("```", "```` ``` ````"),
        ("\x1b[31mred", "`␛[31mred`"),
        ("a\u202eb", "`a\\u202eb`"),
        ("x" * 201, f"`{'x' * 200}...`"),
        ("<b>", "`<b>`"),
    ],
)
def test_inline_code_holds_any_text(text: str, shown: str) -> None:
    assert code(text) == shown
    if text.strip():
        [paragraph] = [token for token in MarkdownIt().parse(shown) if token.type == "inline"]
        assert [token.type for token in paragraph.children or []] == ["code_inline"]


@pytest.mark.parametrize("text", ["a", "```\n# out", "~~~", "`" * 9 + "\n<script>", "\r\n---\r\n", "x\n````\ny\u2028"])
def test_a_fence_holds_any_text(text: str) -> None:
    tokens = MarkdownIt().parse(f"{fenced(text)}\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", ["a\\|b", "a\\\\|b", "a\\\\\\|b", "|", "\\"])
def test_backslashes_before_a_bar_are_paired(text: str) -> None:
    """As some readers do (marked, micromark), from the left: a bar after an odd number of them stays in its cell too."""
    (line,) = table(("x",), [(text,)]).splitlines()[2:]
    inner = line.removeprefix("| ").removesuffix(" |")
    assert "|" not in re.sub(r"\\.", "", inner)


def test_a_cell_stays_in_its_cell() -> None:
    shown = table(("a", "b"), [(code("x|y\\|z"), "1\n2")])
    assert shown == "| a | b |\n| --- | ---: |\n| `x\\|y\\ \\|z` | 1 2 |"
    tokens = MarkdownIt().enable("table").parse(shown)
    assert sum(token.type == "td_open" for token in tokens) == 2


def test_long_text_is_cut_by_characters_and_by_lines() -> None:
    assert shortened("short") == "short"
    assert shortened("x" * 900) == "x" * 800 + " [... 100 characters more ...]"
    assert shortened("\n" * 100) == "\n" * 29 + " [... 71 characters more ...]"


@pytest.mark.parametrize(
    ("name", "public", "prompts"),
    [
        ("org/model", "org/model", "model"),
        ("/home/joe/models/tiny", "tiny", "tiny"),
        ("~/tiny/", "tiny", "tiny"),
        ("C:\\joe\\tiny", "tiny", "tiny"),
        ("../data/p.jsonl", "p.jsonl", "p.jsonl"),
        ("data/p.jsonl", "data/p.jsonl", "p.jsonl"),
        ("hf:user/data:train", "hf:user/data:train", "hf:user/data:train"),
    ],
)
def test_names_lose_the_folders_of_this_machine(name: str, public: str, prompts: str) -> None:
    assert (public_name(name), prompts_name(name)) == (public, prompts)


def test_the_dataset_of_prompts_from_the_hub() -> None:
    names = ["hf:user/data", "hf:user/data/config:test", "prompts.jsonl", "a list"]
    assert [hub_dataset(name) for name in names] == ["user/data", "user/data", None, None]


HOSTILE = "```\n---\nlicense: mit\n---\n# Not a heading\n<script>alert(1)</script>\n| a | b |\n\x1b[2J[x](javascript:1)\n````\n"


def test_a_hostile_run_gives_the_headings_of_any_other(tmp_path: Path) -> None:
    looping = {"content": HOSTILE + HOSTILE * 30, "finish_reason": "length"}
    rules = [{"samples": [looping, f"Fine. {HOSTILE}"], "greedy": f"Also fine. {HOSTILE}"}]
    model = "m`|<img src=x>\n---\nlicense: mit\n---\n# heading"
    run = make_run(tmp_path, [HOSTILE + "?"], rules=rules, engine__model=model, judge__spec="none").path
    card = card_of(run, tmp_path / "dataset")
    assert head(card)["license"] == "unknown"
    assert headings(card) == [
        *("pairs", "Load it and train", "How it was made", "How often it loops", "Lengths", "A pair"),
        "Licence, and what to look at before use",
    ]
    tokens = parsed(card)
    inner = [child.type for token in tokens for child in token.children or []]
    assert not {"html_block", "html_inline", "link_open", "image"} & {*inner, *(token.type for token in tokens)}
    assert [token.info for token in tokens if token.type == "fence"] == ["python", "text", "text", "text"]
    assert "\x1b" not in card


def test_no_address_and_no_folder_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path).path
    summary = json.loads((run / "summary.json").read_text())
    summary["engine"] = {"engine": "openai:http://10.1.2.3:8000/v1", "model": "/home/joe/models/tiny"}
    summary["judged_by"] |= {"engine": "vllm:/home/joe/judge", "model": "/home/joe/judge"}
    summary |= {"prompts_from": "/home/joe/p.jsonl", "stopped": "http://10.1.2.3:8000/v1 is gone"}
    (run / "summary.json").write_text(json.dumps(summary))
    card = card_of(run, tmp_path / "dataset")
    assert "10.1.2.3" not in card
    assert "joe" not in card
    assert "| model | `tiny`, an OpenAI-compatible server |" in card
    assert "by `judge`, vLLM |" in card
    assert "| prompts | `p.jsonl` |" in card


# -- what it says


def test_equal_runs_give_equal_cards(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = (card_of(make_run(tmp_path / name).path, tmp_path / name / "dataset") for name in ("a", "b"))
    assert a == b
    again = shutil.copytree(tmp_path / "a" / "run", tmp_path / "moved")
    assert card_of(again, tmp_path / "dataset") == a


def test_what_a_card_says_is_what_the_run_says(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"contains": "Good", "greedy": {"content": "5", "logprobs": {"5": 0.0}}},
        {"contains": "Poor", "greedy": {"content": "1", "logprobs": {"1": 0.0}}},
        {"contains": "<<<ANSWER", "greedy": {"content": "3", "logprobs": {"3": 0.0}}},
        {"prompt": "loop", "samples": [{"content": WAIT * 40, "finish_reason": "length"}, "Fine."], "greedy": "Fair."},
        {"prompt": "same", "samples": ["One."], "greedy": "One."},
        {"samples": ["Good answer.", "Poor."], "greedy": "Middling."},
    ]
    prompts = ["loop", "same", "score", "score"]
    run = make_run(tmp_path, prompts, rules=rules, sampling__samples=2, sampling__temperature=0.7).path
    card = card_of(run, tmp_path / "dataset", Licence(name="mit", said_by="option"))
    known = head(card)
    assert {key: known[key] for key in ("license", "task_categories", "tags", "size_categories")} == {
        "license": "mit",
        "task_categories": ["text-generation"],
        "tags": ["dpo", "preference", "synthetic", "loopguard"],
        "size_categories": ["n<1K"],
    }
    assert known["configs"] == [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": f"{name}/train-*"}],
            **({"default": True} if name == "preferences" else {}),
        }
        for name in ("preferences", "candidates", "skipped")
    ]
    assert [info["splits"][0]["num_examples"] for info in known["dataset_info"]] == [2, 9, 2]
    for line in (
        "2 preference pairs for DPO and its kin, made by loopguard 0.1.0 (`pip install loopguard-prefs`) from 3 prompts: in 1"
        " the rejected answer is a doom loop (it repeats itself), in 1 the one that a judge scored lower.",
        "| recipe | `default` |",
        "| prompts | `prompts.jsonl` |",
        "| candidates a prompt | 2 at temperature 0.7, top_p 0.95 and 1 greedy, at most 1,024 tokens each, seed 0 |",
        "| detector | `loopguard:0.1.0\\|rules:7\\|settings:default` |",
        "| greedy | 0 | 3 | 0.00% | 0.00% to 56.15% |",
        "| sampled | 1 | 6 | 16.67% | 3.01% to 56.35% |",
        "By kind: 1 `verbatim, terminal`.",
        "| by loop | 1 | 2 | 2 | 2 | 341 | 341 | 341 | 100.0% |",
        "| by score | 1 | 4 | 4 | 4 | 2 | 2 | 2 | 0.0% |",
        "| all | 2 | 3 | 4 | 4 | 172 | 341 | 341 | 50.0% |",
        "| read from logprobs | 5 |",
        "| calls saved: looping candidates need no judge | 1 |",
        "| mean score | 3.00 |",
        "| median margin of the pairs by score | 4.00 |",
        "| `all_equal` | no pair to be made | 1 |",
        "| `duplicate` | no prompt in the row | 1 |",
        'pairs = load_dataset("me/pairs")',
        "Licence: `mit`, as given by who pushed it. To look at before you publish it or train on it:",
    ):
        assert line in card.splitlines(), line
    assert f"from character 0, 40.0 copies of {len(WAIT)}, to the end." in card
    assert f"⟦{WAIT}⟧⟦{WAIT}⟧ [... and 38.0 copies more ...] " in card
    assert "max_length=128" in card


def test_a_run_without_a_judge_and_without_skips_leaves_those_parts_out(tmp_path: Path) -> None:
    rules = [{"samples": [{"content": WAIT * 40, "finish_reason": "length"}, "Fine."], "greedy": "Fair."}]
    run = make_run(tmp_path, ["loop"], rules=rules, judge__spec="none", sampling__samples=2, pairing__trim_loops=3).path
    card = card_of(run, tmp_path / "dataset")
    assert [info["config_name"] for info in head(card)["dataset_info"]] == ["preferences", "candidates"]
    assert "The judge" not in headings(card)
    assert "Without a pair" not in headings(card)
    assert "| judge | none: pairs by loop only |" in card
    assert "there is no config `skipped`" in card
    assert "to the end; trimmed to the first copies." in card
    assert "rejected loops cut after 3 copies |" in card


@pytest.mark.parametrize(
    ("licence", "yaml_says", "text_says"),
    [
        (UNKNOWN, "unknown", "`unknown`: nobody has said"),
        (
            Licence(name=["mit", "cc0-1.0"], said_by="prompts"),
            ["mit", "cc0-1.0"],
            "`mit`, `cc0-1.0`: that of the prompts'",
        ),
    ],
)
def test_the_licence_says_who_gave_it(tmp_path: Path, licence: Licence, yaml_says: object, text_says: str) -> None:
    card = card_of(make_run(tmp_path).path, tmp_path / "dataset", licence)
    assert head(card)["license"] == yaml_says
    assert f"Licence: {text_says}" in card


def test_the_hubs_own_reader_takes_the_card(tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    found = DatasetCard(card_of(make_run(tmp_path).path, tmp_path / "dataset", test_share=0.4))
    assert found.data.tags == ["dpo", "preference", "synthetic", "loopguard"]
    assert [part["split"] for part in found.data.to_dict()["configs"][0]["data_files"]] == ["train", "test"]
    assert 'eval_dataset=pairs["test"]' in found.content


# -- figures


def figures_of(folder: Path, pairs: list[Pair]) -> Any:
    """The figures of pairs written as a run writes them."""
    with TableWriter(folder / PREFERENCES, schemas()[PREFERENCES]) as rows:
        for pair in pairs:
            rows.write(pair_row(pair))
    with TableWriter(folder / CANDIDATES, schemas()[CANDIDATES]) as rows:
        for pair in pairs:
            for one, used in ((pair.chosen, "chosen"), (pair.rejected, "rejected")):
                rows.write(candidate_row(one, 7) | {"used_as": used})
    return pair_figures(folder)


def pair(chosen: Any, rejected: Any, *, text: str | None = None, reason: Any = "loop") -> Pair:
    return Pair(
        prompt=PROMPT,
        pair_index=0,
        reason=reason,
        chosen=chosen,
        rejected=rejected,
        rejected_text=text if text is not None else rejected.text,
    )


def test_max_length_holds_prompt_chosen_and_the_second_copy(tmp_path: Path) -> None:
    late = loop(1, 500, unit="abcd ", lead="x" * 990)  # a token a character: 11 + 990 + 2 * 5 + 16 = 1027
    early = loop(2, 500, unit="abcd ")
    found = figures_of(tmp_path, [pair(candidate(0, "y" * 20, 4), early)] * 3 + [pair(candidate(0, "y" * 20, 4), late)])
    assert found.max_length == 1152
    assert found.within == {256: 0.75, 512: 0.75, 1024: 0.75, 2048: 1.0}
    assert found.lengths["loop"] == Lengths(pairs=4, chosen=(20, 20, 20), rejected=(2500, 3490, 3490), chosen_shorter=4)
    assert "all" in found.lengths
    assert found.sample["rejected_wasted_fraction"] is not None
    assert (found.truncated, found.trimmed, found.uncounted, found.prompts_estimated) == (4, 0, 0, 0)


def test_a_trimmed_text_is_as_long_as_it_is_now(tmp_path: Path) -> None:
    whole = loop(1, 100, unit="abcd ", completion_tokens=250)
    found = figures_of(tmp_path, [pair(candidate(0, "y", 4), whole, text="abcd " * 3)])
    assert found.lengths["loop"].rejected == (7.5, 7.5, 7.5)
    assert (found.trimmed, found.truncated) == (1, 1)


def test_where_no_token_was_counted_four_characters_are_one(tmp_path: Path) -> None:
    sides = (candidate(k, "y" * size, k, completion_tokens=0, prompt_tokens=0) for k, size in ((5, 400), (1, 40)))
    found = figures_of(tmp_path, [pair(*sides, reason="score")])
    assert found.lengths["score"] == Lengths(pairs=1, chosen=(100,) * 3, rejected=(10,) * 3, chosen_shorter=0)
    assert (found.uncounted, found.prompts_estimated, found.median_margin) == (1, 1, 4)
    assert found.max_length == 128


def test_the_scores_of_a_run(tmp_path: Path) -> None:
    figures_of(tmp_path, [pair(candidate(0, "a", 5), candidate(1, "b", 2), reason="score")])
    found = score_figures(tmp_path)
    assert found is not None
    assert (found.mean, found.median, found.low, found.high) == (3.5, 3.5, 2, 5)


def test_no_card_holds_what_changes_by_itself(tmp_path: Path) -> None:
    run: Run = make_run(tmp_path)
    card = card_of(run.path, tmp_path / "dataset")
    assert not re.search(r"20\d\d-\d\d|seconds", card)
