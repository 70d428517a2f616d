import importlib.util
import inspect
import re
from pathlib import Path

import click
import pytest

import encdb
from encdb.errors import CODES
from indexes.types import Kind
from proxy.cli import meta
from proxy.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generator()
COMMANDS = dict(generate.commands(cli))


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def guides():
    """What is written by hand about how to use the command line."""
    pages = [ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize("page", generate.PAGES)
def test_generated_pages_are_current(page):
    assert read(page) == generate.PAGES[page](), "run python docs/generate.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained(name):
    command = COMMANDS[name]
    assert command.help, f"{name} has no help text"
    assert f"\n## {name}\n" in read("cli.md")
    if not isinstance(command, click.Group):
        assert name in guides(), f"no guide shows {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    section = read("cli.md").split(f"\n## {name}\n")[1].split("\n## ")[0]
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts} has no help text"
            for spelling in (*option.opts, *option.secondary_opts):
                assert spelling in section


def test_guides_use_only_commands_and_options_that_exist():
    options = {
        spelling
        for command in (cli, *COMMANDS.values())
        for option in command.params
        for spelling in (*option.opts, *option.secondary_opts)
    } | {"--help", "--version", "--"}
    for line in guides().splitlines():
        words = line.removeprefix("$ ").split()
        if not line.startswith(("$ ", "encdb ")) or "encdb" not in words[:2]:
            continue
        start = words.index("encdb")
        used = []
        for word in words[start + 1 :]:
            if word in ("|", ">", "&&", ";", "<"):
                break
            used.append(word)
        known = f"encdb {used[0]}" in COMMANDS or used[0] in ("--version", "--help")
        assert known, f"no such command: {line}"
        for word in used:
            if word.startswith("--"):
                assert word.split("=")[0] in options, f"no such option {word}: {line}"


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_has_an_anchor(code):
    section = read("errors.md").split(f"\n## {code}\n")
    assert len(section) == 2
    error = encdb.EncdbError("x", code=code)
    assert error.anchor == f"docs/errors.md#{code.lower()}"


def test_every_raised_code_is_in_the_catalogue():
    raised = set()
    for room in ("encdb", "proxy", "indexes"):
        for path in (ROOT / room).rglob("*.py"):
            raised |= set(re.findall(r'"(E_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    assert raised <= set(CODES)


@pytest.mark.parametrize("name", encdb.__all__)
def test_every_public_name_is_in_the_python_reference(name):
    assert re.search(rf"\b{re.escape(name)}\b", read("python.md"))


@pytest.mark.parametrize("name", ["Connection", "Cursor"])
def test_every_public_member_is_in_the_python_reference(name):
    for member in vars(getattr(encdb, name)):
        if (
            not member.startswith("_")
            and member not in encdb.__all__
            and member != "begin_if_needed"
        ):
            assert f"`{member}" in read("python.md"), f"{name}.{member}"


@pytest.mark.parametrize("kind", Kind)
def test_every_type_is_in_the_sql_reference(kind):
    assert re.search(rf"^\| .*\b{kind.value}\b", read("sql.md"), re.MULTILINE)


def test_every_shell_command_is_in_the_reference():
    page = read("cli.md")
    for command in meta.COMMANDS:
        for spelling in command.names:
            assert f"`{spelling}`" in page


def headings(path):
    """Anchors of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.replace("`", "")).strip().lower()
        found.add(plain.replace(" ", "-"))
    return found


def pages():
    return [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in headings(path), f"{page.name}: {target}"


@pytest.mark.parametrize("name", ["connect", "init"])
def test_signatures_are_in_the_python_reference(name):
    signature = inspect.signature(getattr(encdb, name))
    parts = [
        one.name if one.default is inspect.Parameter.empty else f"{one.name}={one.default!r}"
        for one in signature.parameters.values()
    ]
    assert f"`encdb.{name}({', '.join([parts[0], '*', *parts[1:]])})`" in read("python.md")


def test_the_map_names_files_that_exist():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:proxy|encdb|indexes)/[\w/.]*)`", page)
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_query_example_of_the_python_reference_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    encdb.init("vault.db", passphrase="correct horse")
    with encdb.connect("vault.db", passphrase="correct horse") as connection:
        connection.execute("CREATE TABLE residents (id BIGINT PRIMARY KEY, age INT, zip TEXT)")
    blocks = re.findall(r"```python\n(.*?)```", read("python.md"), re.DOTALL)
    names = {}
    with encdb.connect("vault.db", passphrase="correct horse") as connection:
        exec(blocks[0], names)
        exec(blocks[1], names | {"connection": connection})
    with encdb.connect("vault.db", passphrase="correct horse") as connection:
        assert connection.execute("SELECT * FROM residents").fetchall() == [(1, 39, "06018")]
