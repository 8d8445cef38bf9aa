"""What the documents say of the tests is true of them."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# `*` stands for any end of a name.
NAMED = re.compile(r"`((?:test|testFuzz|check|invariant)_[\w*]+)`")
SOLIDITY = re.compile(r"\bfunction ((?:test|testFuzz|check|invariant)_\w+)\(")
PYTHON = re.compile(r"^\s*def (test_\w+)\(", re.MULTILINE)


def existing() -> set[str]:
    """The names of all tests, proofs and invariants."""
    solidity = (path.read_text() for path in (ROOT / "tests").rglob("*.sol"))
    python = (path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    return {
        *(name for text in solidity for name in SOLIDITY.findall(text)),
        *(name for text in python for name in PYTHON.findall(text)),
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document):
    names, tests = NAMED.findall(document.read_text()), existing()
    assert [name for name in names if not any(fnmatchcase(test, name) for test in tests)] == []


def test_every_line_of_the_threat_model_names_a_test():
    section = (ROOT / "docs" / "threat-model.md").read_text().split("## Which test shows it")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []
