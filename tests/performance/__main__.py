"""Count every scene anew, show what became better and worse, write the table: make counts."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.performance.scenes import SCENES, count
from tests.performance.table import FILE, differences, read, write


def main() -> None:
    """Count, show, write."""
    old, new = read() if FILE.exists() else {}, {}
    for name, scene in SCENES.items():
        with tempfile.TemporaryDirectory() as folder:
            new[name] = asyncio.run(count(scene, Path(folder)))
        found = differences(scene, old[name], new[name]) if name in old else ["is new"]
        print(name if found else f"{name}: as before")
        for line in found:
            print(f"    {line}")
        if not found:
            new[name] = old[name]  # what differs by chance is no change to commit
    write(new)
    print(f"written: {FILE}")


if __name__ == "__main__":
    main()
