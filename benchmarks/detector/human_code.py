"""Human look-alikes: code. Accessors, switches, tests by hand, two versions of one function, styles, assembly."""

from __future__ import annotations

import re

from benchmarks.detector.draw import Draw
from benchmarks.detector.human_data import Maker
from benchmarks.detector.prose import Prose


def _names(d: Draw, n: int) -> list[str]:
    source = Prose(d.rng)
    return [f"{source.word('verb')}_{source.word('noun')}" if i % 3 == 0 else source.word("noun") for i in range(n)]


def _camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def java_bean(d: Draw) -> str:
    kinds = ["String", "int", "double", "boolean", "LocalDate"]
    fields = [(d.rng.choice(kinds), name) for name in _names(d, d.many(4, 25))]
    form = (
        "    public {0} get{2}() {{\n        return {1};\n    "
        "}}\n\n    public void set{2}({0} {1}) {{\n        this.{1} "
        "= {1};\n    }}\n"
    )
    head = "\n".join(f"    private {kind} {name};" for kind, name in fields)
    return (
        "public class Customer {\n" + head + "\n\n" + "\n".join(form.format(k, n, _camel(n)) for k, n in fields) + "}"
    )


def python_properties(d: Draw) -> str:
    form = (
        "    @property\n    def {0}(self):\n        return self._{0}\n\n"
        "    @{0}.setter\n    def {0}(self, value):\n        self._{0} "
        "= value\n"
    )
    return "class Settings:\n" + "\n".join(form.format(name) for name in _names(d, d.many(4, 20)))


def switch_cases(d: Draw) -> str:
    form = d.rng.choice(
        [
            '        case {i}:\n            return "{n}";\n',
            "        case '{c}':\n            {n}();\n            break;\n",
            '    elif code == {i}:\n        return "{n}"\n',
        ]
    )
    names = _names(d, d.many(6, 30))
    return (
        "switch (code) {\n" + "".join(form.format(i=i, n=n, c=chr(97 + i % 26)) for i, n in enumerate(names, 1)) + "}"
    )


def enum_values(d: Draw) -> str:
    form = d.rng.choice(["    {u} = {i};", "    {u} = {i}", '    {u}({i}, "{n}"),', "#define {u} 0x{i:04X}"])
    return (
        "enum Kind {\n"
        + "\n".join(form.format(u=n.upper(), i=i, n=n) for i, n in enumerate(_names(d, d.many(10, 60))))
        + "\n}"
    )


def unit_tests(d: Draw) -> str:
    name = _names(d, 1)[0]
    form = d.rng.choice(
        [
            "    def test_{name}_{case}(self):\n        self.assertEqual({name}({a}), {b})\n",
            "def test_{case}():\n    assert {name}({a}, {c}) == {b}\n\n",
            "  it('handles {case}', () => {{\n    expect({name}({a})).toBe({b});\n  }});\n",
        ]
    )
    return "\n".join(
        form.format(name=name, case=case, a=d.number(), b=d.number(), c=d.number()) for case in _names(d, d.many(5, 40))
    )


def assertions(d: Draw) -> str:
    name = _names(d, 1)[0]
    return "\n".join(
        f"assert {name}({d.rng.randint(-99, 999)}) == {d.rng.choice([True, False, d.number()])}"
        for _ in range(d.many(8, 60))
    )


def parametrised(d: Draw) -> str:
    rows = [
        f'    ("{d.prose.phrase()}", {d.number()}, {d.rng.choice(["True", "False"])}),' for _ in range(d.many(6, 50))
    ]
    return (
        '@pytest.mark.parametrize("text, expected, strict", [\n'
        + "\n".join(rows)
        + "\n])\ndef test_parse(text, expected, strict):\n    assert parse(text, strict) == expected"
    )


def _function(d: Draw) -> str:
    n, w = _names(d, 9), Prose(d.rng)
    return f'''def {n[0]}({n[1]}, {n[2]}=None):
    """{w.sentence()}"""
    {n[4]} = []
    for {n[5]} in {n[1]}:
        if {n[5]} is None or {n[5]} == {n[2]}:
            continue
        {n[7]} = {n[5]}.get("{n[8]}", {d.rng.randint(0, 99)})
        if {n[7]} > {d.rng.randint(2, 500)}:
            {n[4]}.append({n[7]} - {d.rng.randint(1, 9)})
        else:
            {n[4]}.extend(sorted({n[5]}.values())[:{d.rng.randint(1, 9)}])
    return {n[4]}
'''


