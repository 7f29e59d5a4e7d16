"""The comparison of new measurements with those that stand."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fallen_ratios.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="a source distribution has no benchmarks")


@pytest.fixture(scope="module")
def fallen_ratios() -> ModuleType:
    specification = importlib.util.spec_from_file_location("fallen_ratios", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.csv").write_text(text)


def test_a_ratio_is_that_of_medians(fallen_ratios: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "speed", "who,size,seconds\na,1,1\na,1,3\na,1,2\nb,1,8\na,2,5\nb,2,5\n")
    sides = {"ours": {"who": "a"}, "peer": {"who": "b"}, "common": {"size": "1"}}
    assert fallen_ratios.Ratio("", "speed", "seconds", **sides).of(tmp_path) == 4.0
    assert fallen_ratios.Ratio("", "speed", "seconds", **sides, rate=True).of(tmp_path) == 0.25
    assert math.isnan(fallen_ratios.Ratio("", "speed", "seconds", ours={"who": "c"}).of(tmp_path))
    assert math.isnan(fallen_ratios.Ratio("", "absent", "seconds").of(tmp_path))


def test_two_columns_of_one_row(fallen_ratios: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "speed", "fast,slow\n2,10\n")
    assert fallen_ratios.Ratio("", "speed", ("fast", "slow")).of(tmp_path) == 5.0


@pytest.mark.parametrize(("milliseconds", "fails"), [(110, False), (116, False), (119, True)])
def test_only_a_fall_of_more_than_15_percent_fails(
    fallen_ratios: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    milliseconds: int,
    fails: bool,
) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    write(before, "erase_loss", "grouped_ms,memberships_ms\n100,1000\n")
    write(now, "erase_loss", f"grouped_ms,memberships_ms\n{milliseconds},1000\n")
    monkeypatch.setattr(sys, "argv", ["fallen_ratios.py", str(now), "--before", str(before)])
    if fails:
        with pytest.raises(SystemExit, match="1"):
            fallen_ratios.main()
    else:
        fallen_ratios.main()
    assert f"1 ratios compared, {int(fails)} of them fell by more than 15%" in capsys.readouterr().out


def test_every_declared_ratio_has_rows(fallen_ratios: ModuleType) -> None:
    ratios = {ratio.name: ratio.of(SCRIPT.parent / "results") for ratio in fallen_ratios.declared()}
    assert {name for name, value in ratios.items() if not value > 0} == set()
