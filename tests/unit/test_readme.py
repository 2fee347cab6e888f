"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleet import role_readmes, settings_table

PROJECT = Path(__file__).resolve().parents[2]


def test_the_table_of_settings_is_the_codes() -> None:
    text = (PROJECT / "README.md").read_text()
    assert settings_table.replace(text, settings_table.section(PROJECT)) == text


def test_every_file_that_documents_link_to_is_there() -> None:
    for document in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("role", sorted((PROJECT / "roles").iterdir()), ids=lambda role: role.name)
def test_each_roles_readme_is_made_from_its_specs(role: Path) -> None:
    assert (role / "README.md").read_text() == role_readmes.readme(role)
