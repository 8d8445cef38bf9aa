"""Mutation test of the contracts: which guards could be deleted without a test noticing?

    .venv/bin/python scripts/mutate.py [--only TEXT] [--list]

Each mutant removes one guard, one operand of its condition, one modifier or one statement, moves one bound by one, or
turns one rounding around, in a copy of the project, and runs the forge tests there. Prints a line per mutant, then the
survivors; exits 1 if there are any. The invariant campaign is left out: a guard should have a test that names it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("*.sol", "libraries/*.sol")
FORGE = ("node_modules/.bin/forge", "test", "--fail-fast", "--no-match-path", "tests/contracts/invariants/*")
# Linked at run time, only the mutated contract is compiled anew. But there forge can let a constructor's revert pass
# after one that was expected, so whatever survives is tried again linked as usual, with every fuzz run.
QUICK = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_DYNAMIC_TEST_LINKING": "true", "FOUNDRY_FUZZ_RUNS": "32"}
USUAL = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_OUT": ".build/usual", "FOUNDRY_CACHE_PATH": ".build/usual-cache"}

MODIFIERS = re.compile(r" (?:nonReentrant|nonReadReentrant|onlyOwner)\b(?=[^;()]*\{|\s)")
STATEMENT = re.compile(r"^ +(?:emit )?\w[\w.\[\]]*(?:\(.*\)| [-+|]?= .*);$", re.MULTILINE)
ROUNDINGS = (
    (re.compile(r"\b(mulDiv|fullMulDiv)Up\b"), r"\1"),
    (re.compile(r"\b(mulDiv|fullMulDiv)\b"), r"\1Up"),
    (re.compile(r"capacity \* elapsed / window"), "(capacity * elapsed + window - 1) / window"),
)
BOUNDS = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > "}


@dataclass(frozen=True)
class Mutant:
    """One edit: `source[start:end]` becomes `text`."""

    path: Path
    kind: str
    start: int
    end: int
    text: str

    def describe(self, source: str) -> str:
        line = source.count("\n", 0, self.start) + 1
        old = " ".join(source[self.start : self.end].split())
        return f"{self.path.name}:{line} {self.kind}: {old[:90]}" + (f" -> {self.text}" if self.text else "")


def closing(source: str, opening: int) -> int:
    """Index of the bracket that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(source)):
        depth += (source[at] in "({") - (source[at] in ")}")
        if depth == 0:
            return at
    raise ValueError(f"no bracket closes the one at {opening}")


def operands(source: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of the operands of the outermost `||` in `source[start:end]`."""
    spans, depth = [], 0
    for at in range(start, end):
        depth += (source[at] == "(") - (source[at] == ")")
        if depth == 0 and source.startswith("||", at):
            spans.append((start, at))
            start = at + 2
    return [*spans, (start, end)]


def guards(path: Path, source: str) -> Iterator[Mutant]:
    """Every `if (...) revert ...;`: gone, without one operand, one off."""
    for match in re.finditer(r"\bif \(", source):
        start, end = match.end(), closing(source, match.end() - 1)
        body = re.match(r"\)\s*(\{\s*)?revert\b", source[end:])
        if body is None:
            continue
        stop = closing(source, source.index("{", end)) if body[1] else source.index(";", end)
        yield Mutant(path, "guard gone", match.start(), stop + 1, "{}")
        spans = operands(source, start, end)
        if len(spans) > 1:
            yield from (Mutant(path, "operand gone", a, b, " false ") for a, b in spans)
        for bound in re.finditer(r" [<>]=? ", source[start:end]):
            a, b = start + bound.start(), start + bound.end()
            yield Mutant(path, "bound moved", a, b, BOUNDS[bound[0]])


def mutants(path: Path, source: str) -> Iterator[Mutant]:
    yield from guards(path, source)
    for match in MODIFIERS.finditer(source):
        yield Mutant(path, "modifier gone", *match.span(), "")
    for match in STATEMENT.finditer(source):
        yield Mutant(path, "statement gone", *match.span(), "")
    for pattern, other in ROUNDINGS:
        for match in pattern.finditer(source):
            yield Mutant(path, "rounding turned", *match.span(), match.expand(other))


def copy_project(to: Path) -> None:
    """The contracts and their tests, with the toolchain linked."""
    shutil.copytree(ROOT / "contracts", to / "contracts", ignore=shutil.ignore_patterns(".cache"))
    shutil.copytree(ROOT / "tests" / "contracts", to / "tests" / "contracts")
    shutil.copy(ROOT / "foundry.toml", to)
    for name in ("node_modules", ".ballast"):
        (to / name).symlink_to(ROOT / name)


def forge(project: Path, settings: dict[str, str]) -> tuple[bool, str]:
    """Whether the tests pass, and what forge printed."""
    run = subprocess.run(  # noqa: S603  # forge, on a copy of this project
        FORGE, cwd=project, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    # Not by the exit code: the npm wrapper's is 0 whatever happened.
    return " tests passed, 0 failed" in run.stdout, run.stdout + run.stderr


def trial(project: Path) -> str:
    """What becomes of the mutant that stands in `project`."""
    for settings in (QUICK, USUAL):
        passed, output = forge(project, settings)
        if "Compiler run failed" in output:
            return "does not compile"
        if not passed:
            failure = re.search(r"^\[FAIL.*\] (\w+)\(", output, re.MULTILINE)
            if failure is None:
                raise RuntimeError(f"forge failed, but no test did:\n{output[-2000:]}")
            return f"killed by {failure[1]}"
    return "SURVIVED"


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation test of the contracts.")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose description contains TEXT")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    args = parser.parse_args()

    paths = [path for pattern in SOURCES for path in sorted((ROOT / "contracts").glob(pattern))]
    sources = {path: path.read_text() for path in paths}
    todo = [(m, m.describe(sources[m.path])) for path in paths for m in mutants(path, sources[path])]
    todo = [(m, text) for m, text in todo if args.only in text]
    if args.list:
        print("\n".join(text for _, text in todo))
        return

    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        copy_project(project)
        passed, output = forge(project, USUAL)
        if not passed:
            sys.exit(f"the tests fail without a mutation:\n{output[-2000:]}")
        for count, (mutant, text) in enumerate(todo, 1):
            source, place = sources[mutant.path], project / mutant.path.relative_to(ROOT)
            place.write_text(source[: mutant.start] + mutant.text + source[mutant.end :])
            result = trial(project)
            place.write_text(source)
            print(f"{count}/{len(todo)} {text}: {result}", flush=True)
            if result == "SURVIVED":
                survivors.append(text)
    print(f"{len(todo)} mutants, {len(survivors)} survivors", *survivors, sep="\n  ")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
