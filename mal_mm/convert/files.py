"""Files of data sets: pictures by their endings, folders that appear whole, texts and XML."""

from __future__ import annotations

import glob
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.parsers import expat

from PIL import Image

from ..formats.atomic import is_alive
from ..formats.errors import AnnotationError
from ..formats.paths import resolve_under
from ..formats.plain_file import read_plain_file

PICTURES = (
    *('.avif', '.bmp', '.dng', '.gif', '.heic', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.mpo'),
    *('.pfm', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'),
)
_MOST = 2**31  # bytes of one file in a zip
_ORIENTATION = 0x0112
_NOT_IN_XML = re.compile(r'[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]')


def is_picture(name: str | Path) -> bool:
    """Whether a name ends as those of pictures do, in any case."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """All files of some kind in a folder and those in it, by name.

    Links are followed, as data sets are often linked in; a folder that holds itself is seen once.
    What begins with a dot is left out: editors and systems keep copies there.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [each for each in folders if each[0] != '.']
        if real not in seen:
            visible = (Path(place, name) for name in names if name[0] != '.')
            found += [path for path in visible if path.suffix.lower() in endings]
        seen.add(real)
    return sorted(path for path in found if path.is_file())


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and those in it, by name."""
    return files_below(folder, PICTURES)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height as the picture is shown: a turn that the camera noted is applied.

    Raises:
        ValueError: it is no picture.
        OSError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from None
    return (height, width) if turned else (width, height)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that appears whole or not at all.

    Raises:
        FileExistsError: there is something at `path` already.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f'{path} exists; give a new folder, or remove it first')
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f'folder {path.parent} does not exist; create it first')
    start = f'.{path.name[:100]}.'
    building = path.resolve().parent / f'{start}{os.getpid()}.tmp'
    for remains in building.parent.glob(f'{glob.escape(start)}*.tmp'):
        number = remains.name[len(start) : -len('.tmp')]
        if number.isdigit() and (int(number) == os.getpid() or not is_alive(int(number))):
            shutil.rmtree(remains, ignore_errors=True)  # of a process that was killed
    building.mkdir()
    try:
        yield building
        if path.exists():
            path.rmdir()
        building.replace(path)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def place_below(folder: Path, name: str, suffix: str | None = None) -> Path:
    """The path of a file of an image in a new folder, whose folders are made.

    Raises:
        ValueError: the name leaves the folder.
    """
    path = resolve_under(folder, name.replace('\\', '/'))
    if suffix is not None:
        path = path.with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_source(path: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and content of files of some kind: a file, all in a folder, or all in a zip.

    Nothing is unpacked to the disk.

    Args:
        path: of the file, folder or zip.
        endings: in small letters, as '.xml'.

    Raises:
        AnnotationError: there is nothing of the kind, or the zip is damaged.
        OSError: it cannot be read.
    """
    found = False
    if path.is_dir():
        for each in files_below(path, endings):
            found = True
            yield each.relative_to(path).as_posix(), read_plain_file(each)[0]
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as zipped:
                for info in sorted(zipped.infolist(), key=lambda info: info.filename):
                    name = PurePosixPath(info.filename)
                    if name.suffix.lower() not in endings or name.name[0] == '.':
                        continue  # .: macOS' second halves
                    if info.file_size > _MOST:
                        raise AnnotationError(f'{path}: {info.filename} in it is too large')
                    found = True
                    yield info.filename, zipped.read(info)
        except (zipfile.BadZipFile, RuntimeError, EOFError) as error:
            raise AnnotationError(f'{path}: the zip is damaged or locked ({error})') from None
    else:
        found = True
        yield path.name, read_plain_file(path)[0]
    if not found:
        raise AnnotationError(f'{path}: there is no {" or ".join(endings)} file in it')


def text_of(content: bytes, where: object) -> str:
    """Text in UTF-8, with or without a byte order mark.

    Raises:
        AnnotationError: it is in another encoding.
    """
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f'{where}: not UTF-8 text (byte at {error.start}); save the file as UTF-8'
        ) from None


def parse_xml(content: bytes, where: object) -> ElementTree.Element:
    """The root of an XML file, read without any document type: entities could fill the memory.

    Raises:
        AnnotationError: it is no XML, or has a DOCTYPE.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise AnnotationError(f'{where}: has a DOCTYPE, which is not read; remove it')

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise AnnotationError(f'{where}: not valid XML ({error})') from None
    return builder.close()


def xml_can_hold(text: str) -> bool:
    """Whether XML can write a text and read the same."""
    return not any(
        (char < ' ' and char not in '\t\n')
        or 0xD800 <= ord(char) < 0xE000
        or char in '\ufffe\uffff'
        for char in text
    )
