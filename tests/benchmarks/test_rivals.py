"""The adapters of other projects' rules against what those projects publish: tables of input, settings, answer."""

import random
import string

import pytest

from benchmarks.detector import rivals
from benchmarks.detector.tokens import standin, tokenizer


def noise(length: int, seed: int = 0) -> str:
    """Text in which nothing comes back."""
    rng = random.Random(seed)
    return "".join(rng.choice(string.ascii_letters + "     ") for _ in range(length))


ROW = [5, 6] * 8  # the separator row of a Markdown table, one token per cell and bar

VLLM = [
    ([1, 2, 3, 4] * 4, (64, 4, 4), True),
    ([1, 2, 3, 4] * 3 + [1, 2, 3], (64, 4, 4), False),
    ([9, 8, 7] + [1, 2, 3, 4] * 4, (64, 4, 4), True),
    ([1, 2, 3, 4] * 4 + [9, 8], (64, 4, 4), True),  # stopped before it could go on
    ([1, 2, 3] * 4, (64, 4, 4), False),  # a pattern of 3
    ([1, 2, 3] * 8, (64, 4, 4), True),  # but its double is a pattern of 6
    ([1] * 16, (64, 4, 4), True),
    ([1] * 15, (64, 4, 4), False),
    (ROW, (64, 4, 4), True),
    (list(range(64)) * 4, (64, 4, 4), True),
    (list(range(65)) * 4, (64, 4, 4), False),
    ([7] * 8, (128, 1, 8), True),
    ([7] * 7, (128, 1, 8), False),
    (list(range(128)) * 8, (128, 1, 8), True),
    (list(range(129)) * 8, (128, 1, 8), False),
    ([1] * 50, (0, 0, 4), False),  # off
    ([1] * 50, (8, 1, 1), False),  # off
    ([1] * 50, (4, 8, 2), False),  # off: smallest above largest
    ([1, 1], (8, 0, 2), True),  # a smallest size of 0 is read as 1
    ([], (64, 4, 4), False),
]


@pytest.mark.parametrize(("ids", "sizes", "fires"), VLLM)
def test_vllm(ids, sizes, fires):
    largest, smallest, count = sizes
    assert rivals.vllm(ids, max_pattern_size=largest, min_pattern_size=smallest, min_count=count) is fires


def _vllm_word_for_word(ids, largest, smallest, count):
    """The published rule after every token, as slowly as it is said."""
    return any(
        size * count <= end and ids[end - size * count : end] == ids[end - size : end] * count
        for end in range(1, len(ids) + 1)
        for size in range(max(1, smallest), largest + 1)
    )


@pytest.mark.parametrize("seed", range(60))
def test_vllm_against_the_slow_rule(seed):
    rng = random.Random(seed)
    ids = [rng.randrange(3) for _ in range(rng.randint(0, 60))]
    sizes = rng.randint(1, 9), rng.randint(0, 4), rng.randint(2, 4)
    fires = rivals.vllm(ids, max_pattern_size=sizes[0], min_pattern_size=sizes[1], min_count=sizes[2])
    assert fires == _vllm_word_for_word(ids, *sizes)


@pytest.mark.parametrize(
    ("ids", "fires"),
    [
        (list(range(30)) * 20, True),
        (list(range(30)) * 19, False),
        ([1] * 49, True),
        ([1] * 48, False),
        (list(range(1000)), False),
        ([1, 2], False),
    ],
)
def test_ngram_count(ids, fires):
    assert rivals.ngram_count(ids, n=30, k=20) is fires


@pytest.mark.parametrize(
    ("ids", "n", "limit", "fires"),
    [
        ([1, 2, 3, 4], 2, 0.0, False),  # TRL's own example: penalty 0
        ([5, 5, 5, 5, 5], 2, 0.74, True),  # TRL's own example: penalty 0.75
        ([5, 5, 5, 5, 5], 2, 0.75, False),
        ([5, 5], 3, 0.0, False),  # fewer than n
        ([], 3, 0.0, False),
    ],
)
def test_ngram_fraction(ids, n, limit, fires):
    assert rivals.ngram_fraction(ids, n=n, limit=limit) is fires


@pytest.mark.parametrize(
    ("text", "limit", "fires"),
    [
        ("The the THE the the", 0.66, True),  # case does not count: 3 trigrams, 1 unique
        ("The the THE the the", 0.67, False),
        ("one two", 0.0, False),
        ("", 0.0, False),
        ("no no no no no no no no", 0.5, True),
        ("this sentence says every word only once here", 0.0, False),
    ],
)
def test_open_r1(text, limit, fires):
    assert rivals.open_r1(text, limit=limit) is fires


@pytest.mark.parametrize(
    ("text", "limit", "fires"),
    [
        ("a" * 100, 2.4, True),
        (noise(2000), 2.4, False),
        ("", 2.4, False),
        ("Thank you. " * 4, 2.4, False),
        ("Thank you. " * 8, 2.4, True),
        ("好" * 200, 4, True),
    ],
)
def test_zlib_ratio(text, limit, fires):
    assert rivals.zlib_ratio(text, limit=limit) is fires


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("a" * 10_000, False),  # only what is longer than 10,000
        ("a" * 10_001, True),
        (noise(10_001), False),
        (noise(5_000) + "a" * 10_000, True),  # the tail alone counts
        ("a" * 10_000 + noise(10_000), False),
    ],
)
def test_slime(text, fires):
    assert rivals.slime(text) is fires


