"""Write the parts of the documentation that the code knows best, between ``generated`` marks.

They come from the hooks, the base classes, what is registered, and the method files:

    python docs/generate.py            writes them
    python docs/generate.py --check    names the files that are not up to date; exit status 1 if there are any
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from generating import kinds, overviews
from generating.source import KINDS

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end generated -->)", re.S)
NEW_PAGE = "# {kind}\n" + "".join(
    f"\n<!-- generated: {part} -->\n<!-- end generated -->\n" for part in ("hook", "contract", "ships")
)


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Return every file with generated parts, as it ought to be.

    Raises:
        SystemExit: a file asks for a part that nothing here writes.
    """
    found = {}
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        if BLOCK.search(text):
            found[path] = _filled(path, text, overviews.PARTS)
    for kind in KINDS:
        path = root / "docs" / "plugins" / f"{kind}.md"
        text = path.read_text(encoding="utf-8") if path.exists() else NEW_PAGE.format(kind=kind)
        found[path] = _filled(path, text, {name: partial(part, kind) for name, part in kinds.PARTS.items()})
    return found


def stale(root: Path = ROOT) -> list[str]:
    """Return the files whose generated parts are not what they ought to be, relative to the root."""
    wanted = documents(root)
    found = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in wanted}
    return [path.relative_to(root).as_posix() for path in wanted if wanted[path] != found[path]]


def main(arguments: Sequence[str]) -> int:
    """Write or check, and return the exit status."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("type: python docs/generate.py [--check]\n")
        return 2
    wanted, names = documents(), stale()
    for name in names:
        sys.stdout.write(f"{name} is not up to date; type: python docs/generate.py\n" if arguments else f"{name}\n")
        if not arguments:
            (ROOT / name).parent.mkdir(exist_ok=True)
            (ROOT / name).write_text(wanted[ROOT / name], encoding="utf-8")
    return 1 if arguments and names else 0


def _filled(path: Path, text: str, parts: Mapping[str, Callable[[], Iterable[str]]]) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[2] not in parts:
            raise SystemExit(f"{path.name} asks for the part '{match[2]}'. Known: {', '.join(parts)}.")
        return match[1] + "\n".join(parts[match[2]]()).strip("\n") + "\n" + match[3]

    return BLOCK.sub(fill, text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
