"""Content encodings undone under one limit: a bomb is not inflated to its end."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from typing import Final, cast

from isal import igzip, igzip_lib, isal_zlib

from inferspan_collector.decode import Content
from inferspan_collector.receivers.bodies import RefusedBody, too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 256 * 1024
ZSTD_FRAMES_MAX: Final = 1_000
"""Of a body: an empty one takes nine bytes, and as long as a kilobyte that is full."""
INPUT_BYTES: Final = 16 * 1024
"""Of a compressed body, read at once."""
ZSTD_WINDOW_LOG: Final = 23
"""RFC 9659: a receiver of Content-Encoding zstd must be ready to hold 8 MiB, and no more."""
_DAMAGE: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    cast("type[Exception]", isal_zlib.error),
    zstd.ZstdError,
)


def inflated(body: Content, encoding: str, limit: int) -> Content:
    """Undo the content encoding; stops at the limit instead of inflating a bomb to its end.

    Args:
        body: the body as it came.
        encoding: one of `bodies.ENCODINGS`.
        limit: the most bytes to return.

    Raises:
        RefusedBody: 413 over the limit, 400 where the data are damaged or cut off.
    """
    if encoding == "identity" or not body:
        return body
    try:
        whole = _whole_gzip(body, limit) if encoding == "gzip" else None
        return _joined(_INFLATERS[encoding](body), limit) if whole is None else whole
    except _DAMAGE as error:
        value = f"the body is not whole {encoding} data ({error})"
        rule = "it must be what Content-Encoding says"
        raise RefusedBody(400, value, rule, "correct one of the two") from error


def said_size(body: Content) -> int:
    """How many bytes gzip's end says that there are; it may lie."""
    return int.from_bytes(body[-4:], "little")


def _whole_gzip(body: Content, limit: int) -> bytes | None:
    """Inflate at once what is as long as its end says; None for anything else.

    Its end may lie, or be that of the last of several members: then it is read in chunks.
    """
    said = said_size(body)
    if said > limit:
        return None
    stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    content = stream.decompress(body, max_length=said + 1)
    return content if stream.eof and not stream.unused_data else None


def _gzip_chunks(body: Content) -> Iterator[bytes]:
    stream = igzip.open(io.BytesIO(body))  # type: ignore[no-untyped-call]
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _deflate_chunks(body: Content) -> Iterator[bytes]:
    # HTTP's `deflate` is the zlib format, RFC 9110 section 8.4.1.2.
    stream = isal_zlib.decompressobj()
    position, rest = 0, b""
    while not stream.eof:
        if not rest:
            # Little at once, for what is not read yet is copied with each chunk.
            rest = bytes(body[position : position + INPUT_BYTES])
            position += len(rest)
        chunk = stream.decompress(rest, CHUNK_BYTES)
        if not chunk and not rest and not stream.eof:
            raise EOFError("it ends too early")
        rest = stream.unconsumed_tail
        yield chunk
    follows = len(stream.unused_data) + len(body) - position
    if follows:
        raise EOFError(f"{follows} bytes follow its end")


def _zstd_chunks(body: Content) -> Iterator[bytes]:
    position, frame, frames = 0, zstd.ZstdDecompressor(options=_ZSTD_OPTIONS), 1
    while position < len(body):
        if frame.eof:
            frames += 1
            if frames > ZSTD_FRAMES_MAX:
                raise EOFError(f"it has more than {ZSTD_FRAMES_MAX} frames")
            frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        # Little at once, for what follows the end of a frame is copied: there may be many frames.
        piece = body[position : position + INPUT_BYTES]
        yield frame.decompress(piece, CHUNK_BYTES)
        while not frame.eof and not frame.needs_input:
            yield frame.decompress(b"", CHUNK_BYTES)
        position += len(piece) - len(frame.unused_data)
    if not frame.eof:
        raise EOFError("it ends within a frame")


_ZSTD_OPTIONS: Final = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG}
_INFLATERS: Final = {"gzip": _gzip_chunks, "deflate": _deflate_chunks, "zstd": _zstd_chunks}


def _joined(chunks: Iterable[bytes], limit: int) -> bytes:
    kept: list[bytes] = []
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > limit:
            raise too_large("more once it is inflated", limit)
        kept.append(chunk)
    return b"".join(kept)
