"""Planted loops: texts whose loop is known to the character, from about fifty template families.

    python -m benchmarks.detector.corpora planted --out planted.jsonl

Each family says what one copy is and how copies differ; how many copies, what stands before, where the text is cut and
whether it recovers are drawn the same way for all. Everything follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from benchmarks.detector.draw import Draw
from benchmarks.detector.prose import Prose, words
from benchmarks.detector.rows import Row, log_uniform, looping

LANGUAGE_SHARES = {"en": 10, "zh": 3, "ja": 2, "ko": 2, "ru": 3}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a family decides: the lead-in directly before the loop, the copies, what closes it when it recovers."""

    copies: Sequence[str]
    kind: str
    period: int = 0
    """Length of one round where a round is more than one of `copies`; 0 = the mean copy."""
    lead: str = ""
    closing: str = "\n\n"
    bare: bool = False
    """True: the lead is the whole context (code, JSON), no prose before it."""


Family = Callable[[Draw], Plan]

# ---------------------------------------------------------------- tokens and whitespace

_SYMBOLS = words("0 1 A o X * - _ = . ~ # | / • █ ░ ⠎ — ★ → ・ 。 ！ 好 あ ㅋ ー П 😀 🔥 🙂 ❤️ 👍🏽 \\ ; ) } > %")
_TOKENS = {
    "en": words(
        " the|, and| disprove|OX, |ha|no | very|la |de|na |[PAD]|<unk>|</s>|I X, |-->|=> |th|ing| nothing|ooh ", "|"
    ),
    "zh": words("的|是的|哈哈|不|一个|、然后|我们", "|"),
    "ja": words("です|はい、|ああ|の|ました|もう", "|"),
    "ko": words("그리고 |네 |하하|는 |입니다|정말 ", "|"),
    "ru": words(" и|да |не | очень|ого |то", "|"),
}
_GAPS = ["\n", " ", "\t", "\n\n", " \n", "\r\n", "\n\n \n", "\u3000", "\xa0", "\n\t", "    \n", "\u200b"]
_ESCAPES = ["&nbsp;", "<br>", "\\n", "%20", "\\u0000", "\\\\", "<br/>\n", "&amp;", "\\t", "\ufffd", "\\quad ", "</div>"]


def token_character(d: Draw) -> Plan:
    unit = d.rng.choice(_SYMBOLS)
    return Plan(kind="verbatim", copies=d.same(unit, least=60, chars=320), closing=d.rng.choice(["\n\n", " ", "\n"]))


def token_word(d: Draw) -> Plan:
    return Plan(kind="verbatim", copies=d.same(d.of(_TOKENS), least=40, chars=320), closing="\n\n")


def whitespace(d: Draw) -> Plan:
    return Plan(kind="verbatim", copies=d.same(d.rng.choice(_GAPS), least=150, chars=400), closing="")


def escapes(d: Draw) -> Plan:
    return Plan(kind="verbatim", copies=d.same(d.rng.choice(_ESCAPES), least=60), closing="\n")


def emoji(d: Draw) -> Plan:
    faces = words("😂 🎉 🚀 💡 🌸 🐱 🏳️‍🌈 👨‍👩‍👧 ✨ 🙏 💯 🇫🇷 🇯🇵 🍕")
    unit = "".join(d.rng.sample(faces, d.rng.randint(1, 5))) + d.rng.choice(["", " ", "\n"])
    return Plan(kind="verbatim", copies=d.same(unit, least=40))


def random_string(d: Draw) -> Plan:
    alphabet = d.rng.choice(["ACGT", "01", "0123456789abcdef", ".-b ", "abcdefghijklmnopqrstuvwxyz"])
    unit = "".join(d.rng.choice(alphabet) for _ in range(d.rng.randint(5, 90)))
    return Plan(kind="verbatim", copies=d.same(unit, least=8))


# ---------------------------------------------------------------- words to blocks


def phrase(d: Draw) -> Plan:
    joint = d.rng.choice([" ", ", ", "; ", ". ", " / ", " and "]) if d.prose.language in ("en", "ko", "ru") else "，"
    return Plan(kind="verbatim", copies=d.same(d.prose.phrase() + joint, least=8), closing=". ")


