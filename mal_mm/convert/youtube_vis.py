"""YouTube-VIS: an annotation is a track through a video, with a box and a mask a frame.

Here each frame is an image, and each box of a frame an annotation that keeps its track's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..formats.errors import AnnotationError
from ..formats.json_file import read_json, write_json
from ..formats.rle import rle_to_str_counts
from ..formats.videos import TRACK_MARKS
from .findings import Findings
from .objects import pictures
from .registry import ReadOptions, WriteOptions

_FRAME = {'video_id', 'frame_id', 'track_id', *TRACK_MARKS}


def read_youtube_vis(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read videos and tracks.

    Returns:
        COCO-style object; images have `video_id` and `frame_id` (from 0), annotations `track_id`.

    Raises:
        AnnotationError: it is no such file.
    """
    data = read_json(source)
    if not isinstance(data, dict) or not isinstance(data.get('videos'), list):
        raise AnnotationError(f"{source}: no 'videos' at the top; give a YouTube-VIS file")
    images: list[dict[str, Any]] = []
    frames: dict[Any, list[dict[str, Any]]] = {}
    for place, video in enumerate(data['videos']):
        with findings.listing('video of an odd form', f'videos[{place}]'):
            of_video = [
                dict(
                    id=len(images) + number + 1,
                    file_name=name,
                    width=video.get('width'),
                    height=video.get('height'),
                    video_id=video['id'],
                    frame_id=number,
                )
                for number, name in enumerate(video.get('file_names') or ())
            ]
            frames[video['id']] = of_video
            images += of_video
    annotations: list[dict[str, Any]] = []
    for place, track in enumerate(data.get('annotations') or ()):
        with findings.listing('track of an odd form', f'annotations[{place}]'):
            annotations += _read_track(track, frames, len(annotations) + 1, findings)
    return dict(images=images, annotations=annotations, categories=data.get('categories') or [])


def _read_track(
    track: dict[str, Any],
    frames: Mapping[Any, list[dict[str, Any]]],
    first_id: int,
    findings: Findings,
) -> list[dict[str, Any]]:
    where = f'track {track.get("id")!r}'
    if track.get('video_id') not in frames:
        findings.lose('track of an unknown video', where)
        return []
    annotations: list[dict[str, Any]] = []
    boxes = track.get('bboxes') or []
    masks, areas = track.get('segmentations') or [], track.get('areas') or []
    of_video = frames[track['video_id']]
    if max(len(boxes), len(masks)) > len(of_video):
        findings.lose('track that is longer than its video', where)
    fields = {k: v for k, v in track.items() if k in ('iscrowd', 'category_id')}
    for number, image in enumerate(of_video):
        box = boxes[number] if number < len(boxes) else None
        mask = masks[number] if number < len(masks) else None
        if not box and not mask:
            continue
        annotation = dict(
            id=first_id + len(annotations),
            image_id=image['id'],
            track_id=track.get('id'),
            **fields,
        )
        annotation.setdefault('iscrowd', 0)
        if box:
            annotation['bbox'] = box
        if mask:
            annotation['segmentation'] = mask
        if number < len(areas) and areas[number] is not None:
            annotation['area'] = areas[number]
        elif box:
            annotation['area'] = box[2] * box[3]
        for mark in TRACK_MARKS:
            values = track.get(mark)
            if isinstance(values, list) and number < len(values) and values[number] is not None:
                annotation[mark] = values[number]
        annotations.append(annotation)
    return annotations


def write_youtube_vis(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write videos and tracks back; an image without `video_id` is a video of one frame."""
    videos: dict[Any, dict[str, Any]] = {}
    found = list(pictures(data, findings, carries_fields=False))
    found.sort(key=lambda p: p.image['frame_id'] if type(p.image.get('frame_id')) is int else 0)
    for picture in found:
        key = picture.image.get('video_id', f'image {picture.image["id"]}')
        video = videos.setdefault(
            key,
            dict(
                id=picture.image.get('video_id', len(videos) + 1),
                width=picture.width,
                height=picture.height,
                file_names=[],
                pictures=[],
            ),
        )
        if (picture.width, picture.height) != (video['width'], video['height']):
            findings.lose('frame of another size than its video', picture.name)
            continue
        video['file_names'].append(picture.name)
        video['pictures'].append(picture)
    tracks: list[dict[str, Any]] = []
    for video in videos.values():
        tracks += _tracks(video, len(tracks) + 1, findings)
        video['length'] = len(video['file_names'])
        del video['pictures']
    for key in list(findings.noted):
        if any(f"'{name}'" in key for name in _FRAME):
            del findings.noted[key]  # they have a place here
    whole = dict(
        videos=list(videos.values()),
        annotations=tracks,
        categories=list(data.get('categories') or []),
    )
    write_json(whole, out)


def _tracks(video: dict[str, Any], first_id: int, findings: Findings) -> list[dict[str, Any]]:
    length = len(video['pictures'])
    tracks: dict[Any, dict[str, Any]] = {}
    for number, picture in enumerate(video['pictures']):
        for thing in picture.things:
            annotation = thing.annotation
            key = annotation.get('track_id', f'alone {annotation.get("id")!r}')
            track = tracks.setdefault(
                key,
                dict(
                    id=annotation.get('track_id', first_id + len(tracks)),
                    video_id=video['id'],
                    category_id=annotation.get('category_id'),
                    iscrowd=int(thing.is_crowd),
                    width=video['width'],
                    height=video['height'],
                    length=length,
                    bboxes=[None] * length,
                    segmentations=[None] * length,
                    areas=[None] * length,
                ),
            )
            if track['bboxes'][number] or track['segmentations'][number]:
                findings.lose('second object of a track in one frame', thing.where)
                continue
            track['bboxes'][number] = annotation.get('bbox')
            track['areas'][number] = annotation.get('area')
            for mark in TRACK_MARKS:
                if mark in annotation:
                    track.setdefault(mark, [None] * length)[number] = annotation[mark]
            if thing.rle is not None:
                track['segmentations'][number] = rle_to_str_counts(thing.rle)
    return list(tracks.values())
