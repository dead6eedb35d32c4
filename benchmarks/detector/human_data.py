"""Human look-alikes: tables, rows, records, markup, logs, dumps. Structured, often with almost nothing new per line."""

from __future__ import annotations

import base64
import json
import math
import unicodedata
from collections.abc import Callable

from benchmarks.detector.draw import Draw
from benchmarks.detector.prose import Prose

Maker = Callable[[Draw], str]


def _row(d: Draw) -> list[str]:
    return [d.prose.word("name"), d.prose.word("place"), d.number(), d.rng.choice(["yes", "no"]), d.day(), d.noun()]


def markdown_table(d: Draw) -> str:
    columns = d.rng.randint(2, 6)
    lines = ["| " + " | ".join(_row(d)[:columns]) + " |" for _ in range(d.many(4, 70))]
    return "\n".join(
        ["| " + " | ".join(f"Column {c}" for c in "ABCDEF"[:columns]) + " |", "|" + "---|" * columns, *lines]
    )


def padded_table(d: Draw) -> str:
    widths = [d.rng.randint(8, 40) for _ in range(6)]
    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    rows = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(_row(d), widths, strict=True)) + " |" for _ in range(d.many(4, 50))
    ]
    joint = f"\n{rule}\n" if d.rng.random() < 0.5 else "\n"
    return f"{rule}\n{joint.join(rows)}\n{rule}"


def feature_matrix(d: Draw) -> str:
    columns = d.rng.randint(3, 6)
    rows = [
        f"| {d.prose.phrase()} |" + "".join(d.rng.choice([" ✅ |", " ❌ |", " ✅ |"]) for _ in range(columns))
        for _ in range(d.many(8, 40))
    ]
    return "\n".join(
        ["| Feature |" + "".join(f" Plan {i} |" for i in range(columns)), "|---|" + ":---:|" * columns, *rows]
    )


def html_table(d: Draw) -> str:
    rows = ["  <tr>\n" + "".join(f"    <td>{c}</td>\n" for c in _row(d)) + "  </tr>" for _ in range(d.many(4, 40))]
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def html_page(d: Draw) -> str:
    item = '      <li class="nav-item">\n        <a class="nav-link" href="/{0}">{1}</a>\n      </li>'
    items = [item.format(d.prose.word("name"), d.prose.phrase()) for _ in range(d.many(5, 40))]
    return (
        '<!DOCTYPE html>\n<html>\n<body>\n  <div class="container">\n    <ul>\n'
        + "\n".join(items)
        + "\n    </ul>\n  </div>\n</body>\n</html>"
    )


def html_form(d: Draw) -> str:
    fields = ["name", "email", "phone", "address", "city", "zip", "country", "company", "website", "message"]
    form = (
        '  <div class="form-group">\n    <label for="{0}">{1}:</label>\n'
        '    <input type="text" id="{0}" name="{0}" class="form-control" '
        "required>\n  </div>"
    )
    return (
        "<form>\n"
        + "\n".join(form.format(f, f.title()) for f in d.rng.sample(fields, d.rng.randint(5, 10)))
        + "\n</form>"
    )


def json_records(d: Draw) -> str:
    rows = [
        {
            "id": i,
            "name": d.prose.word("name"),
            "city": d.prose.word("place"),
            "score": round(d.rng.uniform(0, 100), 2),
            "active": d.rng.random() < 0.8,
            "since": d.day(),
            "tags": [d.noun() for _ in range(d.rng.randint(0, 3))],
        }
        for i in range(1, d.many(5, 90))
    ]
    return json.dumps(rows, indent=d.rng.choice([None, 2, 4]), ensure_ascii=False)


def json_flat(d: Draw) -> str:
    rows = [
        f'{{"id": {i}, "name": "{d.noun()} {d.noun()}", "type": "product", "active": true, "price": {d.number()}}}'
        for i in range(1, d.many(8, 80))
    ]
    return "[\n  " + ",\n  ".join(rows) + "\n]"


def json_schema(d: Draw) -> str:
    kinds = ["string", "integer", "boolean", "number"]
    fields = {
        d.noun(): {"type": d.rng.choice(kinds), "description": d.prose.phrase(), "nullable": False}
        for _ in range(d.many(6, 40))
    }
    return json.dumps({"type": "object", "properties": fields, "required": list(fields)}, indent=2, ensure_ascii=False)


