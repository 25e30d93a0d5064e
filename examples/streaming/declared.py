"""As `plain`, with a decorator, and verdicts that come to /feedback."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from teller import tell

import inferspan
from inferspan.asgi import Feedback, PredictionMiddleware

inferspan.configure(service_name="stories")
app = FastAPI()
app.add_middleware(PredictionMiddleware)
app.router.add_route("/feedback", Feedback("story"), methods=["POST"])


@inferspan.predict(model="story", version=1, task="generation", operation="generate")
def told(prompt: str, words: int) -> Iterator[str]:
    """One prediction, from its first word to its last."""
    for piece in tell(prompt, words):
        yield f"data: {json.dumps(piece)}\n\n"


@app.get("/story")
def story(prompt: str, words: int = 20) -> StreamingResponse:
    """A story, word by word, as server-sent events."""
    return StreamingResponse(told(prompt, words), media_type="text/event-stream")
