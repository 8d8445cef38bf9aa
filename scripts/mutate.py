"""Mutation test of the contracts: which guards could be deleted without a test noticing?

    .venv/bin/python scripts/mutate.py [--only REGEX] [--list] [--jobs N] [--limit SECONDS]

Each mutant removes one guard, one operand of its condition, one modifier or one statement, moves one bound by one, or
turns one rounding around, in a copy of the project, and runs the forge tests there. Prints a line per mutant and a
table per file; exits 1 if a mutant survived that is not listed as equivalent, or was not tried. The invariant campaigns
are left out: a guard should have a test that names it.

What was killed is remembered in `.build/mutants.json` with the test that did it, and not tried again before that
mutant's contracts or that test change.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "IndexVault.sol",
    "VaultBase.sol",
    "VaultAdmin.sol",
    "libraries/*.sol",
    "PriceOracle.sol",
    "SwapExecutor.sol",
    "periphery/AuctionFiller.sol",
)
"""In the order in which they are tried."""

BUILT = ("contracts/*.sol", "contracts/periphery/AuctionFiller.sol", "tests/contracts/libraries.t.sol")
"""What a mutation can end up in: the contracts, which the tests deploy by name, and the tests of the libraries."""

SOLC = os.environ.get("FOUNDRY_SOLC", str(ROOT / ".ballast/solc/solc-v0.8.30"))
"""As in foundry.toml."""

MEMORY = ROOT / ".build" / "mutants.json"
FORGE = ("test", "--fail-fast")
# Linked at run time, the tests need not be compiled anew: the bytecode of the mutated contract is put in the place of
# the sound one's. But there forge can let a constructor's revert pass after one that was expected, so whatever survives
# is tried again, compiled and linked as usual and with every fuzz run.
QUICK = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_DYNAMIC_TEST_LINKING": "true", "FOUNDRY_FUZZ_RUNS": "32"}
USUAL = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_OUT": ".build/usual", "FOUNDRY_CACHE_PATH": ".build/usual-cache"}

REMEMBERING = """#!/bin/sh
[ "$1" = --version ] && exec "{solc}" --version
asked=$(mktemp)
cat > "$asked"
known="{answers}/$(sha256sum < "$asked" | cut -c 1-64)"
[ -f "$known" ] || {{ "{solc}" "$@" < "$asked" > "$asked.answer" && mv "$asked.answer" "$known"; }}
rm "$asked"
cat "$known"
"""
"""A compiler that knows its answers: before it runs a test, forge has all sources parsed, the same for each mutant."""

EQUIVALENT = {
    "Tokens.sol bound moved: < ->  <= ": "one unit of gas, of 10,000 that are to spare",
}
"""Mutants that change nothing anyone could see, as they are printed but for the line's number, and why."""