def chat_json(d: Draw) -> str:
    rows = [
        {"role": role, "content": d.prose.sentence()} for _ in range(d.many(4, 40)) for role in ("user", "assistant")
    ]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def nested_config(d: Draw) -> str:
    def level(depth: int) -> dict[str, object]:
        return {
            d.noun(): level(depth - 1) if depth and d.rng.random() < 0.6 else d.number()
            for _ in range(d.rng.randint(2, 5))
        }

    return json.dumps(level(d.rng.randint(3, 5)), indent=4, ensure_ascii=False)


def yaml_services(d: Draw) -> str:
    form = (
        "  {0}:\n    image: registry.local/{0}:{1}\n    restart: "
        "always\n    environment:\n      - LOG_LEVEL=info\n"
        '      - PORT={2}\n    ports:\n      - "{2}:{2}"\n    '
        "networks:\n      - backend\n"
    )
    return "services:\n" + "".join(
        form.format(Prose(d.rng).word("noun"), d.rng.randint(1, 9), d.rng.randint(3000, 9999))
        for _ in range(d.many(3, 20))
    )


def ini_file(d: Draw) -> str:
    return "\n".join(
        (
            f"[{d.noun()}]\nenabled = {d.rng.choice(['true', 'false'])}\n"
            f"timeout = {d.number()}\npath = /srv/{Prose(d.rng).word('noun')}\n"
        )
        for _ in range(d.many(4, 40))
    )


def csv_rows(d: Draw) -> str:
    return "name,city,amount,paid,date,item\n" + "\n".join(",".join(_row(d)) for _ in range(d.many(8, 150)))


def csv_sensor(d: Draw) -> str:
    value, lines = d.rng.uniform(10, 30), ["timestamp,temperature,humidity,status"]
    for i in range(d.many(15, 200)):
        value += d.rng.uniform(-0.4, 0.4)
        lines.append(f"2024-03-01T{i // 60 % 24:02d}:{i % 60:02d}:00Z,{value:.1f},{d.rng.randint(30, 70)},OK")
    return "\n".join(lines)


def timetable(d: Draw) -> str:
    stops, start = [d.prose.word("place") for _ in range(d.rng.randint(5, 10))], d.rng.randint(300, 420)
    lines = []
    for stop in stops:
        start += d.rng.randint(2, 9)
        times = [divmod(start + 30 * i + d.rng.choice([0, 0, 1]), 60) for i in range(d.rng.randint(5, 9))]
        lines.append(stop.ljust(14) + "  ".join(f"{h:02d}:{m:02d}" for h, m in times))
    return "\n".join(lines)


def xml_records(d: Draw) -> str:
    form = (
        '  <record id="{}">\n    <name>{}</name>\n    <city>{}</city>\n'
        '    <value unit="kg">{}</value>\n    <note/>\n  '
        "</record>"
    )
    rows = [
        form.format(d.rng.randint(100, 99999), d.prose.word("name"), d.prose.word("place"), d.number())
        for _ in range(d.many(4, 50))
    ]
    return '<?xml version="1.0"?>\n<records>\n' + "\n".join(rows) + "\n</records>"


def svg(d: Draw) -> str:
    shapes = [
        d.rng.choice(
            [
                (
                    f'  <circle cx="{d.rng.randint(0, 400)}" cy="{d.rng.randint(0, 400)}" '
                    f'r="{d.rng.randint(1, 40)}" fill="black" />'
                ),
                (
                    f'  <rect x="{d.rng.randint(0, 400)}" y="{d.rng.randint(0, 400)}" '
                    f'width="20" height="20" fill="#{d.rng.randrange(16**6):06x}" '
                    "/>"
                ),
                f'  <line x1="{d.rng.randint(0, 400)}" y1="0" x2="{d.rng.randint(0, 400)}" y2="400" stroke="black" />',
            ]
        )
        for _ in range(d.many(6, 60))
    ]
    path = " ".join(f"L {d.rng.randint(0, 400)} {d.rng.randint(0, 400)}" for _ in range(d.many(5, 80)))
    return (
        f'<svg width="400" height="400" xmlns="http://www.w3.org/2000/svg">\n  <path d="M 0 0 {path} Z" />\n'
        + "\n".join(shapes)
        + "\n</svg>"
    )


def sql_inserts(d: Draw) -> str:
    return "\n".join(
        (
            "INSERT INTO customers (id, name, city, balance, active) VALUES "
            f"({i}, '{d.prose.word('name')}', '{d.prose.word('place')}', "
            f"{d.number()}, TRUE);"
        )
        for i in range(1, d.many(5, 60))
    )