def phrase_lines(d: Draw) -> Plan:
    return Plan(kind="verbatim", copies=d.same(d.prose.phrase() + d.rng.choice(["\n", "\n\n", "  \n"]), least=8))


def sentence(d: Draw) -> Plan:
    joint = d.rng.choice([" ", "\n", "\n\n"])
    return Plan(kind="verbatim", copies=d.same(d.prose.sentence() + joint, least=5))


def two_sentences(d: Draw) -> Plan:
    unit = d.prose.sentence() + " " + d.prose.sentence() + d.rng.choice([" ", "\n", "\n\n"])
    return Plan(kind="verbatim", copies=d.same(unit, least=4))


def question_chain(d: Draw) -> Plan:
    unit = "".join(f"{d.prose.phrase()}?\n\n" for _ in range(d.rng.randint(3, 9)))
    return Plan(kind="verbatim", copies=d.same(unit, least=4))


def paragraph(d: Draw) -> Plan:
    unit = d.prose.paragraph(d.rng.randint(150, 700)) + "\n\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=4, most=12000))


def block(d: Draw) -> Plan:
    size = d.rng.randint(1000, 3000)
    return Plan(kind="verbatim", copies=[d.prose.text(size) + "\n\n"] * d.rng.randint(4, 6))


def headed_block(d: Draw) -> Plan:
    bullets = "\n".join(f"- **{d.prose.phrase()}**: {d.prose.sentence()}" for _ in range(d.rng.randint(4, 12)))
    unit = f"## {d.prose.phrase()}\n\n{d.prose.sentences(2)}\n\n{bullets}\n\n"
    return Plan(kind="verbatim", copies=[unit] * d.rng.randint(4, 7))


def signature_block(d: Draw) -> Plan:
    fields = d.rng.sample(["Name", "Title", "Company", "Address", "Phone Number", "Email", "Date", "City"], 5)
    unit = "\n".join(f"[Your {field}]" for field in fields) + "\n\n---\n\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=5))


def dialogue(d: Draw) -> Plan:
    one, two = d.rng.choice([("User", "Assistant"), ("A", "B"), ("Anna", "Ben"), ("<|user|>", "<|assistant|>")])
    unit = f"{one}: {d.prose.sentence()}\n{two}: {d.prose.sentence()}\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=5))


def list_item(d: Draw) -> Plan:
    unit = d.rng.choice(["- ", "* ", "1. ", "• ", "> ", "- [ ] "]) + d.prose.sentence() + "\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=6), lead="\n")


def hashtags(d: Draw) -> Plan:
    unit = " ".join("#" + d.noun().title() for _ in range(d.rng.randint(1, 9)))
    return Plan(kind="verbatim", copies=d.same(unit + " ", least=10))


def mixed_script(d: Draw) -> Plan:
    others = [Prose(d.rng, language).phrase() for language in d.rng.sample(["zh", "ja", "ko", "ru", "en"], 3)]
    return Plan(kind="verbatim", copies=d.same(" / ".join(others) + d.rng.choice(["\n", " 🙂 ", "。"]), least=7))


# ---------------------------------------------------------------- reasoning

_DOUBTS = {
    "en": [
        "Wait, let me check again.",
        "Hmm, that is not right.",
        "But wait, I should double-check this.",
        "Let me recalculate.",
        "Actually, let me re-read the problem.",
        "Alternatively, we can try again.",
    ],
    "zh": ["等等，让我再检查一遍。", "不对，重新算一下。", "再想一想。"],
    "ja": ["待って、もう一度確認します。", "違う、計算し直そう。"],
    "ko": ["잠깐, 다시 확인해 보자.", "아니, 다시 계산하자."],
    "ru": ["Подождите, проверю ещё раз.", "Нет, пересчитаем."],
}


def _equation(rng: random.Random) -> str:
    a, b, x = rng.randint(2, 19), rng.randint(2, 60), rng.choice("xynkt")
    return rng.choice(
        [
            f"${a}{x} + {b} = {a * 7 + b}$, so ${x} = 7$",
            f"$\\frac{{{a}}}{{{b}}} \\cdot {x} = {a}$",
            f"${a} \\times {b} = {a * b}$",
            f"\\[\n\\int_0^{{{a}}} {x}^2\\,d{x} = \\frac{{{a}^3}}{{3}}\n\\]",
            f"${x}^2 - {a}{x} + {b} \\geq 0$",
        ]
    )


