"""A plot as a list of shapes, of which a PNG (by Pillow) and an SVG with real text are made."""

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from PIL import Image, ImageDraw

from dlrun.drawing.fonts import printable

DENSITY = 1.5
"""Pixels of the PNG by a unit of the canvas, so that it is sharp on a projector."""
FINER = 2
"""Shapes are drawn so many times finer and scaled down, since Pillow draws them with jagged edges."""
PAPER, INK, SOFT, GRID = "#ffffff", "#202020", "#5f5f5f", "#e2e2e2"
DASHES = (6.0, 4.0)
"""Units drawn and left out of a dashed line."""
ANCHORS = {"start": "l", "middle": "m", "end": "r"}

Point = tuple[float, float]


@dataclass(frozen=True)
class _Line:
    points: Sequence[Point]
    ink: str
    width: float
    dashed: bool


@dataclass(frozen=True)
class _Box:
    corner: Point
    size: Point
    ink: str


@dataclass(frozen=True)
class _Dot:
    middle: Point
    radius: float
    ink: str


@dataclass(frozen=True)
class _Picture:
    corner: Point
    size: Point
    image: Image.Image


@dataclass(frozen=True)
class _Text:
    place: Point
    words: str
    size: float
    ink: str
    anchor: str
    upwards: bool


@dataclass
class Canvas:
    """Shapes on white paper, the later ones above; pictures lie above other shapes and texts above all.

    Args:
        width, height: In units; one is a pixel of a page.
    """

    width: float
    height: float
    shapes: list[_Line | _Box | _Dot] = field(default_factory=list)
    pictures: list[_Picture] = field(default_factory=list)
    texts: list[_Text] = field(default_factory=list)

    def line(self, points: Sequence[Point], ink: str, width: float = 1, dashed: bool = False) -> None:
        """A line through two or more points."""
        self.shapes.append(_Line(points, ink, width, dashed))

    def box(self, corner: Point, size: Point, ink: str) -> None:
        """A filled rectangle; `corner` is its upper left one."""
        self.shapes.append(_Box(corner, size, ink))

    def dot(self, middle: Point, radius: float, ink: str) -> None:
        """A filled circle."""
        self.shapes.append(_Dot(middle, radius, ink))

    def picture(self, corner: Point, size: Point, image: Image.Image) -> None:
        """A picture, enlarged without being smoothed."""
        self.pictures.append(_Picture(corner, size, image))

    def text(
        self, place: Point, words: str, size: float = 11, ink: str = INK, anchor: str = "start", upwards: bool = False
    ) -> None:
        """One line of text, vertically centred on `place`, which is its start, middle or end.

        Args:
            upwards: Written from below to above.
        """
        self.texts.append(_Text(place, words, size, ink, anchor, upwards))

    def image(self) -> Image.Image:
        """The plot as a picture, RGB or grey (L), which is a third of the work to compress."""
        fine = DENSITY * FINER
        page = Image.new(
            "L" if self._is_grey() else "RGB", (round(self.width * fine), round(self.height * fine)), PAPER
        )
        draw = ImageDraw.Draw(page)
        for shape in self.shapes:
            _draw(draw, shape, fine)
        page = page.reduce(FINER)
        for one in self.pictures:
            size = (round(one.size[0] * DENSITY), round(one.size[1] * DENSITY))
            page.paste(one.image.resize(size, Image.Resampling.NEAREST), _scaled(one.corner, DENSITY))
        for text in self.texts:
            _write(page, text)
        return page

    def _is_grey(self) -> bool:
        inks = {one.ink for one in (*self.shapes, *self.texts)}
        grey = all(ink[1:3] == ink[3:5] == ink[5:7] for ink in inks)
        return grey and all(one.image.mode == "L" for one in self.pictures)

    def svg(self) -> str:
        """The plot as an SVG."""
        size = f'width="{self.width:g}" height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}"'
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">']
        parts.append(f'<rect width="100%" height="100%" fill="{PAPER}"/>')
        parts += [_element(one) for one in (*self.shapes, *self.pictures, *self.texts)]
        return "\n".join([*parts, "</svg>\n"])


