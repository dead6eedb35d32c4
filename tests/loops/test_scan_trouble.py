"""What is wrong with an input: named, and the rest goes on; hostile text; memory that stays flat."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopguard.errors import InputError, StorageError
from loopguard.loops.scan import scan_files
from tests.hub_server import HubRepo, HubServer
from tests.loops.outputs import CLEAN, LOOP, PERIOD, jsonl, parquet, rows
from tests.prefs.commands import loopguard
from tests.prefs.disks import small_disk


def test_wrong_column_says_which_there_are(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"id": 1, "output": CLEAN}])
    with pytest.raises(InputError, match=r"a\.jsonl has no column outptu; it has id, output$"):
        scan_files([file], text_column="outptu")
    with pytest.raises(InputError, match=r"--group-by modle: there is no such column; there are id, output"):
        scan_files([file], group_by=["modle"])
    with pytest.raises(InputError, match=r"column output holds no lists of integers but string"):
        scan_files([file], tokens_column="output")
    with pytest.raises(InputError, match=r"column id holds no text, messages or token ids but int64"):
        scan_files([file], text_column="id")


def test_no_column_is_found(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no column of outputs found; looked for output, .*; it has a, b: name one with"
    ):
        scan_files([parquet(tmp_path / "a.parquet", [{"a": 1, "b": "x"}])])


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*outputs\.jsnl; did you mean .*outputs\.jsonl\?"):
        scan_files([jsonl(tmp_path / "outputs.jsonl", rows(1)).with_suffix(".jsnl")])
    with pytest.raises(InputError, match=r"and 1 more like it"):
        scan_files([f"{tmp_path}/*.parquet", f"{tmp_path}/*.csv"])
    with pytest.raises(InputError, match="nothing to read"):
        scan_files([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        scan_files([tmp_path / "empty"])


def test_a_column_to_group_by_must_hold_values(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"output": CLEAN, "tags": ["a"]}])
    with pytest.raises(InputError, match="holds lists or objects"):
        scan_files([file], group_by=["tags"])


def test_too_many_groups(tmp_path: Path) -> None:
    table = pa.table({"output": ["x"] * 10_001, "id": list(range(10_001))})
    with pytest.raises(InputError, match=r"--group-by id: more than 10,000 different values"):
        scan_files([parquet(tmp_path / "a.parquet", table)], group_by=["id"])


def test_unreadable_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    parquet(tmp_path / "good.parquet", rows(10, loops=[1]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is none PAR1")
    cut = parquet(tmp_path / "cut.parquet", rows(100))
    cut.write_bytes(cut.read_bytes()[:-200])
    jsonl(tmp_path / "other.jsonl", [{"prompt": "no outputs"}])
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    result = scan_files([tmp_path, tmp_path / "missing.jsonl"], out=tmp_path / "v")
    assert (result.counts.overall.looping, result.counts.overall.total) == (1, 10)
    assert pq.read_metadata(tmp_path / "v").num_rows == 10
    assert not result.reading.complete
    named = [next(part for part in line.split() if str(tmp_path) in part) for line in result.reading.unreadable]
    assert [Path(name.rstrip(":")).name for name in named] == [
        "bad.jsonl.gz",
        "broken.parquet",
        "cut.parquet",
        "other.jsonl",
        "missing.jsonl",
    ]


def test_only_broken_files_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"none")
    result = scan_files([tmp_path])
    assert (result.counts.rows, len(result.reading.unreadable)) == (0, 1)


def test_a_file_that_is_damaged_inside(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows(40_000, loops=[0])), file, row_group_size=1000, compression="none")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\xff" * 20_000
    file.write_bytes(data)
    result = scan_files([file], out=tmp_path / "v.parquet")
    assert "a.parquet is damaged" in result.reading.unreadable[0]
    assert result.counts.overall.looping == 1
    assert pq.read_metadata(tmp_path / "v.parquet").num_rows == result.counts.rows < 40_000


def test_broken_rows_are_named_and_counted(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [*rows(3, loops=[1]), '{"output": "cut', "[1]", *rows(2)])
    result = scan_files([file])
    assert (result.counts.rows, result.counts.overall.looping) == (5, 1)
    assert dict(result.reading.bad_rows) == {"broken_json": 1, "not_an_object": 1}
    assert result.reading.bad_row_examples[0].startswith(f"{file}, row 4: broken_json")


HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "<script>alert(1)</script>",
    "[bold]markup[/bold]",
    "\u202eright to left",
    "\0",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_passes_through(text: str, tmp_path: Path) -> None:
    value = text + PERIOD * 30 + text
    result = scan_files([jsonl(tmp_path / "a.jsonl", [{"output": value}])], out=tmp_path / "v.parquet", examples=1)
    kept = pq.read_table(tmp_path / "v.parquet").to_pylist()[0]
    assert kept["output"] == value.replace("\ud800", "\ufffd")
    assert kept["looping"]
    assert result.examples[0].output == kept["output"]


def test_invalid_utf8_in_binary(tmp_path: Path) -> None:
    raw = b"\xff\xfe" + PERIOD.encode() * 30 + b"\x80"
    result = scan_files([parquet(tmp_path / "a.parquet", [{"output": raw}])], examples=1)
    assert result.counts.overall.looping == 1
    assert str(result.examples[0].output).startswith("\ufffd\ufffdThe user")


def test_a_table_may_be_replaced_by_its_own_scan(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", rows(30, loops=[3]))
    scan_files([file], out=file)
    assert pq.read_table(file)["looping"].to_pylist().count(True) == 1


def test_a_full_disk(tmp_path: Path) -> None:
    noise = random.Random(1)
    values = [{"output": noise.randbytes(2000).hex()} for _ in range(1000)]
    file = parquet(tmp_path / "a.parquet", values)
    with small_disk(tmp_path / "disk", kilobytes=300) as disk:
        (disk / "v.parquet").write_text("old")
        with pytest.raises(StorageError, match=r"v\.parquet: .*the disk is full"):
            scan_files([file], out=disk / "v.parquet")
        assert [path.name for path in disk.iterdir()] == ["v.parquet"]
        assert (disk / "v.parquet").read_text() == "old"


def test_a_dataset_on_the_hub(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows(30, loops=[3, 4])).encode()
    with HubServer({"someone/outputs": HubRepo({"train.jsonl": lines})}) as hub:
        variables = hub.environment(tmp_path, None)
        done = loopguard("scan", "hf:someone/outputs", "--json", "--out", tmp_path / "v.parquet", **variables)
        missing = loopguard("scan", "hf:someone/nothing", **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loop_rate"]["looping"] == 2
    assert pq.read_table(tmp_path / "v.parquet")["id"].to_pylist() == list(range(30))
    assert missing.returncode == 1
    assert missing.stderr.startswith("loopguard: hf:someone/nothing cannot be read")


MEMORY = """
import json, resource, sys
from loopguard.loops.scan import scan_files
def scan(names): return scan_files(names, out=sys.argv[1] + ".out").counts.rows
scan(sys.argv[1:3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = scan(sys.argv[1:])
print(json.dumps([rows, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_memory_is_flat(suffix: str, tmp_path: Path) -> None:
    """Twenty files, 400 MB of text: no more than what two of them need, and a little."""
    values = [{"id": i, "output": f"{i} " + LOOP * 7} for i in range(1000)]  # 20 MB
    first = (parquet if suffix == "parquet" else jsonl)(tmp_path / f"a0.{suffix}", values)
    files = [first]
    for k in range(1, 20):
        files.append(tmp_path / f"a{k}.{suffix}")
        files[-1].hardlink_to(first)
    command = [sys.executable, "-c", MEMORY, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, before, after = json.loads(done.stdout)
    assert count == 20_000
    unit = 1 if sys.platform == "darwin" else 1024
    assert (after - before) * unit < 120e6, resource.getpagesize()