def reasoning_same(d: Draw) -> Plan:
    unit = f"{d.of(_DOUBTS)} {d.prose.phrase()}: {_equation(d.rng)}. {_equation(d.rng)}.\n\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=4), lead="<think>\n" if d.rng.random() < 0.4 else "")


def reasoning_short(d: Draw) -> Plan:
    return Plan(kind="verbatim", copies=d.same(d.of(_DOUBTS) + d.rng.choice([" ", "\n", "\n\n"]), least=8))


def reasoning_shuffled(d: Draw) -> Plan:
    steps = [f"{doubt} {d.prose.phrase()}, {_equation(d.rng)}.\n\n" for doubt in _DOUBTS[d.prose.language]]
    steps += [f"{_equation(d.rng)}.\n\n" for _ in range(2)]
    return _rounds(d, steps)


def reasoning_rounds(d: Draw) -> Plan:
    """Each step in one of a few wordings, drawn anew in every round; sometimes one is left out."""
    steps = [[d.prose.sentence() + " " for _ in range(d.rng.randint(1, 3))] for _ in range(d.rng.randint(4, 6))]
    steps[-1] = [f"{doubt} {d.prose.phrase()}.\n\n" for doubt in _DOUBTS[d.prose.language][:2]]
    size = sum(len(ways[0]) for ways in steps)
    said = [
        "".join(d.rng.choice(ways) for ways in steps if ways is steps[-1] or d.rng.random() < 0.9)
        for _ in range(d.amount(size, least=10, chars=2500))
    ]
    return Plan(kind="near", copies=said, period=size)


def latex_same(d: Draw) -> Plan:
    unit = f"&= {_equation(d.rng).strip('$')} \\\\\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=8), lead="\\begin{align*}\n", closing="\\end{align*}\n\n")


# ---------------------------------------------------------------- counters

_ITEM = {
    "en": ["Item", "Step", "Chapter", "Maritime Technology", "Example", "Reason", "Question", "Section"],
    "zh": ["项目", "第一步", "章节"],
    "ja": ["項目", "手順"],
    "ko": ["항목", "단계"],
    "ru": ["Пункт", "Глава", "Шаг"],
}


def _numbers(d: Draw, n: int, *, steps: Sequence[int] = (1, 1, 1, 2, 5, 10)) -> list[int]:
    start, step = d.rng.choice([1, 1, 2, 10, 57, 100]), d.rng.choice(steps)
    return [start + step * i for i in range(n)]


def counter_item(d: Draw) -> Plan:
    item, form = (
        d.of(_ITEM),
        d.rng.choice(["{n}. {item} {n}\n", "{n}. {item}\n", "{item} {n}: {item}\n", "- {item} {n}\n"]),
    )
    n = d.amount(len(form) + 4, least=25, chars=500)
    return Plan(kind="counter", copies=[form.format(n=i, item=item) for i in _numbers(d, n, steps=(1,))], lead="\n")


def counter_sentence(d: Draw) -> Plan:
    said, form = (
        d.prose.sentence(),
        d.rng.choice(["{n}. {said}\n", "{n}) {said}\n\n", "**{n}.** {said}\n", "({n}) {said} "]),
    )
    n = d.amount(len(said) + 5, least=8, chars=600)
    return Plan(kind="counter", copies=[form.format(n=i, said=said) for i in _numbers(d, n, steps=(1,))], lead="\n")


def counter_inside(d: Draw) -> Plan:
    before, after = d.prose.phrase(), d.prose.phrase()
    n = d.amount(len(before + after) + 8, least=10, chars=600)
    return Plan(kind="counter", copies=[f"{before} {i} {after}. " for i in _numbers(d, n)], lead=" ")


def counter_block(d: Draw) -> Plan:
    body = "\n".join(f"{{n}}.{i} {d.prose.phrase()}" for i in range(1, d.rng.randint(3, 7)))
    form = f"{{n}}. {d.prose.phrase()}\n{body}\n\n"
    n = d.amount(len(form), least=6, chars=900)
    return Plan(kind="counter", copies=[form.format(n=i) for i in _numbers(d, n, steps=(1,))], lead="\n")