MODIFIERS = re.compile(r" (?:nonReentrant|nonReadReentrant|onlyOwner)\b(?=[^;()]*\{|\s)")
STATEMENT = re.compile(r"^ +(?:emit )?\w[\w.\[\]]*(?:\(.*\)| [-+|]?= .*);$", re.MULTILINE)
ASSEMBLY = re.compile(r'assembly \("memory-safe"\) \{')
# One line of assembly that writes, or a condition with all that depends on it.
WRITES = re.compile(r"^ +(?:\w+ := .*|[mst]store\(.*\)|mcopy\(.*\)|returndatacopy\(.*\))(?= *(?://.*)?$)", re.MULTILINE)
CONDITION = re.compile(r"\bif [a-z]\w*\(")
ROUNDINGS = (
    (re.compile(r"\b(mulDiv|fullMulDiv)Up\b"), r"\1"),
    (re.compile(r"\b(mulDiv|fullMulDiv)\b"), r"\1Up"),
    (re.compile(r"add\(div\((\w+), (\w+)\), iszero\(iszero\(mod\(\1, \2\)\)\)\)"), r"div(\1, \2)"),
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

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


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


def assembly(path: Path, source: str) -> Iterator[Mutant]:
    """In blocks of assembly: every write gone, every `if` with what it does."""
    for block in ASSEMBLY.finditer(source):
        start = block.end()
        stop = closing(source, start - 1)
        for match in WRITES.finditer(source, start, stop):
            yield Mutant(path, "write gone", *match.span(), "")
        for match in CONDITION.finditer(source, start, stop):
            opening = source.index("{", closing(source, match.end() - 1))
            yield Mutant(path, "branch gone", match.start(), closing(source, opening) + 1, "")


def mutants(path: Path, source: str) -> Iterator[Mutant]:
    yield from guards(path, source)
    yield from assembly(path, source)
    for match in MODIFIERS.finditer(source):
        yield Mutant(path, "modifier gone", *match.span(), "")
    for match in STATEMENT.finditer(source):
        yield Mutant(path, "statement gone", *match.span(), "")
    for pattern, other in ROUNDINGS:
        for match in pattern.finditer(source):
            # Comments talk of roundings too.
            if "//" not in source[source.rfind("\n", 0, match.start()) : match.start()]:
                yield Mutant(path, "rounding turned", *match.span(), match.expand(other))


IMPORT = re.compile(r'^import [^"]*"([^"]+)";', re.MULTILINE)


@cache
def remappings() -> dict[str, str]:
    """What imports may begin with, and where that lies."""
    listed = re.search(r"remappings = \[(.*?)\]", (ROOT / "foundry.toml").read_text(), re.DOTALL)
    return dict(re.findall(r'"([^"=]+)=([^"]+)"', listed[1] if listed else ""))


@cache
def imports(path: str) -> tuple[str, ...]:
    """The files that the one at `path`, relative to the project, imports directly."""
    found = []
    for name in IMPORT.findall((ROOT / path).read_text()):
        prefix = next((prefix for prefix in remappings() if name.startswith(prefix)), None)
        if prefix is None:
            found.append(os.path.normpath(Path(path).parent / name))
        else:
            found.append(remappings()[prefix] + name.removeprefix(prefix))
    return tuple(found)


@cache
def closure(path: str) -> frozenset[str]:
    """The file at `path` and all that it needs."""
    seen, todo = {path}, [path]
    while todo:
        fresh = set(imports(todo.pop())) - seen
        seen |= fresh
        todo += fresh
    return frozenset(seen)


def built_from(path: str) -> list[str]:
    """The files of `BUILT` that a change of `path` reaches."""
    files = [str(found.relative_to(ROOT)) for pattern in BUILT for found in sorted(ROOT.glob(pattern))]
    return [file for file in files if path in closure(file)]


def compiled(path: str, text: str) -> dict[str, str] | None:
    """Creation code by `file/contract` of what `path` is part of if it reads `text`; None if it does not compile."""
    targets = built_from(path)
    files = frozenset().union(*map(closure, targets))
    request = {
        "language": "Solidity",
        "sources": {file: {"content": text if file == path else (ROOT / file).read_text()} for file in files},
        "settings": {
            "remappings": [f"{prefix}={place}" for prefix, place in remappings().items()],
            "evmVersion": "cancun",
            "outputSelection": {target: {"*": ["evm.bytecode.object"]} for target in targets},
        },
    }
    run = subprocess.run(  # noqa: S603  # the project's compiler
        (SOLC, "--standard-json"),
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(run.stdout)
    if any(error["severity"] == "error" for error in answer.get("errors", ())):
        return None
    return {
        f"{Path(file).name}/{name}": contract["evm"]["bytecode"]["object"]
        for file, contracts in answer["contracts"].items()
        for name, contract in contracts.items()
    }


@dataclass(frozen=True)
class Project:
    """A copy of the contracts and their tests in which one mutant at a time stands."""

    folder: Path
    solc: Path

    @classmethod
    def create(cls, folder: Path) -> "Project":
        ignored = shutil.ignore_patterns(".cache", "devnet", "invariants", "symbolic")
        for name in ("contracts", "tests/contracts"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        # Of what only the devnet needs, the tests use this.
        (folder / "contracts/devnet").mkdir()
        shutil.copy(ROOT / "contracts/devnet/DevShare.sol", folder / "contracts/devnet")
        shutil.copy(ROOT / "foundry.toml", folder)
        for name in ("node_modules", ".ballast"):
            (folder / name).symlink_to((ROOT / name).resolve())
        answers = folder.parent / "answers"
        answers.mkdir()
        solc = folder.parent / "solc"
        solc.write_text(REMEMBERING.format(solc=SOLC, answers=answers))
        solc.chmod(0o755)
        return cls(folder, solc)

    def copy(self, folder: Path) -> "Project":
        """Another one, with all that is compiled here."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, self.solc)

    def forge(self, settings: dict[str, str], tests: str = "*") -> tuple[bool, str]:
        """Whether the tests in files that match `tests` pass, and what forge printed."""
        binary = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
        run = subprocess.run(  # noqa: S603  # forge, on a copy of this project
            (binary, *FORGE, "--match-path", f"tests/contracts/{tests}"),
            cwd=self.folder,
            env=os.environ | settings | {"FOUNDRY_SOLC": str(self.solc)},
            capture_output=True,
            text=True,
            check=False,
        )
        return " tests passed, 0 failed" in run.stdout, run.stdout + run.stderr

    def trial(self, mutant: Mutant, source: str) -> tuple[str, str]:
        """What becomes of `mutant`: the test that fails and its file, or why there is none."""
        text = mutant.apply(source)
        path = str(mutant.path.relative_to(ROOT))
        code = compiled(path, text)
        if code is None:
            return "does not compile", ""
        artifacts = {self.folder / ".build/forge" / f"{name}.json": new for name, new in code.items() if new}
        sound = {artifact: artifact.read_text() for artifact in artifacts}
        for artifact, new in artifacts.items():
            content = json.loads(sound[artifact])
            content["bytecode"]["object"] = f"0x{new}"
            artifact.write_text(json.dumps(content))
        # The tests that are named after it notice most of what can be noticed, in a fifth of the time.
        named = "libraries*" if mutant.path.parent.name == "libraries" else f"{mutant.path.stem}*"
        passed, output = True, ""
        if any((self.folder / "tests/contracts").glob(named)):
            passed, output = self.forge(QUICK, named)
        if passed:
            passed, output = self.forge(QUICK)
        for artifact, old in sound.items():
            artifact.write_text(old)
        if passed:
            (self.folder / path).write_text(text)
            passed, output = self.forge(USUAL)
            (self.folder / path).write_text(source)
        return ("SURVIVED", "") if passed else killer(output)


def killer(output: str) -> tuple[str, str]:
    """The first test that failed, and its file."""
    found = re.search(r"^Encountered \d+ failing tests? in ([^:]+):\w+\n\[FAIL.*\] (\w+)\(", output, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"forge failed, but no test did:\n{output[-2000:]}")
    return f"killed by {found[2]}", found[1]


def digest(*paths: Path) -> str:
    """Of the contents of files."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


class Memory:
    """What was killed before, by which test. An entry holds while neither the contracts nor the test have changed."""

    def __init__(self) -> None:
        self.entries: dict[str, list[str]] = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
        self.tools = digest(*sorted((ROOT / "tests/contracts/utils").glob("*.sol")))

    def key(self, mutant: Mutant, source: str) -> str:
        files = sorted(frozenset().union(*map(closure, built_from(str(mutant.path.relative_to(ROOT))))))
        own = [ROOT / file for file in files if file.startswith("contracts/")]
        return digest(*own) + hashlib.sha256(mutant.apply(source).encode()).hexdigest()[:16]

    def recall(self, key: str) -> str | None:
        result, file, of = self.entries.get(key, ("", "", ""))
        if result and (not file or of == self.tools + digest(ROOT / file)):
            return result
        return None

    def keep(self, key: str, result: str, file: str) -> None:
        if result == "SURVIVED":
            return
        self.entries[key] = [result, file, self.tools + digest(ROOT / file) if file else ""]
        MEMORY.parent.mkdir(exist_ok=True)
        MEMORY.write_text(json.dumps(self.entries))


def table(results: list[tuple[Path, str]]) -> str:
    """Per file, how many mutants there are and what became of them."""
    kinds = ("killed", "does not compile", "equivalent", "SURVIVED", "not tried")
    counts = Counter((path.name, next(kind for kind in kinds if result.startswith(kind))) for path, result in results)
    lines = [f"{'':<20}{'mutants':>9}" + "".join(f"{kind:>18}" for kind in kinds)]
    for name in dict.fromkeys(path.name for path, _ in results):
        row = [counts[name, kind] for kind in kinds]
        lines.append(f"{name:<20}{sum(row):>9}" + "".join(f"{count:>18}" for count in row))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation test of the contracts.")
    parser.add_argument("--only", default="", metavar="REGEX", help="only mutants whose description matches")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many to try at once")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no other is tried")
    args = parser.parse_args()

    paths = [path for pattern in SOURCES for path in sorted((ROOT / "contracts").glob(pattern))]
    sources = {path: path.read_text() for path in paths}
    todo = [(m, m.describe(sources[m.path])) for path in paths for m in mutants(path, sources[path])]
    todo = [(m, text) for m, text in todo if re.search(args.only, text)]
    if args.list:
        print("\n".join(text for _, text in todo))
        return

    memory, deadline = Memory(), time.monotonic() + args.limit
    projects: SimpleQueue[Project] = SimpleQueue()

    def outcome(mutant: Mutant, text: str) -> str:
        source = sources[mutant.path]
        key = memory.key(mutant, source)
        known = memory.recall(key)
        if known is None and re.sub(r":\d+", "", text, count=1) in EQUIVALENT:
            known = "equivalent"
        if known is None and time.monotonic() > deadline:
            known = "not tried"
        if known is not None:
            return known
        project = projects.get()
        try:
            result, file = project.trial(mutant, source)
        finally:
            projects.put(project)
        memory.keep(key, result, file)
        print(f"{text}: {result}", flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        sound = Project.create(Path(folder) / "0")
        for settings in (QUICK, USUAL):
            passed, output = sound.forge(settings)
            if not passed:
                sys.exit(f"the tests fail without a mutation:\n{output[-2000:]}")
        projects.put(sound)
        for number in range(1, args.jobs):
            projects.put(sound.copy(Path(folder) / str(number)))
        with ThreadPoolExecutor(args.jobs) as pool:
            results = list(pool.map(lambda pair: outcome(*pair), todo))

    print(table([(mutant.path, result) for (mutant, _), result in zip(todo, results, strict=True)]))
    open_ = [text for (_, text), result in zip(todo, results, strict=True) if result in ("SURVIVED", "not tried")]
    print(f"{len(open_)} not killed", *open_, sep="\n  ")
    sys.exit(1 if open_ else 0)


if __name__ == "__main__":
    main()
