"""Human look-alikes: what is written with refrains, parallel sentences, rows of numbers, games, ornaments."""

from __future__ import annotations

import calendar
from itertools import pairwise

from benchmarks.detector.draw import Draw
from benchmarks.detector.human_data import Maker
from benchmarks.detector.prose import Prose

_NUMBER_WORDS = "ten nine eight seven six five four three two one no".split(" ")  # noqa: SIM905


# ---------------------------------------------------------------- verse, music, speech


def poem_refrain(d: Draw) -> str:
    refrain = d.prose.phrase()
    return "\n\n".join(
        "\n".join([d.prose.phrase(), d.prose.phrase(), d.prose.phrase(), refrain]) for _ in range(d.rng.randint(4, 9))
    )


def song(d: Draw) -> str:
    chorus = "\n".join(d.prose.phrase() for _ in range(4))
    verses = ["\n".join(d.prose.phrase() for _ in range(d.rng.randint(4, 8))) for _ in range(d.rng.randint(3, 4))]
    return (
        "\n\n".join(f"[Verse {i}]\n{verse}\n\n[Chorus]\n{chorus}" for i, verse in enumerate(verses, 1))
        + "\n\n[Outro]\n"
        + "\n".join([chorus.split("\n")[0]] * 3)
    )


def song_vocables(d: Draw) -> str:
    line = d.rng.choice(
        ["La la la, la la la la", "Na na na na, hey hey hey", "Oh oh oh, yeah yeah yeah", "Da da doo, da da dee"]
    )
    return "\n\n".join(
        "\n".join([d.prose.phrase(), line, d.prose.phrase(), line, line]) for _ in range(d.rng.randint(3, 5))
    )


def counting_song(d: Draw) -> str:
    things = f"{Prose(d.rng).word('adj')} {Prose(d.rng).word('noun')}s"
    verses = [
        (
            f"{a.title()} {things} sitting on the wall,\n{a.title()} "
            f"{things} sitting on the wall,\nAnd if one {things[:-1]} "
            f"should fall one day,\nThere'd be {b} {things} sitting "
            "on the wall."
        )
        for a, b in pairwise(_NUMBER_WORDS)
    ]
    return "\n\n".join(verses[d.rng.randint(0, 5) :])


def cumulative_song(d: Draw) -> str:
    gifts = [
        f"{n} {Prose(d.rng).word('adj')} {Prose(d.rng).word('noun')}s"
        for n in ["a pair of", "three", "four", "five", "six", "seven", "eight", "nine"]
    ]
    days = "second third fourth fifth sixth seventh eighth ninth".split(" ")  # noqa: SIM905
    return "\n\n".join(
        f"On the {day} day of winter my neighbour brought to me\n" + ",\n".join(reversed(gifts[: i + 1]))
        for i, day in enumerate(days)
    )


def litany(d: Draw) -> str:
    answer = d.of(
        {
            "en": ["have mercy on us.", "we give thanks.", "hear our prayer.", "walk with us."],
            "zh": ["求你怜悯我们。"],
            "ja": ["われらを憐れみたまえ。"],
            "ko": ["저희에게 자비를 베푸소서."],
            "ru": ["помилуй нас."],
        }
    )
    return "\n".join(f"{d.prose.word('name')} of {d.noun()}, {answer}" for _ in range(d.rng.randint(10, 30)))


def affirmations(d: Draw) -> str:
    start = d.rng.choice(["I am grateful for ", "I deserve ", "Today I choose ", "I release "])
    w = Prose(d.rng)
    return "\n".join(
        f"{i}. {start}{w.word('adj')} {w.word('concept')} and {w.word('noun')}."
        for i in range(1, d.rng.randint(10, 40))
    )


def anaphora(d: Draw) -> str:
    start = d.rng.choice(["I have a dream that ", "We shall ", "It was the age when ", "If you can see that "])
    return " ".join(
        f"{start}{Prose(d.rng).sentence()[0].lower()}{Prose(d.rng).sentence()[1:]}" for _ in range(d.rng.randint(6, 14))
    )


