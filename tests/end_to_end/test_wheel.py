"""The wheel holds the package and nothing else, and is all that an empty environment needs to run the demo."""

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]

JOB = [
    ["prepare", "demo"],
    ["preinfer", "--dataset", "demo", "--plm", "minilm"],
    ["train", "--dataset", "demo", "--plm", "minilm", "--max-epochs", "1"],
    ["evaluate", "--report", "report.html"],
    ["recommend", "--output", "recommendations.parquet"],
    ["export"],
    ["inspect"],
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def outside(folder: Path, *command: str | Path) -> str:
    """What a command prints in a folder, with nothing of this environment on its path."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "PLMRS_ROOT", "PLMRS_RUNS"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no package index can be reached."""
    folder = tmp_path_factory.mktemp("online")
    asked = [sys.executable, *PIP, "download", "--no-deps", "--no-cache-dir", "--retries", "0", "setuptools>=77"]
    if subprocess.run(asked, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("needs a package index")


@pytest.fixture(scope="module")
def built(online: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources, as git knows them or would add them, and in `dist` what is built from them."""
    place = tmp_path_factory.mktemp("built")
    for name in outside(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        copy = place / "source" / name
        if (ROOT / name).is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    outside(place, sys.executable, "-m", "build", "--outdir", "dist", "source")
    return place


@pytest.fixture(scope="module")
def sources(built: Path) -> set[str]:
    # The build leaves its own notes beside the sources.
    paths = (path.relative_to(built / "source") for path in (built / "source").rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != "plmrs.egg-info"}


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("dist/*.whl")
    return wheel


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path, sources: set[str]) -> None:
    package = {name for name in sources if name.startswith("plmrs/")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(about).decode())
    assert {name for name in names if ".dist-info/" not in name} == package
    assert {"plmrs/py.typed", "plmrs/evaluate/report/page.html", "plmrs/presets/mind.yaml"} <= package
    assert about.replace("METADATA", "licenses/LICENSE") in names
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra", [])) == {"demo", "mlflow", "wandb", "dev"}


def test_the_source_distribution_can_be_tested(built: Path, sources: set[str]) -> None:
    (archive,) = built.glob("dist/*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert sources - names == {".gitignore", ".ci/run"}


def test_the_wheel_runs_the_demo_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment, job = tmp_path / "environment", tmp_path / "job"
    job.mkdir()
    outside(tmp_path, sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    outside(tmp_path, python, *PIP, "install", "-c", ROOT / "constraints.txt", f"{wheel}[demo]")
    where = outside(job, python, "-c", "import plmrs; print(plmrs.__file__)")
    assert Path(where.strip()).is_relative_to(environment)
    for command in JOB:
        outside(job, environment / "bin" / "plmrs", *command)
    made = {"report.html", "recommendations.parquet", "runs/demo-text-minilm/export", "runs/demo-text-minilm/README.md"}
    assert not [name for name in made if not (job / name).exists()]