def code_two_versions(d: Draw) -> str:
    source = "\n\n".join(_function(d) for _ in range(d.rng.randint(1, 4)))
    other = re.sub(r"\bresult\b", "output", source).replace("    return ", "    # sorted for the caller\n    return ")
    for name in sorted(set(re.findall(r"\b[a-z]{6,}\b", source)))[:3]:
        other = re.sub(rf"\b{name}\b", name + "_", other)
    return (
        f"{d.prose.paragraph(150)}\n\n```python\n{source}```\n\n"
        f"{d.prose.paragraph(150)}\n\n```python\n{other}```\n\n"
        f"{d.prose.paragraph(120)}"
    )


def code_corrected(d: Draw) -> str:
    lines = "\n\n".join(_function(d) for _ in range(d.rng.randint(1, 3))).splitlines()
    fixed = list(lines)
    fixed[d.rng.randrange(3, len(fixed))] += "  # fixed"
    return (
        "Original:\n\n```python\n"
        + "\n".join(lines)
        + f"\n```\n\n{d.prose.sentences(2)}\n\nFixed:\n\n```python\n"
        + "\n".join(fixed)
        + "\n```"
    )


def html_two_versions(d: Draw) -> str:
    body = "\n".join(
        f'  <p class="{Prose(d.rng).word("noun")}">{d.prose.sentence()}</p>' for _ in range(d.rng.randint(4, 12))
    )
    return (
        f"<body>\n{body}\n</body>\n\n{d.prose.sentence()}\n\n<body>\n"
        + body.replace("<p ", "<div ").replace("</p>", "</div>")
        + "\n</body>"
    )


def similar_functions(d: Draw) -> str:
    form = (
        'def {0}({1}):\n    """Return the {1} of the {0}."""\n'
        '    if not {1}:\n        raise ValueError("empty {1}")\n'
        "    return {2}\n\n"
    )
    bodies = ["sum({0})", "max({0})", "sorted({0})[0]", "len({0}) * 2", "{0}[::-1]", "list(map(abs, {0}))"]
    return "\n".join(
        form.format(a, b, d.rng.choice(bodies).format(b)) for a, b in zip(_names(d, 12), _names(d, 12), strict=True)
    )


def calculator(d: Draw) -> str:
    words = [("add", "+"), ("subtract", "-"), ("multiply", "*"), ("divide", "/"), ("power", "**"), ("modulo", "%")]
    functions = "\n\n".join(f"def {name}(x, y):\n    return x {sign} y" for name, sign in words)
    menu = "\n".join(f'print("{i}. {name.title()}")' for i, (name, _) in enumerate(words, 1))
    cases = "\n".join(
        f'    elif choice == \'{i}\':\n        print(num1, "{s}", num2, "=", {n}(num1, num2))'
        for i, (n, s) in enumerate(words, 1)
    )
    return (
        f"{functions}\n\n{menu}\n\nwhile True:\n    choice "
        "= input()\n    num1 = float(input())\n    num2 = "
        f"float(input())\n{cases}"
    )


def css(d: Draw) -> str:
    form = ".{} {{\n  color: #{:06x};\n  margin: {}px {}px;\n  padding: 0;\n  display: flex;\n}}\n"
    return "\n".join(
        form.format(n.replace("_", "-"), d.rng.randrange(16**6), d.rng.randint(0, 40), d.rng.randint(0, 40))
        for n in _names(d, d.many(5, 50))
    )


def tailwind(d: Draw) -> str:
    form = '<button class="px-4 py-2 bg-{0}-500 text-white rounded-lg hover:bg-{0}-700 focus:outline-none">{1}</button>'
    colours = ["red", "blue", "green", "gray", "pink", "teal", "amber", "lime", "rose", "sky"]
    return "\n".join(form.format(d.rng.choice(colours), d.prose.phrase()) for _ in range(d.many(5, 30)))


