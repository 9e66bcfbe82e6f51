"""YouTube-VIS files: an annotation is a track, with a box and a mask for each frame of a video.

Frames are handed out as images and the boxes of a track as annotations, one by one; what comes
back is put into the tracks again, where it was. Everything else in the file stays as it is.

    track key        of one frame      in the file
    bboxes           bbox              read only
    segmentations    segmentation      a mask for each box
    areas            area              of the mask
    mal_quality ...  the same          a list like the others, null where the frame has no box;
                                       see `mal_fields`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import mal_fields
from .coco import CocoStream, check_coco
from .errors import AnnotationError, shorten
from .json_file import read_json
from .json_stream import JsonStream

_MASKS = {'segmentations': 'segmentation', 'areas': 'area'}
# what labeling says of a mask: in a track, a list with an entry a frame
TRACK_MARKS = (
    mal_fields.QUALITY,
    mal_fields.FLAG,
    mal_fields.SKIPPED,
    mal_fields.IGNORE,
    mal_fields.POLYGON_IOU,
    mal_fields.HUMAN,
    mal_fields.REVIEW,
)


class VideoStream:
    """A YouTube-VIS file as the annotations of its frames; used as a CocoStream.

    Args:
        path: JSON, plain or gzipped, with `videos` and tracks as `annotations`.
        stream: the file, where it was opened already.

    Attributes:
        value: COCO-style object: an image for each frame, no annotations, `categories`, and what
            else is at the top of the file.
        count: boxes in all frames.

    Raises:
        AnnotationError: the file cannot be read or is none of YouTube-VIS; says where.
    """

    def __init__(self, path: str | Path, stream: JsonStream | None = None) -> None:
        self.path = Path(path)
        self._stream = stream or JsonStream(path, 'annotations')
        top = self._stream.value
        if not is_video_file(top) or not isinstance(top.get('annotations'), list):
            raise AnnotationError(
                f"{path}: expected 'videos' and 'annotations', both lists, as YouTube-VIS has them"
            )
        self._lengths: dict[str, int] = {}  # frames of each video
        images: list[dict[str, Any]] = []
        for place, video in enumerate(top['videos']):
            images += self._frames(video, place)
        rest = {key: value for key, value in top.items() if key not in ('videos', 'annotations')}
        self.value = {'images': images, 'annotations': [], **rest}
        self.count = sum(1 for _ in self)

    def _frames(self, video: Any, place: int) -> Iterator[dict[str, Any]]:
        where = f'{self.path}: videos[{place}]'
        names = video.get('file_names') if isinstance(video, dict) else None
        if not isinstance(names, list):
            raise AnnotationError(f'{where} has no list `file_names`; give the frames of each')
        number = video.get('id')
        if not isinstance(number, (int, str)) or str(number) in self._lengths:
            raise AnnotationError(f'{where} needs an `id` of its own, got {shorten(number)}')
        self._lengths[str(number)] = len(names)
        size = {key: video[key] for key in ('width', 'height') if key in video}
        for frame, name in enumerate(names):
            yield {'id': _image_id(number, frame), 'file_name': name, **size}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The boxes of all tracks, track by track, frame by frame; each a fresh object.

        Raises:
            AnnotationError: a track is no object, or its lists are none.
        """
        for place, track in enumerate(self._stream):
            for frame in self._boxes(track, place):
                yield self._annotation(track, frame)

    def _boxes(self, track: Any, place: int) -> list[int]:
        """Frames in which a track has a box."""
        where = f'{self.path}: annotations[{place}]'
        if not isinstance(track, dict):
            raise AnnotationError(f'{where} must be an object, got {shorten(track)}')
        for key in ('bboxes', *_MASKS):
            if not isinstance(track.get(key, []), (list, type(None))):
                raise AnnotationError(
                    f'{where} (id {shorten(track.get("id"))}): {key!r} must be a list with an '
                    f'entry a frame, got {shorten(track[key])}'
                )
        return [frame for frame, box in enumerate(track.get('bboxes') or ()) if box]

    def _annotation(self, track: Mapping[str, Any], frame: int) -> dict[str, Any]:
        annotation = {
            'id': f'track {track.get("id")}, frame {frame}',
            'image_id': _image_id(track.get('video_id'), frame),
            'bbox': track['bboxes'][frame],
            'iscrowd': track.get('iscrowd', 0),
        }
        if 'category_id' in track:
            annotation['category_id'] = track['category_id']
        for key, single in (*_MASKS.items(), *((mark, mark) for mark in TRACK_MARKS)):
            value = _entry(track.get(key), frame)
            if value is not None:
                annotation[single] = value
        return annotation

    def whole(self, annotations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The file with other annotations of its frames, its keys in their order.

        Args:
            annotations: as many as the stream gives, in its order, with new masks.

        Returns:
            Its object; the tracks are an iterator.
        """
        data = {**self._stream.value}
        data['annotations'] = self._tracks(iter(annotations))
        return data

    def _tracks(self, annotations: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for place, track in enumerate(self._stream):
            frames = self._boxes(track, place)
            changed = {frame: next(annotations) for frame in frames}
            length = max(
                self._lengths.get(str(track.get('video_id')), 0), len(track.get('bboxes') or ())
            )
            for key, single in (*_MASKS.items(), *((mark, mark) for mark in TRACK_MARKS)):
                values = [
                    changed[frame].get(single)
                    if frame in changed
                    else _entry(track.get(key), frame)
                    for frame in range(length)
                ]
                if key in TRACK_MARKS and not any(value is not None for value in values):
                    # as COCO-style files, which have no marks where there is nothing to mark
                    if isinstance(track.get(key), list):
                        del track[key]
                elif frames:
                    track[key] = values
            yield track
        # whoever gives them may have something left to do behind the last
        if next(annotations, None) is not None:
            raise ValueError(f'{self.path}: more annotations than boxes in its tracks')


def is_video_file(value: Any) -> bool:
    """Whether the object of a file is one of YouTube-VIS: with `videos` in place of `images`."""
    return (
        isinstance(value, dict)
        and isinstance(value.get('videos'), list)
        and ('images' not in value)
    )


def open_annotations(path: str | Path) -> CocoStream | VideoStream:
    """A COCO-style or YouTube-VIS file, whose annotations are read one by one.

    Raises:
        AnnotationError: it is neither.
    """
    stream = JsonStream(path, 'annotations')
    kind = VideoStream if is_video_file(stream.value) else CocoStream
    return kind(path, stream=stream)


def read_annotations(path: str | Path) -> dict[str, Any]:
    """A COCO-style file as it is, or a YouTube-VIS one as the images and boxes of its frames.

    Raises:
        AnnotationError: it is neither.
    """
    data = read_json(path)
    if not is_video_file(data):
        check_coco(data, path)
        return data
    stream = VideoStream(path)
    return {**stream.value, 'annotations': list(stream)}


def _image_id(video_id: Any, frame: int) -> str:
    return f'video {video_id}, frame {frame}'


def _entry(values: Any, frame: int) -> Any:
    return values[frame] if isinstance(values, list) and frame < len(values) else None
