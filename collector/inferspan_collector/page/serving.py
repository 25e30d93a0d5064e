"""The routes of the page: what is asked, put together, and sent as HTML."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.drawing.markup import STYLESHEET
from inferspan_collector.page import choices, elsewhere, health, overview, wording
from inferspan_collector.page.asking import MODELS, Asking, Json, Question, Refused
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.kept import FAILED, Answered, Answers
from inferspan_collector.page.parts import PARTS, Surroundings
from inferspan_collector.publish import api
from inferspan_collector.publish.jaeger_names import service_names
from inferspan_collector.publish.metrics.noticed import Notices
from inferspan_collector.publish.parameters import BadParameter
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import CONTAINED, Telemetry

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every page: nothing runs or loads that is not ours, and nobody frames it."""
AT_ONCE_SECONDS: Final = 0.5
"""How long a page waits for its parts; what takes longer loads by itself."""
PART_SECONDS: Final = 20.0
"""How long a part waits for its answers; then it says so, and is asked for again."""
PATHS: Final = ("/", "/models/", "/parts/", "/page/")
"""Where the page lives; browsers are asked for a token there as they ask people."""

_logger = logging.getLogger(__name__)
_ROOM: Final = Path(__file__).parent


class Page:
    """The page's routes; `close` ends its threads.

    Args:
        queries: where the API's reader is.
        telemetry: our own health, and where unexpected errors are counted.
        config: models, and where Jaeger is.
        api_routes: the JSON API, whose numbers are shown.
        notices: whose card stands first.
    """

    def __init__(
        self,
        queries: Queries,
        telemetry: Telemetry,
        config: Config,
        api_routes: Sequence[Route],
        notices: Notices,
    ) -> None:
        self._queries, self._telemetry, self._config = queries, telemetry, config
        self._notices = notices
        self._asking = Asking(api_routes)
        self._answers = Answers(self._asking.ask, queries.now_ns, telemetry)
        ui = config.jaeger.ui
        self._jaeger = None if ui is None else ui.rstrip("/")
        grafana = config.publish.grafana
        self._grafana = None if grafana is None else grafana.rstrip("/")
        self._files = _files()
        self._templates = _templates(self._files)

    def close(self) -> None:
        """End the threads that answer."""
        self._answers.close()

    @property
    def routes(self) -> list[Route]:
        """To be mounted at the root of the API's port, before the API."""
        pressed = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)]
        paths = {
            "/": self.first,
            "/page/{name}": self.file,
            "/parts/card/{model:path}": self.card,
            "/parts/{part}/{model:path}": self.part,
            "/models/{model:path}": self.model,
        }
        return [
            Route(path, answer, methods=["GET"], middleware=pressed)
            for path, answer in paths.items()
        ]

    def first(self, request: Request) -> Response:
        """All models; for programs the list of what the API has."""
        if "text/html" not in request.headers.get("accept", ""):
            return api.endpoints(request)
        try:
            page = _whole(request.query_params.get("page", "1"))
        except BadParameter as error:
            return self._bad(error)
        # Of those that are equally urgent in the order of the API.
        models = sorted(
            self._models(), key=lambda model: overview.urgency(self._notices(model["model"]))
        )
        first = (page - 1) * overview.MODELS_SHOWN
        shown = models[first : first + overview.MODELS_SHOWN]
        now_ns = self._queries.now_ns()
        chosen = [self._card_choice(model, now_ns) for model in shown]
        known = self._known(
            (each for choice in chosen for each in overview.questions(choice).values()),
            AT_ONCE_SECONDS,
        )
        return self._html(
            "first.html",
            cards=[
                {"model": model, "choice": choice, "html": self._card(choice, known)}
                for model, choice in zip(shown, chosen, strict=True)
            ],
            n_models=len(models),
            page=page,
            pages=max(1, -(-len(models) // overview.MODELS_SHOWN)),
            health=health.lines(self._queries, self._telemetry, self._config),
            otlp=self._config.receivers.otlp_http,
            now=wording.moment_of(now_ns),
        )

    def card(self, request: Request) -> Response:
        """One model of the first page."""
        summary = _summary(request, self._models())
        if summary is None:
            return self._unknown(request)
        choice = self._card_choice(summary, self._queries.now_ns())
        known = self._known(overview.questions(choice).values(), PART_SECONDS)
        return self._fragment(self._card(choice, known))

    def model(self, request: Request) -> Response:
        """All parts of a model's page, those that take long as places to load."""
        return self._chosen(request, self._model)

    def part(self, request: Request) -> Response:
        """One part: by itself for the script, in a page of its own for people."""
        name = request.path_params["part"]
        if name not in PARTS:
            return self._problem(404, Refused(
                "Unknown part", f"{name!r:.80} is no part of a model's page", name[:80],
                f"parts are {', '.join(PARTS)}", "open the model's page",
            ))  # fmt: skip
        alone = "text/html" in request.headers.get("accept", "")

        def answer(choice: Choice, summary: Json, _: list[Json]) -> Response:
            known = self._known(PARTS[name].questions(choice).values(), PART_SECONDS)
            html = self._part(name, choice, known, self._around(summary))
            if not alone:
                return self._fragment(html)
            return self._html("alone.html", html=html, name=name, choice=choice, model=summary)

        return self._chosen(request, answer)

    def file(self, request: Request) -> Response:
        """Styles, script and icon; they change with the package only."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            return self._problem(404, Refused("Unknown file", "the page has no such file"))
        kind, body, _ = found
        headers = {**HEADERS, "cache-control": "max-age=31536000, immutable"}
        return Response(body, media_type=kind, headers=headers)

    def _model(self, choice: Choice, summary: Json, models: list[Json]) -> Response:
        known: dict[Question, Answered | None] = {}
        if not choice.empty:
            known = self._known(
                (q for part in PARTS.values() for q in part.questions(choice).values()),
                AT_ONCE_SECONDS,
            )
        around = self._around(summary)
        return self._html(
            "model.html",
            model=summary,
            choice=choice,
            elsewhere=elsewhere.links(
                choice, _services(summary, models), self._grafana, self._jaeger
            ),
            ranges=choices.RANGES,
            windows=choices.WINDOWS,
            parts=[]
            if choice.empty
            else [
                {
                    "name": name,
                    "title": PARTS[name].TITLE,
                    "url": choice.url(name),
                    "html": self._part(name, choice, known, around),
                }
                for name in PARTS
            ],
            now=wording.moment_of(around.now_ns),
            times=(
                wording.moment_of(choice.start * 60 * 10**9),
                wording.moment_of(choice.end * 60 * 10**9),
            ),
        )

    def _part(
        self,
        name: str,
        choice: Choice,
        known: Mapping[Question, Answered | None],
        around: Surroundings,
    ) -> Markup | None:
        """A part's HTML; None where an answer is not there yet."""
        part = PARTS[name]

        def shown(bodies: Json, asked_ns: int) -> Markup:
            asked = wording.moment_of(asked_ns), wording.ago(asked_ns, self._queries.now_ns())
            view = part.view(bodies, choice, around)
            return self._render(f"parts/{name}.html", **view, choice=choice, asked=asked)

        return self._answered(part.questions(choice), known, shown)

    def _card(self, choice: Choice, known: Mapping[Question, Answered | None]) -> Markup | None:
        minimum_n = self._config.model(choice.model).minimum_n

        def shown(bodies: Json, asked_ns: int) -> Markup:
            noticed = self._notices(choice.model)
            return self._render("card.html", **overview.card(bodies, choice, minimum_n, noticed))

        return self._answered(overview.questions(choice), known, shown)

    def _answered(
        self,
        questions: Mapping[str, Question],
        known: Mapping[Question, Answered | None],
        shown: Callable[[Json, int], Markup],
    ) -> Markup | None:
        """What is shown of all answers, or what is wrong with one; None where one is missing."""
        bodies: Json = {}
        asked_ns = []
        for key, question in questions.items():
            answered = known[question]
            if answered is None:
                return None
            if isinstance(answered, Refused):
                return self._render("refused.html", problem=answered)
            bodies[key] = answered.body
            asked_ns.append(answered.asked_ns)
        try:
            return shown(bodies, min(asked_ns))
        except Exception:
            # One part that cannot be shown takes no other with it.
            _logger.exception("the page cannot show what the API said to %s", questions)
            self._telemetry.add(CONTAINED, where="page")
            return self._render("refused.html", problem=FAILED)

    def _card_choice(self, model: Json, now_ns: int) -> Choice:
        return overview.choice_of(model, now_ns, self._config.model(model["model"]).minimum_n)

    def _around(self, summary: Json) -> Surroundings:
        minimum_n = self._config.model(summary["model"]).minimum_n
        return Surroundings(summary, minimum_n, self._jaeger, self._queries.now_ns())

    def _known(
        self, questions: Iterable[Question], seconds: float
    ) -> dict[Question, Answered | None]:
        return self._answers.wanted(questions, seconds)

    def _models(self) -> list[Json]:
        # Not kept: a new model is there at once.
        models: list[Json] = self._asking.ask(Question(MODELS))
        return models

    def _chosen(
        self, request: Request, answer: Callable[[Choice, Json, list[Json]], Response]
    ) -> Response:
        """What `answer` makes of the choice, of the model that is asked for, and of all models."""
        models = self._models()
        summary = _summary(request, models)
        if summary is None:
            return self._unknown(request)
        try:
            choice = choices.chosen(
                summary,
                dict(request.query_params),
                self._queries.now_ns(),
                self._config.model(summary["model"]).minimum_n,
            )
        except BadParameter as error:
            return self._bad(error)
        return answer(choice, summary, models)

    def _unknown(self, request: Request) -> Response:
        name = request.path_params["model"]
        return self._problem(404, Refused(
            "Unknown model", f"no prediction of model {name!r:.200} has arrived", name[:200],
            "a model exists from its first prediction on; names are compared exactly",
            "see all models for those that are known",
        ))  # fmt: skip

    def _bad(self, error: BadParameter) -> Response:
        return self._problem(400, Refused(
            "Bad parameter", f"{error.name}={error.value[:200]}: {error.rule}", error.value[:200],
            error.rule, error.remedy,
        ))  # fmt: skip

    def _problem(self, status: int, refused: Refused) -> Response:
        return self._html("problem.html", status, problem=refused)

    def _fragment(self, html: Markup | None) -> Response:
        """A part without its page; 202 where it is not there yet: ask again."""
        if html is None:
            return HTMLResponse("", 202, headers=HEADERS)
        return HTMLResponse(html, headers=HEADERS)

    def _html(self, template: str, status: int = 200, **shown: Any) -> Response:
        return HTMLResponse(self._render(template, **shown), status, headers=HEADERS)

    def _render(self, template: str, **shown: Any) -> Markup:
        # Its own texts are escaped by then.
        return Markup(self._templates.get_template(template).render(**shown))


def is_page(path: str) -> bool:
    """Whether a path is one that people open in a browser."""
    return path == "/" or path.startswith(PATHS[1:])


def _summary(request: Request, models: list[Json]) -> Json | None:
    asked = request.path_params["model"]
    return next((model for model in models if model["model"] == asked), None)


def _services(summary: Json, models: list[Json]) -> dict[str, str]:
    # A name is told apart from those of every other model's services, too.
    names = service_names(each for model in models for each in model["services"])
    return {service: names[service] for service in summary["services"]}


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) > 0):
        raise BadParameter("page", text, "a whole number from 1 on is needed", "leave it out")
    return int(text)


def _files() -> dict[str, tuple[str, bytes, str]]:
    """Name → its type, its bytes, and its address, which changes with them."""
    static = _ROOM / "static"
    bodies = {
        "page.css": ("text/css", STYLESHEET.read_bytes() + (static / "page.css").read_bytes()),
        "page.js": ("text/javascript", (static / "page.js").read_bytes()),
        "icon.svg": ("image/svg+xml", (static / "icon.svg").read_bytes()),
    }
    return {
        name: (kind, body, f"/page/{name}?{hashlib.sha256(body).hexdigest()[:12]}")
        for name, (kind, body) in bodies.items()
    }


def _templates(files: Mapping[str, tuple[str, bytes, str]]) -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ROOM / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "words": wording,
        "files": {name: url for name, (_, _, url) in files.items()},
        "address": choices.address,
    }
    return found