def _scaled(point: Point, factor: float) -> tuple[int, int]:
    return round(point[0] * factor), round(point[1] * factor)


def _draw(draw: ImageDraw.ImageDraw, shape: _Line | _Box | _Dot, fine: float) -> None:
    if isinstance(shape, _Line):
        width = max(1, round(shape.width * fine))
        for points in _dashes(shape.points) if shape.dashed else (shape.points,):
            draw.line([_scaled(point, fine) for point in points], shape.ink, width, joint="curve")
    elif isinstance(shape, _Box):
        (left, top), (width_, height) = shape.corner, shape.size
        right, bottom = _scaled((left + width_, top + height), fine)
        draw.rectangle((*_scaled(shape.corner, fine), right - 1, bottom - 1), shape.ink)
    else:
        (x, y), radius = _scaled(shape.middle, fine), round(shape.radius * fine)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), shape.ink)


def _dashes(points: Sequence[Point]) -> list[list[Point]]:
    """The line cut into pieces; those that are left out are not among them."""
    pieces: list[list[Point]] = [[points[0]]]
    drawn, left = True, DASHES[0]
    for begin, end in itertools.pairwise(points):
        length = ((end[0] - begin[0]) ** 2 + (end[1] - begin[1]) ** 2) ** 0.5
        gone = 0.0
        while length - gone > left:
            gone += left
            share = gone / length
            here = (begin[0] + share * (end[0] - begin[0]), begin[1] + share * (end[1] - begin[1]))
            if drawn:
                pieces[-1].append(here)
            else:
                pieces.append([here])
            drawn = not drawn
            left = DASHES[0] if drawn else DASHES[1]
        left -= length - gone
        if drawn:
            pieces[-1].append(end)
    return [piece for piece in pieces if len(piece) > 1]


def _write(page: Image.Image, text: _Text) -> None:
    words, letters = printable(text.words, text.size * DENSITY)
    x, y = _scaled(text.place, DENSITY)
    if not text.upwards:
        ImageDraw.Draw(page).text((x, y), words, text.ink, letters, anchor=f"{ANCHORS[text.anchor]}m")
        return
    length, height = round(letters.getlength(words)) + 2, round(text.size * DENSITY * 1.5)
    mask = Image.new("L", (length, height))
    ImageDraw.Draw(mask).text((1, height // 2), words, 255, letters, anchor="lm")
    mask = mask.rotate(90, expand=True)
    top = {"start": y - length, "middle": y - length // 2, "end": y}[text.anchor]
    page.paste(text.ink, (x - height // 2, top), mask)


def _element(shape: _Line | _Box | _Dot | _Picture | _Text) -> str:
    if isinstance(shape, _Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dashes = f' stroke-dasharray="{DASHES[0]:g} {DASHES[1]:g}"' if shape.dashed else ""
        look = f'fill="none" stroke="{shape.ink}" stroke-width="{shape.width:g}" stroke-linejoin="round"'
        return f'<polyline points="{points}" {look}{dashes}/>'
    if isinstance(shape, _Box):
        return f'<rect {_frame(shape.corner, shape.size)} fill="{shape.ink}"/>'
    if isinstance(shape, _Dot):
        (x, y), radius = shape.middle, shape.radius
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{shape.ink}"/>'
    if isinstance(shape, _Picture):
        file = io.BytesIO()
        shape.image.save(file, "png")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        return f'<image {_frame(shape.corner, shape.size)} style="image-rendering:pixelated" href="{url}"/>'
    x, y = shape.place
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if shape.upwards else ""
    look = f'font-size="{shape.size:g}" fill="{shape.ink}" text-anchor="{shape.anchor}" dy=".35em"'
    words = "".join(letter if letter.isprintable() else "?" for letter in shape.words)
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}{turn}>{escape(words)}</text>'


def _frame(corner: Point, size: Point) -> str:
    return f'x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}"'
