"""Take the pictures of a run's page in ``docs/images``: python docs/screenshots.py [RUN]

Without RUN, a folder with a page, a small part of Fashion-MNIST is distilled and measured on several networks first:
some minutes on a CPU. The page is shown to headless Chromium at phone and desktop width.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from limbeck.cli import main

IMAGES = Path(__file__).parent / "images"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--allow-file-access-from-files",
]
TALLEST = 9000
"""Pixels of the window; a picture ends below the page's last line."""


def browse(address: str, *options: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Open an address in headless Chromium with a fresh profile.

    Args:
        address: what to open.
        *options: of Chromium, for example ``--dump-dom``.
        timeout: seconds after which it is given up.
    """
    if CHROMIUM is None:
        raise FileNotFoundError("there is no Chromium. Debian has it: apt install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options, address]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout)


def shoot(page: Path, width: int, picture: Path, height: int = TALLEST) -> None:
    """Save what a page looks like in a window of a width, down to its last line, in 128 colours."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        browse(page.resolve().as_uri(), f"--window-size={width},{height}", f"--screenshot={raw}")
        with Image.open(io.BytesIO(raw.read_bytes())) as seen:
            found = seen.convert("RGB")
    ground = Image.new("RGB", found.size, found.getpixel((0, 0)))
    bottom = ImageChops.difference(found, ground).getbbox()
    end = min(found.height, (bottom[3] if bottom else 0) + 32)
    shown = found.crop((0, 0, width, end)).quantize(128, dither=Image.Dither.NONE)
    shown.save(picture, "PNG", optimize=True)


def make_run(folder: Path) -> None:
    """Distil and measure what the pictures show."""
    network = "convnet-d3-w32-in"
    settings = (
        "evaluation.protocol={name: dc, epochs: 100, evaluate_every: 20}",
        "evaluation.baselines=[random]",
    )
    options = [word for setting in settings for word in ("--set", setting)]
    small = ["--method", "dm", "--profile", "small", "--network", network, "--ipc", "5", "--steps", "300"]
    data = ["--data", "fashion_mnist", "--max-per-class", "100", "--networks", "2"]
    commands = (
        ["distill", *small, *data, *options, "--out", str(folder)],
        ["evaluate", str(folder), "--networks", f"{network}=2,mlp=2,lenet=2"],
    )
    for command in commands:
        status = main(command)
        if status:
            raise SystemExit(status)


def run() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="a run folder that is there already")
    given = parser.parse_args().run
    with tempfile.TemporaryDirectory() as temporary:
        folder = given or Path(temporary) / "dm-fashion-mnist-ipc5"
        if given is None:
            make_run(folder)
        for width in (400, 1400):
            shoot(folder / "report.html", width, IMAGES / f"report-{width}.png")


if __name__ == "__main__":
    run()
