"""Draw docs/images/architecture.png: the rooms and the way of an image through them.

    python docs/architecture_picture.py

Pillow alone, so that the documentation needs nothing that the package does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

OUTPUT = Path(__file__).parent / "images" / "architecture.png"
SIZE = (1000, 942)
FINE = 3
"""Drawn so many times larger and reduced, for smooth edges; saved at twice the size for sharp screens."""

INK, FAINT, PAPER = "#1f2937", "#6b7280", "#ffffff"
DATA, CONTROL = "#c2410c", "#2563eb"
SHADES = {
    "face": "#dbeafe",
    "verb": "#e0e7ff",
    "work": "#fef3c7",
    "store": "#dcfce7",
    "model": "#fae8ff",
    "base": "#f1f5f9",
}


@dataclass(frozen=True)
class Room:
    """A box: left, top, width, height."""

    name: str
    says: str
    box: tuple[int, int, int, int]
    shade: str


ROOMS = [
    Room("gui", "napari: widget, readers, layers", (30, 60, 300, 62), "face"),
    Room("cli", "napari-restore VERB", (350, 60, 220, 62), "face"),
    Room("api", "functions made from the verbs: denoise, train, restore, submit", (30, 180, 540, 62), "face"),
    Room("verbs", "a row a verb; a request, checked; the one flow", (30, 262, 540, 62), "face"),
    Room("training", "patch pool, loop, runs", (30, 382, 170, 62), "work"),
    Room("restoration", "plan, tiles, runners", (215, 382, 170, 62), "work"),
    Room("judging", "without a truth", (400, 382, 170, 62), "work"),
    Room("store", "models, outputs, journal, lock", (30, 502, 540, 62), "store"),
    Room("methods", "what learns: a row, a config, a loss, restore", (30, 584, 540, 62), "model"),
    Room("metrics", "PSNR, SSIM, FRC, SURE, noise level, whiteness", (30, 666, 540, 62), "base"),
    Room("networks", "U-Nets and how far they look", (30, 748, 260, 62), "base"),
    Room("losses", "what is minimised, with its paper", (310, 748, 260, 62), "base"),
    Room("operators", "blur, sampling, noise, PSFs", (30, 830, 260, 62), "base"),
    Room("sources", "TIFF, Zarr, DICOM, arrays, layers", (310, 830, 260, 62), "verb"),
]


class Sheet:
    """A canvas that is drawn on in page units."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def box(self, box: tuple[int, int, int, int], fill: str, outline: str = FAINT) -> None:
        left, top, width, height = (n * FINE for n in box)
        self.draw.rounded_rectangle((left, top, left + width, top + height), 8 * FINE, fill, outline, FINE)

    def text(self, at: tuple[int, int], words: str, size: int = 14, colour: str = INK, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * FINE)
        self.draw.multiline_text((at[0] * FINE, at[1] * FINE), words, colour, font, anchor, spacing=5 * FINE)

    def arrow(self, points: list[tuple[int, int]], colour: str, width: int = 2) -> None:
        """A line through points that ends in a head; the last piece is upright or level."""
        self.draw.line([(x * FINE, y * FINE) for x, y in points], colour, width * FINE, joint="curve")
        (x0, y0), (x, y) = points[-2:]
        dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
        head = [(x, y), (x - 9 * dx - 5 * dy, y - 9 * dy - 5 * dx), (x - 9 * dx + 5 * dy, y - 9 * dy + 5 * dx)]
        self.draw.polygon([(a * FINE, b * FINE) for a, b in head], colour)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        reduced = self.image.resize((SIZE[0] * 2, SIZE[1] * 2), Image.Resampling.LANCZOS)
        reduced.quantize(128).save(path, optimize=True)


def main() -> None:
    sheet = Sheet()
    draw_rooms(sheet)
    draw_flow(sheet)
    sheet.save(OUTPUT)
    print(OUTPUT)


def draw_rooms(sheet: Sheet) -> None:
    """The rooms in the order of imports: each may import what is below it, and never its neighbour."""
    sheet.text((30, 20), "Rooms (imports go down only)", 17)
    for room in ROOMS:
        sheet.box(room.box, SHADES[room.shade])
        left, top = room.box[:2]
        sheet.text((left + 14, top + 9), room.name, 17)
        sheet.text((left + 14, top + 36), room.says, 13, FAINT)
    sheet.box((30, 906, 540, 26), SHADES["base"])
    sheet.text((300, 919), "core: axes, regions, tile plan, options, events, errors (no torch)", 13, INK, "mm")
    sheet.arrow([(160, 126), (160, 174)], CONTROL)
    sheet.text((176, 150), "a call, with a stop flag", 13, FAINT, "lm")
    sheet.arrow([(390, 174), (390, 126)], CONTROL)
    sheet.text((406, 150), "events, then the result", 13, FAINT, "lm")
    for x in (115, 300, 485):
        sheet.arrow([(x - 20, 328), (x - 20, 376)], CONTROL)
        sheet.arrow([(x + 20, 376), (x + 20, 328)], CONTROL)
        sheet.arrow([(x, 448), (x, 496)], CONTROL)


STEPS = [
    ("", "A layer, array, path or URL", "nothing of the pixels is read yet"),
    ("verbs", "Request", "which verb, on what, how; checked, carried whole"),
    ("sources", "Image.read(Region)", "named axes; from any thread, only the chunks needed"),
    ("training", "Patch pool", "whole blocks in memory, many patches cut from each"),
    ("methods", "method(batch, rng): a loss", "some pixels hidden; a budget of steps or seconds"),
    ("store", "model.safetensors", "weights, normalisation, where it came from"),
    ("core", "Tile plan", "boxes on a grid of 2^depth, each with its halo"),
    ("restoration", "Pipeline: restore and crop", "the halo is cut off, nothing is blended"),
    ("store", "out.ome.zarr.partial + .journal", "a tile is flushed, then noted; resume trusts the note"),
    ("store", "out.ome.zarr or out.ome.tif", "pyramid and metadata, then one rename"),
]


def draw_flow(sheet: Sheet) -> None:
    """The way of an image, top to bottom."""
    left, width, height, gap = 620, 370, 62, 26
    shades = {room.name: room.shade for room in ROOMS}
    sheet.text((left, 20), "The way of an image", 17)
    for number, (room, title, says) in enumerate(STEPS):
        top = 60 + number * (height + gap)
        sheet.box((left, top, width, height), SHADES[shades.get(room, "base")] if room else PAPER)
        sheet.text((left + 14, top + 10), title, 16)
        sheet.text((left + 14, top + 36), says, 13, FAINT)
        sheet.text((left + width - 14, top + 12), room, 13, FAINT, "ra")
        if number:
            sheet.arrow([(left + width // 2, top - gap + 2), (left + width // 2, top - 2)], DATA)


if __name__ == "__main__":
    main()