ANTIDOOM = [
    ("Let me solve this. " + "Wait, let me reconsider. " * 6, True),
    ("This is a normal sentence with no repetition at all whatsoever.", False),
    ("blah " * 3, False),
    ("x " * 10, False),  # 20 characters
    ("Here is my answer. " * 10 + "I need to reconsider this problem carefully now. " * 5, True),
    ("", False),
    ("ab", False),
    (noise(1024) * 4, True),
    (noise(1025) * 4, False),  # the longest period
    (noise(200) * 3, False),  # three copies
    (noise(200) * 4, True),
    (noise(145) + noise(17, 1) * 6 + noise(145, 2), False),  # lies between two samples: not seen
    (noise(120) + noise(17, 1) * 6 + noise(145, 2), True),
]


@pytest.mark.parametrize(("text", "fires"), ANTIDOOM)
def test_antidoom(text, fires):
    assert rivals.antidoom(text) is fires


GOPHER = [
    ("", True),
    (noise(3000), False),
    ("\n".join(noise(40, i) for i in range(20)), False),
    ("\n".join(noise(40, i % 10) for i in range(20)), True),  # half of the lines were there before
    ("\n\n".join(noise(200, i % 4) for i in range(5)), True),  # a fifth paragraph: 20 % of the characters and more
    ("the cat " * 60, True),  # the top 2-gram
]


@pytest.mark.parametrize(("text", "fires"), GOPHER)
def test_gopher(text, fires):
    assert rivals.gopher(text) is fires


@pytest.mark.parametrize(("copies", "fires"), [(3, False), (4, True)])
def test_gopher_line_fraction(copies, fires):
    """Of 10 lines 3 repeats are the 30 % that is allowed, 4 are not; they are too short to count in characters."""
    lines = [f"{noise(300, i)}" for i in range(9 - copies)] + ["x"] * (copies + 1)
    assert rivals.gopher("\n".join(lines)) is fires


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It is 5 o'clock.", ["It", "is", "5", "o'clock", "."]),
        ("Anna's well-known (old) map...", ["Anna", "'s", "well", "-", "known", "(", "old", ")", "map", "..."]),
        ("x=1, 2-3; a/b", ["x=1", ",", "2", "-", "3", ";", "a", "/", "b"]),
        ("| --- |", ["|", "---", "|"]),
        ("好的。😀", ["好的", "。", "😀"]),
        (" \n", []),
        ("", []),
    ],
)
def test_split_words(text, words):
    assert rivals.split_words(text) == words


CHUNK = noise(50)

GEMINI = [
    ("quoted", CHUNK * 10, True),
    ("quoted", CHUNK * 9, False),
    ("quoted", "".join(CHUNK + noise(200, i) for i in range(1, 11)), True),  # 250 apart
    ("quoted", "".join(CHUNK + noise(201, i) for i in range(1, 11)), False),  # 251 apart
    ("quoted", f"```\n{CHUNK * 12}\n```", True),
    ("2026", CHUNK * 12, True),
    ("2026", f"```\n{CHUNK * 12}\n```", False),  # code is not looked at
    ("2026", "".join(CHUNK + noise(100, i) for i in range(1, 13)), False),  # a list with a long shared beginning
    ("2025", "".join(CHUNK + noise(100, i) for i in range(1, 13)), True),
    ("2026", "".join(f"| {noise(60)} | {noise(20)} |\n" for i in range(30)), False),  # a table
    ("2026", "".join(f"* {noise(60)}\n" for i in range(30)), False),  # a list
    ("2026", "".join(f"- {noise(60)}\n" for i in range(30)), True),  # [*-+] is a range without the minus sign
    ("2026", "=" * 900, False),  # a divider
    ("2026", "7" * 900, False),  # and to its class a run of digits is one
    ("2026", "x" * 900, True),
    ("2026", noise(6000) + CHUNK * 12, True),
    ("2026", "", False),
    ("quoted", "😀" * 25 * 10, True),  # 25 characters are 50 units
]
VARIANTS = {
    "quoted": {"resets": False, "forms": None},
    "2025": {"resets": True, "forms": None},
    "2026": {"resets": True, "forms": 5},
}


@pytest.mark.parametrize(("variant", "text", "fires"), GEMINI)
def test_gemini_cli(variant, text, fires):
    assert rivals.gemini_cli(text, **VARIANTS[variant]) is fires


@pytest.mark.parametrize("piece", [1, 7, 50, 300, 4999])
def test_gemini_pieces_make_no_difference_without_resets(piece):
    for text in (noise(300) + CHUNK * 10, noise(300) + CHUNK * 9, noise(9000)):
        assert rivals.gemini_cli(text, piece=piece) == rivals.gemini_cli(text)


def test_utf16_units():
    assert rivals.utf16_units("a😀好") == "a\ud83d\ude00好"


def test_every_rule_has_a_source_and_answers_on_nothing():
    assert len({rule.name for rule in rivals.RULES}) == len(rivals.RULES)
    for rule in rivals.RULES:
        assert rule.source
        assert rule.fires("" if rule.reads == "text" else []) is (rule.name == "gopher")  # it drops empty documents


def test_every_rule_fires_on_a_long_plain_loop():
    text = "I will check this again, step by step. " * 400
    ids = standin()(text)
    for rule in rivals.RULES:
        assert rule.fires(text if rule.reads == "text" else ids), rule.name


@pytest.mark.parametrize("text", ["", "Hello, hello  world!\n\n12345 ____ 好的 naïve ünïcödé — ок"])
def test_standin_tokens_cover_the_text(text):
    encode = standin()
    assert encode(text) == encode(text)
    assert len(encode("a a a")) == 3


def test_tokenizer_has_a_name():
    name, encode = tokenizer()
    assert name
    assert len(encode("one two three")) >= 3


def test_list_of_rules_is_printed(capsys):
    rivals.main()
    assert "vllm(64,4,4)" in capsys.readouterr().out
