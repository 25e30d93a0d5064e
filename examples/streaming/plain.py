"""A service that knows nothing of us: `opentelemetry-instrument uvicorn plain:app` traces it."""

from __future__ import annotations

import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from teller import tell

app = FastAPI()


@app.get("/story")
def story(prompt: str, words: int = 20) -> StreamingResponse:
    """A story, word by word, as server-sent events."""
    events = (f"data: {json.dumps(piece)}\n\n" for piece in tell(prompt, words))
    return StreamingResponse(events, media_type="text/event-stream")