def sql_schema(d: Draw) -> str:
    kinds = [
        "VARCHAR(255) NOT NULL",
        "INT NOT NULL DEFAULT 0",
        "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "DECIMAL(10, 2)",
    ]
    tables = []
    for _ in range(d.many(2, 9)):
        columns = ",\n".join(
            f"    {Prose(d.rng).word('noun')}_{Prose(d.rng).word('noun')} {d.rng.choice(kinds)}"
            for _ in range(d.rng.randint(3, 9))
        )
        tables.append(f"CREATE TABLE {Prose(d.rng).word('noun')}s (\n    id SERIAL PRIMARY KEY,\n{columns}\n);\n")
    return "\n".join(tables)


def access_log(d: Draw) -> str:
    r, lines = d.rng, []
    for i in range(d.many(8, 120)):
        path = r.choice(["/", "/login", "/static/app.js", "/api/v1/orders", f"/item/{r.randint(1, 999)}"])
        when = f"12/May/2023:{8 + i // 60:02d}:{i % 60:02d}:{r.randint(0, 59):02d}"
        lines.append(
            f"10.0.{r.randint(0, 3)}.{r.randint(1, 254)} - - [{when} +0000] "
            f'"GET {path} HTTP/1.1" {r.choice([200, 200, 304, 404])} {r.randint(100, 9999)}'
        )
    return "\n".join(lines)


def service_log(d: Draw) -> str:
    r, second, lines = d.rng, d.rng.randint(0, 40000), []
    said = [
        "worker {} finished job {} in {} ms",
        "connection from 10.0.0.{} closed",
        "retrying request {} (attempt {} of 5)",
        "cache miss for key {}:{}",
    ]
    for _ in range(d.many(10, 150)):
        second += r.randint(0, 12)
        stamp = (
            f"2024-01-09 {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d},{r.randint(0, 999):03d}"
        )
        message = r.choice(said).format(*(r.randint(1, 250) for _ in range(3)))
        lines.append(f"{stamp} {r.choice(['INFO', 'INFO', 'DEBUG', 'WARNING'])} [main] {message}")
    return "\n".join(lines)


def training_log(d: Draw) -> str:
    loss, lines = d.rng.uniform(2, 5), []
    for epoch in range(1, d.many(8, 60)):
        loss *= d.rng.uniform(0.9, 1.01)
        lines.append(
            f"Epoch {epoch}/60\n100/100 [==============================] - {d.rng.randint(3, 9)}s "
            f"{d.rng.randint(30, 90)}ms/step - loss: {loss:.4f} - accuracy: {1 - loss / 6:.4f}"
        )
    return "\n".join(lines)


def test_output(d: Draw) -> str:
    lines = [
        (
            f"tests/test_{Prose(d.rng).word('noun')}.py::test_{Prose(d.rng).word('verb')}_{Prose(d.rng).word('noun')}"
            f" PASSED [{p:3d}%]"
        )
        for p in range(2, 100, d.rng.randint(2, 9))
    ]
    return "\n".join(lines)


def ping_output(d: Draw) -> str:
    n = d.many(8, 40)
    lines = [
        f"64 bytes from 93.184.216.34: icmp_seq={i} ttl=56 time={d.rng.uniform(9, 30):.1f} ms" for i in range(1, n)
    ]
    return (
        "PING example.org (93.184.216.34) 56(84) bytes of data.\n"
        + "\n".join(lines)
        + f"\n--- {n} packets transmitted, 0% packet loss ---"
    )


def traceback(d: Draw) -> str:
    frames = [
        (
            f'  File "/srv/app/{Prose(d.rng).word("noun")}.py", '
            f"line {d.rng.randint(3, 900)}, in {Prose(d.rng).word('verb')}\n"
            f"    return self.{Prose(d.rng).word('verb')}({Prose(d.rng).word('noun')})"
        )
        for _ in range(d.rng.randint(5, 25))
    ]
    return "Traceback (most recent call last):\n" + "\n".join(frames) + "\nValueError: " + d.prose.phrase()


def java_trace(d: Draw) -> str:
    w = Prose(d.rng)
    frames = [
        (
            f"\tat org.example.{w.word('noun')}.{w.word('noun').title()}.{w.word('verb')}({w.word('noun').title()}"
            f".java:{d.rng.randint(9, 999)})"
        )
        for _ in range(d.rng.randint(8, 45))
    ]
    return 'Exception in thread "main" java.lang.IllegalStateException\n' + "\n".join(frames)