def assembly(d: Draw) -> str:
    registers = ["eax", "ebx", "ecx", "edx", "esi", "edi"]
    forms = [
        "mov {0}, {1}",
        "add {0}, {2}",
        "cmp {0}, {1}",
        "push {0}",
        "pop {1}",
        "mov [{0}+{2}], {1}",
        "jne .L{2}",
        "xor {0}, {0}",
    ]
    return "main:\n" + "\n".join(
        "    " + d.rng.choice(forms).format(d.rng.choice(registers), d.rng.choice(registers), d.rng.randint(1, 64))
        for _ in range(d.many(20, 200))
    )


def imports(d: Draw) -> str:
    return "\n".join(f"import {{ {_camel(n)} }} from '@/components/{n}/{_camel(n)}';" for n in _names(d, d.many(8, 60)))


def routes(d: Draw) -> str:
    form = (
        "router.{2}('/api/{0}/:id', authenticate, async (req, res) "
        "=> {{\n  const {0} = await {1}.findById(req.params.id);\n"
        "  res.json({0});\n}});\n"
    )
    return "\n".join(
        form.format(n, _camel(n), d.rng.choice(["get", "post", "put", "delete"])) for n in _names(d, d.many(4, 25))
    )


def regexes(d: Draw) -> str:
    octet = "(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
    lines = [
        f"^{octet}\\.{octet}\\.{octet}\\.{octet}$",
        "^([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$",
        r"^[\w.+-]+@[\w-]+\.[\w.]+$",
        "(" + "|".join(f"([0-9a-fA-F]{{1,4}}:){{1,{i}}}(:[0-9a-fA-F]{{1,4}}){{1,{8 - i}}}" for i in range(1, 8)) + ")",
    ]
    return "\n\n".join(f"{d.prose.sentence()}\n\n```\n{line}\n```" for line in d.rng.sample(lines, 4))


def go_errors(d: Draw) -> str:
    form = '\t{0}, err := {1}({2})\n\tif err != nil {{\n\t\treturn nil, fmt.Errorf("{1}: %w", err)\n\t}}\n'
    return (
        "func run() (*Result, error) {\n"
        + "".join(form.format(*_names(d, 3)) for _ in range(d.many(4, 25)))
        + "\treturn result, nil\n}"
    )


def makefile(d: Draw) -> str:
    return "\n\n".join(
        f'{n}: {m}\n\t@echo "building {n}"\n\tgcc -Wall -O2 -o $@ $<'
        for n, m in zip(_names(d, 15), _names(d, 15), strict=True)
    )


def verilog(d: Draw) -> str:
    bits = d.rng.choice([4, 8, 16])
    return "\n".join(
        f"  full_adder fa{i} (.a(a[{i}]), .b(b[{i}]), .cin(c[{i}]), .sum(s[{i}]), .cout(c[{i + 1}]));"
        for i in range(bits)
    )


def spreadsheet_formulas(d: Draw) -> str:
    return "\n".join(
        f"{c}{r}: =SUM({c}{r + 1}:{c}{r + d.rng.randint(3, 30)})*{d.number()}"
        for c in "ABCDEF"
        for r in range(1, d.rng.randint(3, 6))
    )


def kotlin_colors(d: Draw) -> str:
    return "\n".join(
        f"val {_camel(n)}{s} = Color(0xFF{d.rng.randrange(16**6):06X})"
        for n in _names(d, 8)
        for s in (100, 300, 500, 700)
    )


def pygame_events(d: Draw) -> str:
    keys = ["UP", "DOWN", "LEFT", "RIGHT", "SPACE", "RETURN", "ESCAPE", "TAB", "F1", "F2", "w", "a", "s"]
    form = "        if event.key == pygame.K_{}:\n            player.{}()\n            redraw(screen)\n"
    return "for event in pygame.event.get():\n    if event.type == pygame.KEYDOWN:\n" + "".join(
        form.format(k, Prose(d.rng).word("verb")) for k in d.rng.sample(keys, d.rng.randint(6, 13))
    )


CODE: tuple[Maker, ...] = (
    java_bean,
    python_properties,
    switch_cases,
    enum_values,
    unit_tests,
    assertions,
    parametrised,
    code_two_versions,
    code_corrected,
    html_two_versions,
    similar_functions,
    calculator,
    css,
    tailwind,
    assembly,
    imports,
    routes,
    regexes,
    go_errors,
    makefile,
    verilog,
    spreadsheet_formulas,
    kotlin_colors,
    pygame_events,
)
