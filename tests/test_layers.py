"""Each part of the project imports only what lies below it, so it can be read and tested alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAYERS = (
    {"cli"},
    {"server", "clients", "view"},
    {"settings"},
    {"recursion", "trajectory"},
    {"space"},
    {"lm", "loaders"},
    {"sandbox", "helpers"},
    {"store"},
    {"worker"},
    {"sandbox_wasm", "errors", "quantities", "__init__"},
)
"""From the top. What stands side by side does not import each other."""

RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}


def imports(path: Path) -> Iterator[list[str]]:
    """What a file imports, as parts of full names; of relative imports too."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            module = node.module.split(".") if node.module else []
            yield from ([*start, *module, alias.name] for alias in node.names)


def part_of(names: list[str]) -> str | None:
    """The part of the project that a name belongs to; `None` of other packages."""
    if names[0] == "rlm_mcp":
        part = ROOT / "rlm_mcp" / "".join(names[1:2]).removesuffix(".py")
        is_there = part.is_dir() or part.with_suffix(".py").is_file()
        return part.name if is_there and len(names) > 1 else "__init__"
    return "sandbox_wasm" if names[0] == "sandbox_wasm" else None


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def test_every_part_has_its_layer() -> None:
    parts = {part_of(list(path.relative_to(ROOT).parts)) for path in files("rlm_mcp")}
    assert parts | {"sandbox_wasm"} == RANK.keys()


def test_parts_import_only_what_lies_below_them() -> None:
    upward = []
    for path in [*files("rlm_mcp"), *(ROOT / "sandbox_wasm").glob("*.py")]:
        here = part_of(list(path.relative_to(ROOT).parts))
        assert here is not None
        for names in imports(path):
            there = part_of(names)
            if there is not None and there != here and RANK[there] <= RANK[here]:
                upward.append(f"{path.relative_to(ROOT)} imports {'.'.join(names)}")
    assert not upward


def test_the_guest_knows_nothing_of_the_host() -> None:
    # In the sandbox it is a package of its own, `rlm_guest`.
    for path in files("sandbox_wasm/guest"):
        for names in imports(path):
            inside = names[:2] == ["sandbox_wasm", "guest"]
            assert inside or part_of(names) is None, f"{path.name} imports {'.'.join(names)}"


def test_workers_and_helpers_start_without_the_servers_libraries() -> None:
    # Each is a process that should be ready at once, and that hostile data may take over.
    for path in [*files("rlm_mcp/worker"), *files("rlm_mcp/helpers")]:
        for names in imports(path):
            assert names[0] not in ("mcp", "mcp_types", "anyio", "pydantic", "litellm"), path