def recursion_trace(d: Draw) -> str:
    w = Prose(d.rng)
    frame = (
        f'  File "{w.word("noun")}.py", line {d.rng.randint(3, 40)}, '
        f"in {w.word('verb')}\n    return n * {w.word('verb')}(n "
        "- 1)\n"
    )
    return (
        f"{d.prose.text(300)}\n\nTraceback (most recent call "
        f"last):\n{frame * 3}  [Previous line repeated 993 more "
        "times]\nRecursionError: maximum recursion depth exceeded\n\n"
        f"{d.prose.text(400)}"
    )


def base64_blob(d: Draw) -> str:
    blob = base64.b64encode(d.rng.randbytes(d.many(250, 6000))).decode()
    return "\n".join(blob[i : i + 76] for i in range(0, len(blob), 76))


def hex_dump(d: Draw) -> str:
    lines = []
    for i in range(d.many(8, 120)):
        data = (
            d.rng.randbytes(16) if d.rng.random() < 0.6 else bytes(d.rng.choice([0, 0, 0, 255, 32]) for _ in range(16))
        )
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in data)
        lines.append(f"{16 * i:08x}  {data.hex(' ')}  |{shown}|")
    return "\n".join(lines)


def byte_array(d: Draw) -> str:
    data = [f"0x{b:02x}" for b in d.rng.randbytes(d.many(60, 800))]
    rows = [", ".join(data[i : i + 12]) for i in range(0, len(data), 12)]
    return "static const unsigned char glyphs[] = {\n    " + ",\n    ".join(rows) + "\n};"


def fasta(d: Draw) -> str:
    alphabet = d.rng.choice(["ACGT", "ACDEFGHIKLMNPQRSTVWY"])
    records = []
    for _ in range(d.rng.randint(1, 5)):
        body = "".join(d.rng.choice(alphabet) for _ in range(d.many(200, 2500)))
        records.append(
            f">seq|{d.rng.randint(1000, 99999)}\n" + "\n".join(body[i : i + 60] for i in range(0, len(body), 60))
        )
    return "\n".join(records)


def microsatellite(d: Draw) -> str:
    parts = [
        "".join(d.rng.choice("ACGT") for _ in range(d.rng.randint(80, 300)))
        + d.rng.choice(["CA", "GATA", "TTAGGG"]) * d.rng.randint(6, 14)
        for _ in range(4)
    ]
    body = "".join(parts) + "".join(d.rng.choice("ACGT") for _ in range(120))
    return ">locus\n" + "\n".join(body[i : i + 70] for i in range(0, len(body), 70))


def matrix_latex(d: Draw) -> str:
    n = d.rng.randint(3, 8)
    return "\n\n".join(
        "\\begin{bmatrix}\n"
        + " \\\\\n".join(
            " & ".join(str(d.rng.choice([0, 0, 1, d.rng.randint(-9, 9)])) for _ in range(n)) for _ in range(n)
        )
        + "\n\\end{bmatrix}"
        for _ in range(d.rng.randint(3, 9))
    )


def zero_matrix(d: Draw) -> str:
    n = d.rng.randint(5, 9)
    rows = [[0] * n for _ in range(n)]
    for _ in range(3):
        rows[d.rng.randrange(n)][d.rng.randrange(n)] = 1
    return (
        f"{d.prose.text(300)}\n\n```python\nboard = [\n"
        + "\n".join(f"    {row}," for row in rows)
        + f"\n]\n```\n\n{d.prose.text(300)}"
    )


def floats(d: Draw) -> str:
    values = [f"{d.rng.gauss(0, 0.03):+.6f}" for _ in range(d.many(50, 700))]
    return "[" + ", ".join(values) + "]"


def unicode_table(d: Draw) -> str:
    start = d.rng.choice([0x41, 0xC0, 0x391, 0x410, 0x2190, 0x2500, 0x3041, 0x1F600])
    points = [c for c in range(start, start + d.many(12, 70)) if unicodedata.name(chr(c), "")]
    return "\n".join(f"U+{c:04X}  {chr(c)}  {unicodedata.name(chr(c))}" for c in points)