def emphasis(d: Draw) -> str:
    unit = d.rng.choice(["ha ", "no, ", "very ", "!", "😂", "lol ", "哈", "ㅋ", "так-так ", "www", "bla "])
    return f"{d.prose.text(300)} {unit * d.rng.randint(3, 25)}\n\n{d.prose.text(500)}"


def dialogue_names(d: Draw) -> str:
    names = [d.prose.word("name") for _ in range(d.rng.randint(2, 3))]
    return "\n\n".join(f"**{d.rng.choice(names)}:** {d.prose.sentence()}" for _ in range(d.many(8, 60)))


def interview(d: Draw) -> str:
    return "\n\n".join(
        f"Interviewer: {d.prose.sentence()}\nCandidate: Thank you for the question. {d.prose.sentences(2)}"
        for _ in range(d.rng.randint(5, 15))
    )


def chess_pgn(d: Draw) -> str:
    r, moves = d.rng, []
    for i in range(1, d.rng.randint(20, 70)):
        pair = [
            r.choice(["", "N", "B", "R", "Q", "K"])
            + r.choice(["", "", "x"])
            + r.choice("abcdefgh")
            + r.choice("12345678")
            + r.choice(["", "", "", "+"])
            for _ in "wb"
        ]
        moves.append(f"{i}. {pair[0]} {pair[1]}")
    return (
        f'[Event "Club match"]\n[White "{d.prose.word("name")}"]\n[Black "{d.prose.word("name")}"]\n[Result "1-0"]\n\n'
        + " ".join(moves)
        + " 1-0"
    )


def chess_boards(d: Draw) -> str:
    boards = []
    for _ in range(d.rng.randint(2, 4)):
        rows = ["r n b q k b n r", "p p p p p p p p", *[". . . . . . . ."] * 4, "P P P P P P P P", "R N B Q K B N R"]
        at = d.rng.randint(2, 5)
        rows[at] = rows[at][: (j := 2 * d.rng.randint(0, 7))] + "P" + rows[at][j + 1 :]
        boards.append("\n".join(f"{8 - i} {row}" for i, row in enumerate(rows)) + "\n  a b c d e f g h")
    return "\n\n".join(f"{d.prose.sentence()}\n\n{board}" for board in boards)


def abc_music(d: Draw) -> str:
    def part() -> str:
        bars = [
            "".join(d.rng.choice("CDEFGABcdefg") + d.rng.choice(["", "", "2"]) for _ in range(d.rng.randint(3, 6)))
            for _ in range(8)
        ]
        return "|:" + "|".join(bars) + ":|"

    tunes = [
        f"X:{i}\nT:{d.prose.phrase()}\nM:6/8\nL:1/8\nK:{d.rng.choice('CDGA')}\n{part()}\n{part()}"
        for i in range(1, d.rng.randint(3, 8))
    ]
    return "\n\n".join(tunes)


def drum_tab(d: Draw) -> str:
    bars = []
    for i in range(d.rng.randint(2, 6)):
        snare = "".join(d.rng.choice("--o-") for _ in range(16))
        kick = "".join(d.rng.choice("o---") for _ in range(16))
        bars.append(f"{d.prose.phrase()} ({i + 1})\nHH|{'x-' * 8}|{'x-' * 8}|\nSD|{snare}|{snare}|\nBD|{kick}|{kick}|")
    return "\n\n".join(bars)


def guitar_chords(d: Draw) -> str:
    return "\n".join(
        "   ".join(d.rng.choice(["G", "C", "D", "Em", "Am", "F"]) for _ in range(4)) + "\n" + d.prose.phrase()
        for _ in range(d.rng.randint(8, 30))
    )


# ---------------------------------------------------------------- teaching, forms, lists


