"""Where the records of an export request stand, and what is left of it without some of them.

Traces and logs number these fields alike: a request holds resources (1), a resource scopes (2), a
scope records (2). Everything beside them is carried over as it came, for the library to read.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.batches import Int32, Int64, UInt8
from inferspan_collector.compilation import constant, entry, part
from inferspan_collector.decode.compiled.framing import BAD, after, content
from inferspan_collector.decode.compiled.memory import address_of, byte_at, copy, put_byte

_RESOURCE: Final = 0x0A
_SCOPE: Final = 0x12
_RECORD: Final = 0x12
FAILED: Final = -1
FRAME_BYTES_MAX: Final = 4096
_RESOURCE_BEGINS, _SCOPE_BEGINS, _ENDS = map(constant, range(3))
"""Written where no field begins: tags are 8 and more."""


@entry
def outline(
    body: UInt8,
    starts: Int64,
    ends: Int64,
    scopes: Int32,
    resource_of: Int32,
    frame: UInt8,
    counts: Int64,
) -> None:
    """Find the records of a request.

    Args:
        body: the request.
        starts: of each record, where its content starts within the body. Written, as are:
        ends: where it ends.
        scopes: which scope it stands in, counted over the whole request.
        resource_of: of each scope, which resource it stands in.
        frame: all that is no record, and where resources and scopes begin and end.
        counts: [records, scopes, bytes of the records with their frames, bytes of `frame`]. Records
            are `FAILED` where the frames cannot be told without the library, or there is no room
            for all records or scopes; the bytes of `frame` where there is none for it.
    """
    place = base = address_of(body)
    end, out = base + len(body), address_of(frame)
    last_out, counts[0] = out + len(frame), FAILED
    records = scope = resource = inside = 0
    while place < end:
        field, tag = place, byte_at(place)
        in_resource, place = place + 1, after(tag, place + 1, end)
        if place == BAD:
            return
        if tag != _RESOURCE:
            out = _keep(field, place, out, last_out)
            continue
        out = _mark(_RESOURCE_BEGINS, out, last_out)
        in_resource = content(in_resource, end)[0]
        while in_resource < place:
            field, tag = in_resource, byte_at(in_resource)
            in_scope, in_resource = in_resource + 1, after(tag, in_resource + 1, place)
            if in_resource == BAD:
                return
            if tag != _SCOPE:
                out = _keep(field, in_resource, out, last_out)
                continue
            if scope >= len(resource_of):
                return
            resource_of[scope] = resource
            out = _mark(_SCOPE_BEGINS, out, last_out)
            in_scope = content(in_scope, in_resource)[0]
            while in_scope < in_resource:
                tag = byte_at(in_scope)
                field, in_scope = in_scope, after(tag, in_scope + 1, in_resource)
                if in_scope == BAD:
                    return
                if tag != _RECORD:
                    out = _keep(field, in_scope, out, last_out)
                    continue
                if records >= len(starts):
                    return
                starts[records] = content(field + 1, in_scope)[0] - base
                ends[records] = in_scope - base
                scopes[records] = scope
                inside += in_scope - field
                records += 1
            out = _mark(_ENDS, out, last_out)
            scope += 1
        out = _mark(_ENDS, out, last_out)
        resource += 1
    counts[0], counts[1], counts[2] = records, scope, inside
    counts[3] = FAILED if out == BAD else out - address_of(frame)


@part
def _keep(start: int, end: int, out: int, last: int) -> int:
    """Write a field as it stands; returns where the next goes, `BAD` where there is no room."""
    if out == BAD or end - start > last - out:
        return BAD
    copy(start, out, end - start)
    return out + end - start


@part
def _mark(mark: int, out: int, last: int) -> int:
    """The same of a byte that begins no field."""
    if out == BAD or out == last:
        return BAD
    put_byte(out, mark)
    return out + 1


@entry
def remainder(body: UInt8, taken: UInt8, out: UInt8) -> int:
    """Write a request without the records that were taken from it.

    Args:
        body: a request that `outline` could read.
        taken: one entry per record: 0 = it stays.
        out: where to write; as long as the body without the frames of what was taken.

    Returns:
        The length of what was written: a request that holds all else in the order it had.
    """
    place, end = address_of(body), address_of(body) + len(body)
    flag, target = address_of(taken), address_of(out)
    while place < end:
        first = place
        tag = byte_at(place)
        place = after(tag, place + 1, end)
        if tag != _RESOURCE:
            copy(first, target, place - first)
            target += place - first
            continue
        inside = content(first + 1, end)[0]
        target = _put_header(tag, _left_of_resource(inside, place, flag)[0], target)
        while inside < place:
            first = inside
            tag = byte_at(inside)
            inside = after(tag, inside + 1, place)
            if tag != _SCOPE:
                copy(first, target, inside - first)
                target += inside - first
                continue
            in_scope = content(first + 1, place)[0]
            target = _put_header(tag, _left_of_scope(in_scope, inside, flag)[0], target)
            while in_scope < inside:
                first = in_scope
                tag = byte_at(in_scope)
                in_scope = after(tag, in_scope + 1, inside)
                if tag == _RECORD:
                    flag += 1
                    if byte_at(flag - 1):
                        continue
                copy(first, target, in_scope - first)
                target += in_scope - first
    return target - address_of(out)


@part
def _left_of_resource(start: int, end: int, flag: int) -> tuple[int, int]:
    """The bytes that are left of a resource, and the flag of the first record behind it."""
    left, place = 0, start
    while place < end:
        first = place
        tag = byte_at(place)
        place = after(tag, place + 1, end)
        if tag == _SCOPE:
            inside, flag = _left_of_scope(content(first + 1, end)[0], place, flag)
            left += 1 + _length_of_varint(inside) + inside
        else:
            left += place - first
    return left, flag


@part
def _left_of_scope(start: int, end: int, flag: int) -> tuple[int, int]:
    left, place = 0, start
    while place < end:
        first = place
        tag = byte_at(place)
        place = after(tag, place + 1, end)
        if tag == _RECORD:
            flag += 1
            if byte_at(flag - 1):
                continue
        left += place - first
    return left, flag


@part
def _length_of_varint(number: int) -> int:
    length = 1
    while number >= 0x80:
        number >>= 7
        length += 1
    return length


@part
def _put_header(tag: int, length: int, target: int) -> int:
    put_byte(target, tag)
    target += 1
    while length >= 0x80:
        put_byte(target, length & 0x7F | 0x80)
        length >>= 7
        target += 1
    put_byte(target, length)
    return target + 1
