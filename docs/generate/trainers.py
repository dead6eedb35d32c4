"""The configuration for each trainer, from the code that writes it beside an export."""

from __future__ import annotations


def snippet_of(name: str, folder: str = "") -> str:
    """The files of the format `name`, each in a fence under its name. `trl-pretokenized` is a form of trl."""
    from loopguard.handover.formats import FORMATS
    from loopguard.handover.snippets import Facts, snippet

    data = FORMATS[name.removesuffix("-pretokenized")].data
    facts = Facts(folder=folder or f"mine-{name}", data=data, max_length=1024, chosen=900, rejected=1200)
    parts = [
        f'```{_LANGUAGES[file.rpartition(".")[2]]} title="{file}"\n{text}```'
        for file, text in snippet(name, facts).items()
    ]
    return "\n\n".join(parts)


_LANGUAGES = {"py": "python", "sh": "bash", "yaml": "yaml", "json": "json"}


def columns_of(name: str) -> str:
    """Who reads the format, and its columns."""
    from loopguard.handover.formats import FORMATS

    form = FORMATS[name]
    columns = ", ".join(f"`{column}`" for column in form.columns)
    return f"Read by: {form.consumer}. Columns: {columns}. Data: `{form.data}`."