def counter_two(d: Draw) -> Plan:
    turns = [d.prose.phrase() for _ in range(2)]
    n = d.amount(len(turns[0]) + 6, least=20, chars=800)
    return Plan(
        kind="counter",
        lead="\n",
        copies=[
            f"{2 * i + 1}. {turns[0]} {3 + 2 * i}.\n{2 * i + 2}. {turns[1]} {4 + 2 * i}.\n" for i in range(n // 2 + 1)
        ],
    )


def counter_dates(d: Draw) -> Plan:
    day, said = date(d.rng.randint(1950, 2030), d.rng.randint(1, 12), d.rng.randint(1, 28)), d.prose.phrase()
    step, form = d.rng.choice([1, 7, 30]), d.rng.choice(["%Y-%m-%d", "%d/%m/%Y", "%Y.%m.%d"])
    n = d.amount(len(said) + 15, least=15, chars=600)
    days = [(day + timedelta(days=step * i)).strftime(form) for i in range(n)]
    return Plan(kind="counter", copies=[f"{shown}: {said}\n" for shown in days], lead="\n")


def counter_letters(d: Draw) -> Plan:
    """A, B, C; I, II, III; first, second, third: what people count with besides numbers."""
    numerals = [ten + one for ten in ("", "X", "XX", "XXX") for one in words(" I II III IV V VI VII VIII IX")][1:]
    ranks = words("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")
    ways = [[*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"], numerals, [numeral.lower() for numeral in numerals], ranks]
    said, way, form = d.prose.phrase(), d.rng.choice(ways), d.rng.choice(["{}. {}\n", "({}) {}\n", "Case {}: {}. "])
    n = min(len(way), d.amount(len(said) + 6, least=12, chars=600))
    return Plan(kind="counter", copies=[form.format(word, said) for word in way[:n]], lead="\n")


def counter_years(d: Draw) -> Plan:
    said, year = d.prose.phrase(), d.rng.randint(1500, 2020)
    n = d.amount(len(said) + 8, least=15, chars=600)
    return Plan(kind="counter", copies=[f"In {year + i}, {said}. " for i in range(n)], lead=" ")


def counter_clock(d: Draw) -> Plan:
    said, step = d.prose.phrase(), d.rng.choice([1, 5, 10, 15, 30])
    n = d.amount(len(said) + 10, least=15, chars=600)
    clock = [divmod(8 * 60 + step * i, 60) for i in range(n)]
    return Plan(
        kind="counter", copies=[f"{hour % 24:02d}:{minute:02d} - {said}\n" for hour, minute in clock], lead="\n"
    )


def counter_steps(d: Draw) -> Plan:
    step = d.rng.choice([2, 5, 10, 25, 100])
    joint = d.rng.choice([", ", "\n", " -> ", " "])
    return Plan(
        kind="counter", copies=[f"{step * i}{joint}" for i in range(1, d.amount(5, least=150, chars=800))], lead=" "
    )


def counter_function(d: Draw) -> Plan:
    name = d.prose.word("noun") if d.prose.language == "en" else "value"
    form = d.rng.choice(
        [
            "def test_{w}_{n}():\n    assert {w}({n}) == {n}\n\n",
            "if x == {n}:\n    return {n}\n",
            "    case {n}: return {n};\n",
            "{w}{n} = {w}({n})\n",
            "int get{n}() {{ return this->{w}{n}; }}\n",
        ]
    )
    n = d.amount(len(form), least=20, chars=800)
    return Plan(
        kind="counter",
        copies=[form.format(w=name, n=i) for i in _numbers(d, n, steps=(1,))],
        lead=_code_head(d),
        bare=True,
    )


def counter_table(d: Draw) -> Plan:
    cells = [d.prose.phrase() for _ in range(2)]
    n = d.amount(len("".join(cells)) + 12, least=15, chars=800)
    head = f"\n| # | {d.prose.phrase()} | {d.prose.phrase()} |\n|---|---|---|\n"
    return Plan(kind="counter", copies=[f"| {i} | {cells[0]} | {cells[1]} |\n" for i in _numbers(d, n)], lead=head)


def counter_json(d: Draw) -> Plan:
    name = d.prose.word("noun") if d.prose.language == "en" else d.prose.phrase()
    n = d.amount(40 + len(name), least=15, chars=900)
    copies = [f'  {{"id": {i}, "name": "{name} {i}", "active": true}},\n' for i in _numbers(d, n, steps=(1,))]
    return Plan(kind="counter", copies=copies, lead='{"items": [\n', bare=True, closing="]}\n\n")


# ---------------------------------------------------------------- near copies


def _rounds(d: Draw, pool: Sequence[str]) -> Plan:
    """The pool again and again, each round in another order."""
    size = sum(map(len, pool))
    rounds = d.amount(size, least=6, chars=1200)
    copies = [said for _ in range(rounds) for said in d.rng.sample(pool, len(pool))]
    return Plan(kind="near", copies=copies, period=size, lead="\n")


def shuffled_sentences(d: Draw) -> Plan:
    return _rounds(d, [d.prose.sentence() + " " for _ in range(d.rng.randint(3, 8))])


def shuffled_items(d: Draw) -> Plan:
    return _rounds(d, [f"- {d.prose.phrase()}\n" for _ in range(d.rng.randint(4, 12))])


def drawn_sentences(d: Draw) -> Plan:
    pool = [d.prose.sentence() + d.rng.choice([" ", "\n"]) for _ in range(d.rng.randint(3, 7))]
    size = sum(map(len, pool))
    n = d.amount(size / len(pool), least=25, chars=1500)
    return Plan(kind="near", copies=[d.rng.choice(pool) for _ in range(n)], period=size)


def _slot_words(d: Draw, n: int) -> list[str]:
    return [d.noun() for _ in range(n)]


def slots_one(d: Draw) -> Plan:
    before, after, words = d.prose.phrase(), d.prose.phrase(), _slot_words(d, d.rng.randint(4, 20))
    n = d.amount(len(before + after) + 8, least=15, chars=900)
    return Plan(kind="near", copies=[f"{before} {d.rng.choice(words)} {after}. " for _ in range(n)], lead=" ")


def slots_two(d: Draw) -> Plan:
    parts, words = [d.prose.phrase() for _ in range(3)], _slot_words(d, d.rng.randint(4, 12))
    n = d.amount(len("".join(parts)) + 15, least=12, chars=1000)
    return Plan(
        kind="near",
        lead="\n",
        copies=[f"- {parts[0]} {d.rng.choice(words)} {parts[1]} {d.rng.choice(words)} {parts[2]}\n" for _ in range(n)],
    )


def slots_every(d: Draw) -> Plan:
    """Every word with a meaning is drawn anew from a few: hardly a phrase comes back as it was."""
    if d.prose.language == "en":
        kinds = ("adj", "noun", "verb", "noun", "adv")
        slots = [[d.prose.word(kind) for _ in range(d.rng.randint(3, 5))] for kind in kinds]
        form = d.rng.choice(["The {} {} will {} the {} {}. ", "- We {4}, {2} the {0} {1} and the {3}.\n"])
    else:
        slots, form = [[d.prose.phrase() for _ in range(4)] for _ in range(2)], "{}, {}.\n"
    n = d.amount(50, least=30, chars=1500)
    return Plan(kind="near", copies=[form.format(*map(d.rng.choice, slots)) for _ in range(n)], lead="\n")


def slots_cycle(d: Draw) -> Plan:
    said, words = d.prose.sentence(), _slot_words(d, d.rng.randint(3, 6))
    n = d.amount(len(said) + 10, least=12, chars=900)
    return Plan(kind="near", lead="\n", copies=[f"* **{d.rng.choice(words)}**: {said}\n" for _ in range(n)])


def slots_paragraph(d: Draw) -> Plan:
    parts, words = [d.prose.sentences(2) for _ in range(3)], _slot_words(d, 8)
    n = d.amount(sum(map(len, parts)), least=5, chars=2000, most=14000)
    return Plan(
        kind="near", copies=[" ".join(f"{part} {d.rng.choice(words)}." for part in parts) + "\n\n" for _ in range(n)]
    )


def dropped_words(d: Draw) -> Plan:
    words = d.prose.sentence().split(" ") if d.prose.language in ("en", "ko", "ru") else list(d.prose.sentence())
    joint = " " if d.prose.language in ("en", "ko", "ru") else ""
    n = d.amount(len(joint.join(words)), least=12, chars=1000)
    copies = [joint.join(w for w in words if d.rng.random() > 0.06) + "\n" for _ in range(n)]
    return Plan(kind="near", copies=copies, lead="\n")


def dialogue_near(d: Draw) -> Plan:
    turns = [d.prose.sentence() for _ in range(d.rng.randint(3, 6))]
    n = d.amount(sum(map(len, turns)) / len(turns) + 6, least=25, chars=1500)
    return Plan(kind="near", lead="\n", copies=[f"{'AB'[i % 2]}: {d.rng.choice(turns)}\n" for i in range(n)])


# ---------------------------------------------------------------- inside code, JSON, tables


def _code_head(d: Draw) -> str:
    words = [Prose(d.rng).word("noun") for _ in range(6)]
    return (
        f"import {d.rng.choice(['os', 'json', 'random', 'csv'])}\n\n\n"
        f"def {words[0]}_{words[1]}({words[2]}, limit={d.rng.randint(2, 99)}):\n"
        f'    """{Prose(d.rng).sentence()}"""\n    {words[3]} = [{words[2]}[0]]\n    for {words[4]} in {words[2]}:\n'
        f"        if {words[4]} > limit:\n            {words[3]}.append({words[4]} * {d.rng.randint(2, 9)})\n"
        f"    return {words[3]}\n\n\n"
    )


def code_line(d: Draw) -> Plan:
    w, v = Prose(d.rng).word("noun"), Prose(d.rng).word("noun")
    unit = d.rng.choice(
        [
            f"{w}.append({v})\n",
            f"    print({w}[{v}])\n",
            f"#include <{w}.h>\n",
            f"import {w}.{v};\n",
            f"  {w} = {w} + {v};\n",
            f"        self.assertEqual({w}({v}), None)\n",
            f"    assert {w}({v}) is True\n",
            "    }\n",
            "// TODO\n",
        ]
    )
    return Plan(kind="verbatim", copies=d.same(unit, least=12), lead=_code_head(d), bare=True)


def code_function(d: Draw) -> Plan:
    unit = _code_head(d)[10:] if d.rng.random() < 0.5 else "\n".join(_code_head(d).splitlines()[3:]) + "\n\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=4), lead=_code_head(d), bare=True)


def code_nested(d: Draw) -> Plan:
    unit = d.rng.choice(["(", "[", "<div>", "std::vector<", "if (true) {\n", "f(g(", "x.y.", "and True ", "lambda: "])
    return Plan(kind="verbatim", copies=d.same(unit, least=50), lead=_code_head(d), bare=True)


def json_string(d: Draw) -> Plan:
    lead = f'{{"name": "{d.prose.phrase()}", "arguments": {{"query": "{d.prose.paragraph(120)} '
    return Plan(
        kind="verbatim",
        copies=d.same(d.prose.phrase() + d.rng.choice([" ", "\\n", ", "]), least=8),
        lead=lead,
        bare=True,
        closing='"}}\n',
    )


def json_rows(d: Draw) -> Plan:
    unit = (
        f'    {{\n      "title": "{d.prose.phrase()}",\n      "note": '
        f'"{d.prose.sentence()}",\n      "count": {d.rng.randint(0, 99)}\n'
        "    },\n"
    )
    return Plan(kind="verbatim", copies=d.same(unit, least=5), lead='{\n  "rows": [\n', bare=True, closing="  ]\n}\n")


def json_numbers(d: Draw) -> Plan:
    unit = d.rng.choice(["0, ", "0.0, ", "null, ", '"", ', "[], ", "-1, ", "[0, 0], ", "1, 0, "])
    return Plan(
        kind="verbatim",
        copies=d.same(unit, least=60),
        lead='{"tool": "embed", "vector": [0.12, -0.7, ',
        bare=True,
        closing="1]}\n",
    )


def table_row(d: Draw) -> Plan:
    head = f"\n| {d.prose.phrase()} | {d.prose.phrase()} | {d.prose.phrase()} |\n|---|---|---|\n"
    unit = f"| {d.prose.phrase()} | {d.prose.phrase()} | {d.rng.randint(1, 500)} |\n"
    return Plan(kind="verbatim", copies=d.same(unit, least=7), lead=head)


def table_empty(d: Draw) -> Plan:
    columns = d.rng.randint(2, 6)
    unit = d.rng.choice(
        [
            "|" + "   |" * columns + "\n",
            "|" + " - |" * columns + "\n",
            "<td></td>",
            "<tr><td>&nbsp;</td></tr>\n",
            "|---" * 2,
        ]
    )
    return Plan(kind="verbatim", copies=d.same(unit, least=25, chars=500), lead="\n| a | b |\n|---|---|\n")


def markup(d: Draw) -> Plan:
    unit = d.rng.choice(
        [
            f"<li>{d.prose.phrase()}</li>\n",
            "L 10 10 ",
            f"  margin: {d.rng.randint(0, 9)}px;\n",
            "</span>",
            f"<p>{d.prose.sentence()}</p>\n",
            f"INSERT INTO t VALUES ({d.rng.randint(1, 9)}, '{d.prose.phrase()}');\n",
            "0x00, ",
            "A" * 4,
        ]
    )
    return Plan(kind="verbatim", copies=d.same(unit, least=15, chars=500), lead='<section class="main">\n')


FAMILIES: tuple[Family, ...] = (
    token_character,
    token_word,
    whitespace,
    escapes,
    emoji,
    random_string,
    phrase,
    phrase_lines,
    sentence,
    two_sentences,
    question_chain,
    paragraph,
    block,
    headed_block,
    signature_block,
    dialogue,
    list_item,
    hashtags,
    mixed_script,
    reasoning_same,
    reasoning_short,
    reasoning_shuffled,
    reasoning_rounds,
    latex_same,
    counter_item,
    counter_sentence,
    counter_inside,
    counter_block,
    counter_two,
    counter_dates,
    counter_letters,
    counter_years,
    counter_clock,
    counter_steps,
    counter_function,
    counter_table,
    counter_json,
    shuffled_sentences,
    drawn_sentences,
    shuffled_items,
    slots_one,
    slots_two,
    slots_every,
    slots_cycle,
    slots_paragraph,
    dropped_words,
    dialogue_near,
    code_line,
    code_function,
    code_nested,
    json_string,
    json_rows,
    json_numbers,
    table_row,
    table_empty,
    markup,
)


def _context(d: Draw) -> str:
    """What stands before the loop: nothing, prose, or an answer with headings and lists."""
    onset = d.rng.choice([0, 0, 150, 600, 600, 1500, 1500, 4000, 12000])
    if onset == 0:
        return ""
    text = d.prose.text(round(log_uniform(d.rng, onset / 2, onset * 1.5)))
    if d.rng.random() < 0.4:
        bullets = "\n".join(f"{i}. **{d.prose.phrase()}**: {d.prose.sentence()}" for i in range(1, d.rng.randint(3, 8)))
        text = f"# {d.prose.phrase()}\n\n{text}\n\n## {d.prose.phrase()}\n\n{bullets}"
    return text + d.rng.choice(["\n\n", " ", "\n"])


def plant(family: Family, rng: random.Random, language: str) -> Row:
    """One row of a family: context, loop, and for one in five something else afterwards."""
    d = Draw(rng=rng, prose=Prose(rng, language))
    plan = family(d)
    prefix = plan.lead if plan.bare else _context(d) + plan.lead
    recovered = rng.random() < 0.2
    cut = 0 if recovered else rng.randrange(max(1, min(len(plan.copies[-1]), len(plan.copies[0]))))
    suffix = plan.closing + d.prose.text(rng.choice([60, 200, 800, 3000])) if recovered else ""
    return looping(
        prefix=prefix,
        copies=plan.copies,
        kind=plan.kind,
        category=family.__name__,
        language=language,
        cut=cut,
        suffix=suffix,
        period=plan.period,
    )


def planted(seed: int = 0, n: int = 530) -> list[Row]:
    """`n` planted loops, the families in turn; the same seed gives the same rows."""
    rows = []
    for i in range(n):
        family = FAMILIES[i % len(FAMILIES)]
        rng = random.Random(f"{seed}/{family.__name__}/{i // len(FAMILIES)}")
        language = rng.choices(list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))[0]
        rows.append(plant(family, rng, language))
    return rows
