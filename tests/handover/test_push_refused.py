"""`loopguard push` that is refused, and `build-prefs --push-to-hub`: one clear line each, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from loopguard import Run
from loopguard.errors import InputError
from loopguard.handover.hub import check_name
from tests.handover.a_run import make_run
from tests.handover.pushing import PROMPTS, RULES, fails, push
from tests.hub_push_server import READER, STRANGER, TOKEN, Fault, PushHub
from tests.prefs.commands import loopguard, write_prompts

# -- no token, no right, no network


def test_without_a_token_one_line_says_how_to_log_in(hub: PushHub, run: Path) -> None:
    fails(push(hub, run, token=None), "no token", "HF_TOKEN", "hf auth login")
    assert not hub.requests


def test_a_stored_login_is_taken(hub: PushHub, run: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    assert push(hub, run, token=None).returncode == 0
    assert "me/pairs" in hub.repos


@pytest.mark.parametrize("invisible", ["\u200b", "\x01", "\u00fc"])
def test_a_token_that_cannot_be_sent_is_in_no_complaint(hub: PushHub, run: Path, invisible: str) -> None:
    done = push(hub, run, token=f"hf_first{invisible}second")
    fails(done, "HF_TOKEN (or the stored login) holds a character that no token has")
    assert "second" not in done.stdout + done.stderr
    assert not hub.requests


def test_a_wrong_token_a_reading_one_and_a_strangers(hub: PushHub, run: Path) -> None:
    fails(push(hub, run, token="hf_of_nobody"), "does not take the token (HTTP 401)", "hf auth login")
    fails(push(hub, run, token=READER), "me/pairs: the token has no right", "HTTP 403")
    fails(push(hub, run, token=STRANGER), "me/pairs: the token has no right", "HTTP 403")
    hub.add("me/pairs", {})
    fails(push(hub, run, token=STRANGER), "me/pairs: the token has no right", "HTTP 403")
    assert sorted(hub.repos["me/pairs"].files()) == []


def test_without_a_network(hub: PushHub, run: Path) -> None:
    fails(push(hub, run, HF_ENDPOINT="http://127.0.0.1:9"), "cannot be reached at http://127.0.0.1:9", "HF_ENDPOINT")
    fails(push(hub, run, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set")


def test_the_token_is_in_no_output_and_no_file(hub: PushHub, run: Path, tmp_path: Path) -> None:
    hub.faults.append(Fault("POST", "/commit/", 400, body=json.dumps({"error": f"bad {TOKEN} here"}).encode()))
    hub.faults.append(Fault("PUT", "/lfs/", 429, {"Retry-After": "0"}))
    hub.faults.append(Fault("PUT", "/lfs/", 403, times=3, body=b"no signature"))
    said = "".join(
        done.stdout + done.stderr for done in (push(hub, run, HF_DEBUG="1") for _ in range(3)) if done.returncode < 2
    )
    assert "refuses (HTTP 400): bad *** here" in said
    assert "HTTP 403" in said
    assert "Pushed 4" in said
    assert TOKEN not in said
    assert "Rate limited" in said
    assert "signed_secret" not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
    assert not [path for path, data in hub.repos["me/pairs"].files().items() if TOKEN.encode() in data]


# -- input that cannot be pushed


def test_a_name_that_is_none(hub: PushHub, run: Path) -> None:
    more = (
        "me/pairs/x",
        "me/",
        "/pairs",
        "me/pa irs",
        "me/p--q",
        "me/x.git",
        "datasets/me/pairs",
        "https://hub/me/x",
        "",
    )
    for name in more:
        with pytest.raises(InputError, match="user/name"):
            check_name(name)
    fails(push(hub, run, repo="pairs"), "'pairs' is no name of a dataset", "user/name")
    assert not hub.requests


def test_a_run_that_is_still_going(hub: PushHub, run: Path) -> None:
    with FileLock(run / ".lock"):
        fails(push(hub, run), "still going", "Ctrl-C")
    assert not hub.requests


def test_a_run_without_tables_without_pairs_and_no_run(hub: PushHub, run: Path, tmp_path: Path) -> None:
    fails(push(hub, tmp_path), "no run directory")
    empty = make_run(tmp_path, ["say one thing", "or say one thing"], rules=RULES).path
    fails(push(hub, empty), "no pairs", "2 all_equal")
    (run / "candidates.parquet").unlink()
    fails(push(hub, run), "no candidates.parquet", "build-prefs again")
    (run / "summary.json").unlink()
    fails(push(hub, run), "no summary.json yet")
    assert not hub.requests


def test_tables_that_are_damaged_or_of_another_session(hub: PushHub, run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["pairs"]["total"] += 1
    (run / "summary.json").write_text(json.dumps(summary))
    fails(push(hub, run), "preferences.parquet holds 20 rows", "tells of 21")
    (run / "preferences.parquet").write_bytes(b"PAR1 and then nothing")
    fails(push(hub, run), "preferences.parquet: damaged")
    (run / "summary.json").write_text("{")
    fails(push(hub, run), "summary.json: damaged")
    assert not hub.requests


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--split", "1"), "--split 1"),
        (("--split", "-0.1"), "--split -0.1"),
        (("--split", "0.0001"), "leaves none of 20 pairs for test"),
        (("--license", "My Licence"), "--license 'My Licence'"),
        (("--out", "x"), "--out is for --dry-run"),
    ],
)
def test_options_that_do_not_hold(hub: PushHub, run: Path, options: tuple[str, ...], said: str) -> None:
    fails(push(hub, run, *options), said)
    assert not hub.repos


def test_a_licence_that_the_hub_does_not_know(hub: PushHub, run: Path) -> None:
    fails(push(hub, run, "--license", "no-such-licence"), "refuses the card", '"license" must be one of')
    assert sorted(hub.repos["me/pairs"].files()) == [".gitattributes"]


# -- whose licence


@pytest.mark.parametrize(
    ("card", "licence", "said"),
    [
        ("license: cc-by-4.0", "cc-by-4.0", "that of the prompts' dataset `lab/questions`"),
        ("license: [mit, apache-2.0]", ["mit", "apache-2.0"], "that of the prompts' dataset"),
        ("language: de", "unknown", "nobody has said"),
    ],
)
def test_the_licence_of_prompts_from_the_hub_is_inherited(
    hub: PushHub, tmp_path: Path, card: str, licence: object, said: str
) -> None:
    rows = b"".join(json.dumps({"prompt": prompt}).encode() + b"\n" for prompt in PROMPTS[:3])
    hub.add("lab/questions", {"README.md": f"---\n{card}\n---\n".encode(), "train.jsonl": rows})
    script = tmp_path / "answers.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in RULES))
    run, variables = tmp_path / "run", hub.environment(tmp_path / "home")
    options = ("--engine", f"scripted:{script}", "--samples", 3, "--out", run, "--push-to-hub", "me/pairs")
    done = loopguard("build-prefs", "hf:lab/questions", *options, **variables)
    assert done.returncode == 0, done.stderr
    readme = hub.repos["me/pairs"].files()["README.md"].decode()
    head = yaml.safe_load(readme.split("---\n")[1])
    assert (head["license"], head["source_datasets"]) == (licence, ["lab/questions"])
    assert said in readme
    assert loopguard("push", run, "me/pairs", "--license", "other", **variables).returncode == 0
    readme = hub.repos["me/pairs"].files()["README.md"].decode()
    assert yaml.safe_load(readme.split("---\n")[1])["license"] == "other"
    assert "`other`, as given by who pushed it" in readme
    del hub.repos["lab/questions"]
    gone = loopguard("push", run, "me/pairs", **variables)
    assert gone.returncode == 0
    assert "the licence of the prompts is not known: lab/questions: the Hub refuses (HTTP 404)" in gone.stderr
    assert b"license: unknown" in hub.repos["me/pairs"].files()["README.md"]


# -- build-prefs --push-to-hub


def build(
    hub: PushHub, tmp_path: Path, *options: object, token: str | None = TOKEN
) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "answers.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in RULES))
    prompts = write_prompts(tmp_path / "prompts.jsonl", PROMPTS)
    options = ("--engine", f"scripted:{script}", "--samples", 3, "--out", tmp_path / "run", *options)
    return loopguard("build-prefs", prompts, *options, **hub.environment(tmp_path / "home", token))


def test_build_prefs_pushes_at_its_end(hub: PushHub, tmp_path: Path) -> None:
    done = build(hub, tmp_path, "--push-to-hub", "me/pairs", "--private", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pairs"]["total"] == 20
    assert "Pushed 4 new or changed files" in done.stderr
    assert hub.repos["me/pairs"].private
    assert build(hub, tmp_path, "--push-to-hub", "me/pairs").returncode == 0
    assert len(hub.repos["me/pairs"].history()) == 2


def test_build_prefs_looks_at_name_and_token_before_anything_is_asked(hub: PushHub, tmp_path: Path) -> None:
    fails(build(hub, tmp_path, "--push-to-hub", "pairs"), "'pairs' is no name")
    fails(build(hub, tmp_path, "--push-to-hub", "me/pairs", token=None), "no token")
    fails(build(hub, tmp_path, "--push-to-hub", "me/pairs", token="hf_of_nobody"), "HTTP 401")
    fails(build(hub, tmp_path, "--push-to-hub", "me/pairs", token=READER), "may only read")
    fails(build(hub, tmp_path, "--push-to-hub", "others/pairs"), "one of me, lab", "others")
    fails(build(hub, tmp_path, "--private"), "--private is for --push-to-hub")
    assert not (tmp_path / "run").exists()


def test_a_push_that_fails_at_the_end_leaves_a_whole_run_and_names_the_command(hub: PushHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("POST", "/commit/", 500))
    done = build(hub, tmp_path, "--push-to-hub", "me/pairs", "--private", "--quiet")
    fails(done, "HTTP 500", "The run itself is complete", f"loopguard push {tmp_path / 'run'} me/pairs --private")
    assert Run(tmp_path / "run").summary["pairs"]["total"] == 20
    assert push(hub, tmp_path / "run", "--private").returncode == 0


def test_a_run_that_is_not_finished_is_not_pushed(hub: PushHub, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(json.dumps({"prompt": PROMPTS[0], "samples": ["a", "b", "c"]}) + "\n")
    rules = [{"prompt": PROMPTS[1], "samples": [{"error": "gone"}]}, *RULES]
    script = tmp_path / "some.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    done = build(hub, tmp_path, "--push-to-hub", "me/pairs", "--set", f"engine.engine=scripted:{script}")
    assert done.returncode == 3, done.stderr
    assert (
        f"not pushed, since the run is not finished; as it is: loopguard push {tmp_path / 'run'} me/pairs"
        in done.stderr
    )
    assert not hub.repos
    assert push(hub, tmp_path / "run").returncode == 0
    assert b"**The run was not finished:**" in hub.repos["me/pairs"].files()["README.md"]