def translation_twice(d: Draw) -> str:
    text = d.prose.paragraph(d.many(200, 1500))
    other = Prose(d.rng, d.rng.choice(["en", "ru", "ko"])).paragraph(300)
    return (
        f"{text}\n\nTranslation:\n\n{other}\n\nHere is the "
        f"original once more for comparison:\n\n{text}\n\n"
        f"{d.prose.sentence()}"
    )


def letter_twice(d: Draw) -> str:
    body = f"{d.prose.paragraph(300)}\n\n{d.prose.paragraph(300)}"
    formal = body.replace(". ", "; ", 2)
    return (
        f"Version 1:\n\nDear {d.prose.word('name')},\n\n{body}\n\nKind "
        f"regards\n\nVersion 2:\n\nDear {d.prose.word('name')},\n\n{formal}\n\n"
        "Yours sincerely"
    )


def rubric_levels(d: Draw) -> str:
    levels = [
        "Excellent (5): always",
        "Good (4): usually",
        "Fair (3): sometimes",
        "Poor (2): rarely",
        "Missing (1): never",
    ]
    criteria = [
        (
            d.prose.phrase(),
            (
                f"{Prose(d.rng).word('verb')} the {Prose(d.rng).word('noun')} "
                f"and {Prose(d.rng).word('verb')} each {Prose(d.rng).word('noun')}"
            ),
        )
        for _ in range(d.rng.randint(3, 7))
    ]
    return "\n\n".join(
        f"### {name}\n" + "\n".join(f"- {level} able to {skill}." for level in levels) for name, skill in criteria
    )


def rubric_table(d: Draw) -> str:
    w = Prose(d.rng)
    rows = [
        (
            f"| {w.word('concept').title()} | Shows excellent {c} of the {n} "
            f"| Shows good {c} of the {n} | Shows limited {c} of the {n} | "
            f"Shows no {c} of the {n} |"
        )
        for c, n in ((w.word("concept"), w.word("noun")) for _ in range(d.rng.randint(4, 9)))
    ]
    return "| Criterion | 4 | 3 | 2 | 1 |\n|---|---|---|---|---|\n" + "\n".join(rows)


def checklist(d: Draw) -> str:
    return "\n".join(f"- [{d.rng.choice(' x')}] {d.prose.phrase()}" for _ in range(d.many(10, 70)))


def recipe(d: Draw) -> str:
    w = Prose(d.rng)
    items = "\n".join(
        (
            f"- {d.rng.randint(1, 4)} {d.rng.choice(['cups', 'tablespoons', 'teaspoons', 'grams'])} "
            f"of {w.word('adj')} {w.word('noun')}, chopped"
        )
        for _ in range(d.rng.randint(6, 16))
    )
    steps = "\n".join(
        f"{i}. Add the {w.word('noun')} and stir for {d.rng.randint(2, 20)} minutes. {w.sentence()}"
        for i in range(1, d.rng.randint(5, 12))
    )
    return f"Ingredients:\n{items}\n\nInstructions:\n{steps}"


def workout(d: Draw) -> str:
    moves = ["Squats", "Push-ups", "Lunges", "Plank", "Rows", "Burpees", "Deadlifts", "Crunches"]
    days = calendar.day_name
    return "\n\n".join(
        f"**{day}**\n"
        + "\n".join(
            f"- {m}: {d.rng.randint(2, 4)} sets of {d.rng.choice([8, 10, 12, 15])} reps" for m in d.rng.sample(moves, 5)
        )
        + "\n- Cool down: 5 minutes of stretching"
        for day in days
    )


def meal_plan(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n\n".join(
        (
            f"Day {i}:\n- Breakfast: {w.word('adj')} {w.word('noun')} "
            f"with {w.word('noun')}\n- Lunch: grilled {w.word('noun')} "
            f"and {w.word('noun')}\n- Dinner: {w.word('adj')} {w.word('noun')} "
            "soup\n- Snack: one apple"
        )
        for i in range(1, d.rng.choice([7, 14]) + 1)
    )