def ascii_table(d: Draw) -> str:
    start = d.rng.randint(33, 60)
    return "Dec  Hex  Char\n" + "\n".join(
        f"{c:3d}  0x{c:02X}  {chr(c)}" for c in range(start, start + d.rng.randint(20, 60))
    )


def truth_table(d: Draw) -> str:
    n = d.rng.randint(3, 5)
    head = "| " + " | ".join("ABCDE"[:n]) + " | F |\n" + "|---" * (n + 1) + "|\n"
    pair = d.rng.choice(["01", "FT"])
    return head + "\n".join(
        "| " + " | ".join(pair[i >> (n - 1 - j) & 1] for j in range(n)) + f" | {d.rng.choice(pair)} |"
        for i in range(2**n)
    )


def state_table(d: Draw) -> str:
    states = [f"S{i}" for i in range(d.rng.randint(4, 8))]
    return "| State | Input | Next | Output |\n|---|---|---|---|\n" + "\n".join(
        f"| {s} | {i} | {d.rng.choice(states)} | {d.rng.randint(0, 1)} |" for s in states for i in ("0", "1", "reset")
    )


def git_log(d: Draw) -> str:
    form = "commit {:040x}\nAuthor: {} <{}@example.org>\nDate:   {} 10:{:02d}:00 +0100\n\n    {}\n"
    return "\n".join(
        form.format(
            d.rng.getrandbits(160),
            name := d.prose.word("name"),
            name.lower(),
            d.day(),
            d.rng.randint(0, 59),
            d.prose.phrase(),
        )
        for _ in range(d.many(4, 40))
    )


def diff(d: Draw) -> str:
    w, parts = Prose(d.rng), []
    for _ in range(d.many(3, 15)):
        old, new, name = w.word("noun"), w.word("noun"), w.word("verb")
        parts.append(
            f"diff --git a/{name}.py b/{name}.py\n--- a/{name}.py\n+++ b/{name}.py\n"
            f"@@ -{d.rng.randint(1, 99)},3 +{d.rng.randint(1, 99)},3 @@\n     "
            f"{name}()\n-    return {old}.{name}({new}, {d.number()})\n+    return "
            f"{new}.{name}({old}, {d.number()})"
        )
    return "\n".join(parts)


def environment(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n".join(
        (
            f"{w.word('noun').upper()}_{w.word('noun').upper()}_URL=https://{w.word('noun')}.example.org"
            f":{d.rng.randint(1000, 9999)}/api"
        )
        for _ in range(d.many(8, 60))
    )


def package_list(d: Draw) -> str:
    w = Prose(d.rng)
    return "\n".join(
        f"{w.word('noun')}-{w.word('noun')}=={d.rng.randint(0, 9)}.{d.rng.randint(0, 30)}.{d.rng.randint(0, 9)}"
        for _ in range(d.many(15, 120))
    )


def gcode(d: Draw) -> str:
    angle, lines = 0.0, ["G21", "G90", "G28"]
    for _ in range(d.many(15, 200)):
        angle += d.rng.uniform(0.05, 0.2)
        lines.append(f"G1 X{50 * math.cos(angle):.3f} Y{50 * math.sin(angle):.3f} E{angle:.5f} F1500")
    return "\n".join(lines)


def subtitles(d: Draw) -> str:
    second, parts = 0, []
    for i in range(1, d.many(8, 60)):
        end = second + d.rng.randint(1, 5)
        parts.append(
            f"{i}\n00:{second // 60:02d}:{second % 60:02d},000 "
            f"--> 00:{end // 60:02d}:{end % 60:02d},500\n{d.prose.sentence()}\n"
        )
        second = end + d.rng.randint(0, 3)
    return "\n".join(parts)


DATA: tuple[Maker, ...] = (
    markdown_table,
    padded_table,
    feature_matrix,
    html_table,
    html_page,
    html_form,
    json_records,
    json_flat,
    json_schema,
    chat_json,
    nested_config,
    yaml_services,
    ini_file,
    csv_rows,
    csv_sensor,
    timetable,
    xml_records,
    svg,
    sql_inserts,
    sql_schema,
    access_log,
    service_log,
    training_log,
    test_output,
    ping_output,
    traceback,
    java_trace,
    recursion_trace,
    base64_blob,
    hex_dump,
    byte_array,
    fasta,
    microsatellite,
    matrix_latex,
    zero_matrix,
    floats,
    unicode_table,
    ascii_table,
    truth_table,
    state_table,
    git_log,
    diff,
    environment,
    package_list,
    gcode,
    subtitles,
)
