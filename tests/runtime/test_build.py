"""The build hash: the same for the same source, another one for any change of it."""

from __future__ import annotations

from pathlib import Path

from tradebot._version import __version__
from tradebot.runtime.build import PACKAGES, build_hash


def installation(root: Path) -> Path:
    for package in PACKAGES:
        (root / package).mkdir(parents=True)
        (root / package / "core.py").write_text("x = 1\n")
    return root


def test_two_copies_of_one_source_have_one_build(tmp_path: Path) -> None:
    assert build_hash(installation(tmp_path / "a")) == build_hash(installation(tmp_path / "b"))
    assert build_hash(tmp_path / "a").startswith(f"{__version__}+")
    assert build_hash() == build_hash()


def test_any_change_of_a_daemon_or_the_library_is_another_build(tmp_path: Path) -> None:
    root = installation(tmp_path)
    seen = {build_hash(root)}
    for package in PACKAGES:
        (root / package / "core.py").write_text("x = 2\n")
        seen.add(build_hash(root))
    (root / "riskd" / "more.py").write_text("")
    seen.add(build_hash(root))
    (root / "riskd" / "more.py").rename(root / "riskd" / "other.py")
    seen.add(build_hash(root))

    assert len(seen) == len(PACKAGES) + 3


def test_generated_stubs_and_other_files_are_no_part_of_it(tmp_path: Path) -> None:
    root = installation(tmp_path)
    before = build_hash(root)
    (root / "tradebot" / "rpc").mkdir()
    (root / "tradebot" / "rpc" / "stub.py").write_text("y = 1\n")
    (root / "riskd" / "notes.txt").write_text("z")
    (root / "cli").mkdir()
    (root / "cli" / "app.py").write_text("z = 1\n")

    assert build_hash(root) == before