def legal_clauses(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n\n".join(
        (
            f"{i}.{j} The Lessee shall not {w.word('verb')} the {w.word('noun')} "
            f"without the prior written consent of the Lessor, and shall {w.word('verb')} "
            f"each {w.word('noun')}."
        )
        for i in range(1, d.rng.randint(2, 5))
        for j in range(1, d.rng.randint(3, 8))
    )


def patent_claims(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n\n".join(
        (
            f"{i}. The method of claim {d.rng.randint(1, i - 1)}, wherein "
            f"the {w.word('adj')} {w.word('noun')} is configured to {w.word('verb')} "
            f"the {w.word('noun')}, and wherein the {w.word('noun')} "
            f"is {w.word('adj')}."
        )
        for i in range(2, d.rng.randint(9, 30))
    )


def bibliography(d: Draw) -> str:
    p = d.prose
    return "\n".join(
        (
            f"[{i}] {p.word('name')} {p.word('place')}, and {p.word('name')} "
            f"{p.word('place')}. {p.phrase()}. Journal of {d.noun()}, vol. {d.rng.randint(1, 60)}, "
            f"pp. {d.rng.randint(1, 400)}-{d.rng.randint(401, 900)}, {d.rng.randint(1950, 2024)}."
        )
        for i in range(1, d.many(6, 60))
    )


def dictionary(d: Draw) -> str:
    return "\n".join(f"**{d.noun()}** (noun): {d.prose.sentence()}" for _ in range(d.many(8, 50)))


def phone_list(d: Draw) -> str:
    return "\n".join(
        f"{d.prose.word('name')}: (555) {d.rng.randint(100, 999)}-{d.rng.randint(1000, 9999)}"
        for _ in range(d.many(15, 90))
    )


def quiz(d: Draw) -> str:
    options = d.rng.choice(["a) True\nb) False", "A) Always\nB) Often\nC) Rarely\nD) Never", ""])
    parts = []
    for i in range(1, d.rng.randint(6, 22)):
        shown = options or "\n".join(f"{c}) {d.prose.phrase()}" for c in "abcd")
        parts.append(f"{i}. {d.prose.sentence()}\n{shown}\nAnswer: {d.rng.choice('abcd')}")
    return "\n\n".join(parts)


def survey(d: Draw) -> str:
    scale = "( ) Strongly disagree ( ) Disagree ( ) Neutral ( ) Agree ( ) Strongly agree"
    return "\n\n".join(f"{i}. {d.prose.sentence()}\n{scale}" for i in range(1, d.rng.randint(6, 16)))


def flashcards(d: Draw) -> str:
    return "\n\n".join(f"Front: {d.prose.phrase()}?\nBack: {d.prose.sentence()}" for _ in range(d.many(6, 40)))


def directions(d: Draw) -> str:
    return "\n".join(
        (
            f"{i}. Turn {d.rng.choice(['left', 'right'])} onto {Prose(d.rng).word('name')} "
            f"St and continue for {d.rng.uniform(0.1, 4):.1f} miles."
        )
        for i in range(1, d.rng.randint(8, 18))
    )


def knitting(d: Draw) -> str:
    return "\n".join(
        (
            f"Row {i}: K{d.rng.randint(1, 6)}, *P{d.rng.randint(1, 4)}, K{d.rng.randint(1, 4)}; "
            f"rep from * to last {d.rng.randint(1, 6)} sts, K{d.rng.randint(1, 4)}."
        )
        for i in range(1, d.rng.randint(8, 30))
    )


def glossed_twice(d: Draw) -> str:
    lines = [d.prose.sentence() for _ in range(d.rng.randint(5, 20))]
    return "\n".join(lines) + "\n\nCorrected:\n\n" + "\n".join(line.replace("the", "a", 1) for line in lines)


def conjugation(d: Draw) -> str:
    people = [("I", ""), ("you", ""), ("he", "s"), ("we", ""), ("you", ""), ("they", "")]
    return "\n\n".join(
        f"{verb.title()}\n" + "\n".join(f"- {who} {verb}{end}" for who, end in people)
        for verb in (Prose(d.rng).word("verb") for _ in range(d.rng.randint(4, 14)))
    )


