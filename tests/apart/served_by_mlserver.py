"""A runtime of MLServer as a user writes it, whose route takes verdicts."""

# Annotations are no texts: FastAPI gets the method of a worker from a module of MLServer's own.
import json
from typing import Annotated, Any

from fastapi import Body, Response
from fastapi.responses import JSONResponse
from mlserver.handlers import custom_handler
from mlserver_sklearn import SKLearnModel

from inferspan.asgi import Feedback

FEEDBACK = Feedback("iris")


class Iris(SKLearnModel):
    """scikit-learn's, with POST /feedback."""

    @custom_handler(rest_path="/feedback")
    async def feedback(self, verdicts: Annotated[Any, Body()]) -> Response:
        """Turn what a caller says into labels."""
        status, answer = FEEDBACK.answer(json.dumps(verdicts))
        return JSONResponse(answer, status)
