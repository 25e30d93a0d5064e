"""Serve an ASGI application on an address of our choice, from a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from waiting import wait_until


@contextlib.contextmanager
def serving(application: Starlette, address: str) -> Iterator[str]:
    """Run uvicorn until the block ends; gives the URL."""
    host, _, port = address.rpartition(":")
    server = uvicorn.Server(
        uvicorn.Config(application, host=host, port=int(port), log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 20.0, "uvicorn to listen")
        assert server.started, f"uvicorn could not listen on {address}"
        yield f"http://{address}"
    finally:
        server.should_exit = True
        thread.join()