def sentence_pairs(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n".join(
        f"- If you {w.word('verb')} the {w.word('noun')}, then the {w.word('noun')} will be {w.word('adj')}."
        for _ in range(d.rng.randint(8, 30))
    )


def company_bullets(d: Draw) -> str:
    w, parts = Prose(d.rng), []
    for _ in range(d.rng.randint(5, 20)):
        name = f"{w.word('noun').title()} {w.word('place')}"
        parts.append(
            f"**{name}**\n- Founded: {d.rng.randint(1850, 2020)}\n- Headquarters: {w.word('place')}\n"
            f"- Employees: {d.rng.randint(9, 90000)}\n- Known for: {w.word('adj')} {w.word('noun')}s"
        )
    return "\n\n".join(parts)


def word_list(d: Draw) -> str:
    joint = d.rng.choice(["\n", ", ", " "])
    w = Prose(d.rng)
    return joint.join(
        w.word(d.rng.choice(["noun", "nouns", "adj", "verb", "adv", "concept", "name", "place"]))
        for _ in range(d.many(60, 350))
    )


# ---------------------------------------------------------------- numbers


def primes(d: Draw) -> str:
    found = [n for n in range(2, d.many(200, 5000)) if all(n % k for k in range(2, int(n**0.5) + 1))]
    return d.rng.choice([", ", " ", "\n"]).join(map(str, found))


def times_table(d: Draw) -> str:
    sign = d.rng.choice("x×*")
    return "\n\n".join(
        "\n".join(f"{a} {sign} {b} = {a * b}" for b in range(1, 13))
        for a in range(d.rng.randint(2, 6), d.rng.randint(7, 13))
    )


def times_grid(d: Draw) -> str:
    n = d.rng.randint(9, 15)
    return "\n".join("".join(f"{a * b:5d}" for b in range(1, n)) for a in range(1, n))


def arithmetic_drill(d: Draw) -> str:
    form = d.rng.choice(["{a} + {b} = ___", "{a} - {b} = {c}", "{i}. {a} × {b} = _____", "What is {a} + {b}?"])
    pairs = [(d.rng.randint(2, 99), d.rng.randint(2, 99)) for _ in range(d.many(20, 120))]
    return "\n".join(form.format(a=a, b=b, c=a - b, i=i) for i, (a, b) in enumerate(pairs, 1))


def unit_conversion(d: Draw) -> str:
    units = d.rng.sample(
        [
            ("inch", "cm", 2.54),
            ("mile", "km", 1.609),
            ("pound", "kg", 0.4536),
            ("ounce", "g", 28.35),
            ("gallon", "l", 3.785),
        ],
        3,
    )
    return "\n\n".join("\n".join(f"{i} {a} = {i * f:.2f} {b}" for i in range(1, 11)) for a, b, f in units)


def parallel_maths(d: Draw) -> str:
    steps = []
    for i in range(1, d.rng.randint(6, 20)):
        a, b = d.rng.randint(2, 30), d.rng.randint(2, 90)
        steps.append(
            f"Step {i}: Substitute $x = {a}$ into the equation.\n$$f({a}) "
            f"= {b} \\cdot {a} + {i} = {a * b + i}$$\nTherefore, $f({a}) "
            f"= {a * b + i}$."
        )
    return "\n\n".join(steps)


def case_check(d: Draw) -> str:
    n = d.rng.randint(50, 2000)
    return "\n".join(
        f"{n} mod {k} = {n % k}, so {n} is {'' if n % k == 0 else 'not '}divisible by {k}."
        for k in range(2, d.rng.randint(12, 40))
    )


def fibonacci(d: Draw) -> str:
    a, b, lines = 0, 1, []
    for i in range(1, d.rng.randint(15, 60)):
        lines.append(f"F({i}) = F({i - 1}) + F({i - 2}) = {a} + {b} = {a + b}")
        a, b = b, a + b
    return "\n".join(lines)


