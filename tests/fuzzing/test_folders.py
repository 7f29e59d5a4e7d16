"""Folders of models: damaged ones are refused, those of version 1 are read, nothing is unpickled."""

import contextlib
import json
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
from damaged_folders import damage
from saved_models import KINDS

FOLDERS = Path(__file__).parent / "folders_of_version_1"
TRIES = 25


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_of_version_1_answers_as_it_did(name):
    assert json.loads((FOLDERS / name / "manifest.json").read_text())["version"] == 1
    model = KINDS[name].load(FOLDERS / name)
    expected = json.loads((FOLDERS / "answers.json").read_text())[name]
    np.testing.assert_allclose(KINDS[name].answer(model), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_of_a_later_version_says_why_it_is_not_read(name, tmp_path):
    shutil.copytree(FOLDERS / name, tmp_path / "model")
    manifest = json.loads((FOLDERS / name / "manifest.json").read_text())
    (tmp_path / "model" / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(ValueError, match="format 1 or older; got format 2"):
        KINDS[name].load(tmp_path / "model")


def refusal(load, folder):
    """Return the message of a ValueError, or None."""
    try:
        load(folder)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_folder_is_read_or_refused_with_its_name(name, tmp_path):
    mark = tmp_path / "unpickled"
    for number in range(TRIES):
        folder = tmp_path / f"model{number}"
        shutil.copytree(FOLDERS / name, folder)
        how = damage(folder, Random(f"{name} {number}"), mark)
        before = sorted((file.name, file.stat().st_size) for file in folder.rglob("*"))
        with contextlib.suppress(FileNotFoundError):
            message = refusal(KINDS[name].load, folder)
            assert message is None or "`path`" in message, how
        assert sorted((file.name, file.stat().st_size) for file in folder.rglob("*")) == before, how
    assert not mark.exists()