def loan_schedule(d: Draw) -> str:
    balance, lines = d.rng.uniform(5000, 90000), ["Month  Interest  Principal  Balance"]
    payment = balance / 50
    for month in range(1, d.rng.randint(12, 48)):
        interest = balance * 0.004
        balance -= payment - interest
        lines.append(f"{month:5d}  {interest:8.2f}  {payment - interest:9.2f}  {balance:9.2f}")
    return "\n".join(lines)


def countdown(d: Draw) -> str:
    n = d.rng.randint(10, 30)
    return f"{d.prose.text(400)}\n\n" + "... ".join(str(i) for i in range(n, -1, -1)) + f"!\n\n{d.prose.text(400)}"


def alphabet(d: Draw) -> str:
    return "\n".join(f"{c} is for {d.noun()}, {d.prose.phrase()}." for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def year_calendar(d: Draw) -> str:
    year, months = d.rng.randint(1990, 2035), sorted(d.rng.sample(range(1, 13), d.rng.randint(3, 12)))
    return "\n".join(calendar.TextCalendar().formatmonth(year, month) for month in months)


def sudoku(d: Draw) -> str:
    digits = d.rng.sample("123456789", 9)

    def grid(shown: float) -> str:
        rows = [
            [digits[(3 * (r % 3) + r // 3 + c) % 9] if d.rng.random() < shown else "." for c in range(9)]
            for r in range(9)
        ]
        lines = ["| " + " | ".join(" ".join(row[i : i + 3]) for i in (0, 3, 6)) + " |" for row in rows]
        rule = "+-------+-------+-------+"
        return "\n".join([rule, *lines[:3], rule, *lines[3:6], rule, *lines[6:], rule])

    return "\n\n".join(f"{d.prose.sentence()}\n\n{grid(shown)}" for shown in (0.4, 0.7, 1.0))


def crossword(d: Draw) -> str:
    n = d.rng.randint(10, 18)
    return "\n".join(" ".join(d.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ###") for _ in range(n)) for _ in range(n))


def maze(d: Draw) -> str:
    n = d.rng.randint(8, 16)
    return "\n".join(
        "+"
        + "+".join(d.rng.choice(["---", "   "]) for _ in range(n))
        + "+\n|"
        + "".join("   " + d.rng.choice("| ") for _ in range(n))
        for _ in range(n)
    )


# ---------------------------------------------------------------- ornaments


def ascii_art(d: Draw) -> str:
    n = d.rng.randint(6, 14)
    tree = "\n".join(" " * (n - i) + "*" * (2 * i - 1) for i in range(1, n))
    box = "+" + "-" * 24 + "+\n" + "\n".join("|" + " " * 24 + "|" for _ in range(4)) + "\n+" + "-" * 24 + "+"
    return f"{d.prose.text(200)}\n\n{tree}\n\n{box}\n\n{d.prose.text(200)}"


def bar_chart(d: Draw) -> str:
    return "\n".join(
        f"{d.noun()[:12]:>12} | {d.rng.choice('#█*=')[0] * d.rng.randint(1, 60)}" for _ in range(d.rng.randint(8, 30))
    )


def separators(d: Draw) -> str:
    rule = d.rng.choice(["-" * 80, "=" * 60, "* * * * * * * *", "~" * 40, "#" * 79, "─" * 50, "_" * 72])
    return f"\n{rule}\n".join(d.prose.sentences(d.rng.randint(1, 4)) for _ in range(d.rng.randint(3, 12)))


def fill_in_form(d: Draw) -> str:
    return "\n\n".join(f"{d.prose.phrase()}: {'_' * d.rng.randint(15, 60)}" for _ in range(d.rng.randint(8, 25)))


def blank_table(d: Draw) -> str:
    """A plan to fill in: rows that differ by a number or a day, at the length people print."""
    columns = d.rng.randint(2, 5)
    names = d.rng.choice([[str(i) for i in range(1, d.rng.randint(6, 13))], list(calendar.day_name)])
    head = "| | " + " | ".join(d.prose.phrase() for _ in range(columns)) + " |\n" + "|---" * (columns + 1) + "|\n"
    return f"{d.prose.text(300)}\n\n{head}" + "\n".join(f"| {name} |" + "   |" * columns for name in names)


def blank_space(d: Draw) -> str:
    """Centred lines, deep indents, and empty lines between parts."""
    lines = [" " * d.rng.randint(8, 70) + d.prose.phrase() for _ in range(d.rng.randint(4, 12))]
    return f"{d.prose.text(400)}" + "\n" * d.rng.randint(3, 18) + ("\n" * d.rng.randint(1, 5)).join(lines)


def zero_array(d: Draw) -> str:
    """A fresh buffer or an embedding with few values set."""
    values = ["0"] * d.rng.randint(16, 40)
    for _ in range(d.rng.randint(0, 3)):
        values[d.rng.randrange(len(values))] = d.number()
    return f"{d.prose.text(400)}\n\nbuffer = [{', '.join(values)}]\n\n{d.prose.text(400)}"


def contents_leaders(d: Draw) -> str:
    page, lines = 1, []
    for i in range(1, d.rng.randint(8, 40)):
        page += d.rng.randint(1, 20)
        title = f"{i}. {d.prose.phrase()}"
        lines.append(title + " " + "." * max(5, 66 - len(title)) + f" {page}")
    return "\n".join(lines)


def emoji_row(d: Draw) -> str:
    face = d.rng.choice("🎉🔥⭐❤😂👏")
    return f"{face * d.rng.randint(3, 20)} {d.prose.phrase()} {face * d.rng.randint(3, 20)}\n\n{d.prose.text(600)}"


def star_ratings(d: Draw) -> str:
    return "\n\n".join(
        f"{d.prose.word('name')} {'★' * (n := d.rng.randint(1, 5))}{'☆' * (5 - n)}\n{d.prose.sentence()}"
        for _ in range(d.rng.randint(6, 25))
    )


def plain_prose(d: Draw) -> str:
    return d.prose.text(d.many(400, 12000))


def mixed_answer(d: Draw) -> str:
    parts = [
        f"## {d.prose.phrase()}\n\n{d.prose.paragraph(200)}\n\n"
        + "\n".join(f"{i}. **{d.prose.phrase()}**: {d.prose.sentence()}" for i in range(1, d.rng.randint(4, 9)))
        for _ in range(d.rng.randint(2, 9))
    ]
    return "\n\n".join(parts)


TEXT: tuple[Maker, ...] = (
    poem_refrain,
    song,
    song_vocables,
    counting_song,
    cumulative_song,
    litany,
    affirmations,
    anaphora,
    emphasis,
    dialogue_names,
    interview,
    chess_pgn,
    chess_boards,
    abc_music,
    drum_tab,
    guitar_chords,
    translation_twice,
    letter_twice,
    rubric_levels,
    rubric_table,
    checklist,
    recipe,
    workout,
    meal_plan,
    legal_clauses,
    patent_claims,
    bibliography,
    dictionary,
    phone_list,
    quiz,
    survey,
    flashcards,
    directions,
    knitting,
    glossed_twice,
    conjugation,
    sentence_pairs,
    company_bullets,
    word_list,
    primes,
    times_table,
    times_grid,
    arithmetic_drill,
    unit_conversion,
    parallel_maths,
    case_check,
    fibonacci,
    loan_schedule,
    countdown,
    alphabet,
    year_calendar,
    sudoku,
    crossword,
    maze,
    ascii_art,
    bar_chart,
    separators,
    fill_in_form,
    contents_leaders,
    blank_table,
    blank_space,
    zero_array,
    emoji_row,
    star_ratings,
    plain_prose,
    mixed_answer,
)
