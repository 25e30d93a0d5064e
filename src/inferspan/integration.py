"""What there is to say of a model library so that its models can be traced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final, TypeVar

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords

Release = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Supported:
    """Versions of a distribution that the tests have seen.

    Args:
        distribution: its name at the package index.
        oldest: the first that works, `1.5`.
        before: the first that was not there to be tried, `2`.
    """

    distribution: str
    oldest: str
    before: str

    def __str__(self) -> str:
        return f"{self.distribution}>={self.oldest},<{self.before}"

    def takes(self, version: str) -> bool:
        """Whether a version is among them; a pre-release counts as its release."""
        return release_of(self.oldest) <= release_of(version) < release_of(self.before)


def release_of(version: str) -> Release:
    """The numbers that a version begins with: (1, 9, 0) of `1.9.0rc1`."""
    parts = (re.match(r"\d+", part) for part in version.split("."))
    return tuple(int(found.group()) for found in takewhile(bool, parts) if found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a model knows of itself, in plain values: whoever keeps it does not keep the model."""

    name: str
    """What the model is called where nobody named it: its class."""
    version: str | None = None
    """Which one it is, where the model itself says so."""
    artifact_hash: str | None = None
    """`sha256:…` of what was loaded."""
    framework: str | None = None
    task: str | None = None
    classes: tuple[object, ...] = ()
    """As the model has them, in the order of the columns of probabilities."""
    positive: object = None
    """The class that the library itself takes for the positive one, where it does."""
    threshold: float | None = None
    """The score from which the positive class is answered."""
    columns: tuple[str, ...] = ()
    """Names of the features, in the order of an array's columns."""
    answers_per_row: int = 1
    """How many there are; of several none is recorded, but for the labels of a set."""
    form: str | None = None
    """What else decides how its answers are read, in the library's words: an objective."""


Described = TypeVar("Described", bound=Description)


def as_told(known: Described, told: Mapping[str, Any]) -> Described:
    """A description, with what a model's settings say in its place.

    Args:
        known: holds where the settings say nothing, or nothing that can be.
        told: under the names of our attributes, of values as JSON has them; classes as JSON text,
            too, as spans have them.
    """
    task, classes = told.get(semconv.TASK_TYPE), told.get(semconv.OUTPUT_CLASSES)
    threshold = told.get(semconv.OUTPUT_THRESHOLD)
    if isinstance(classes, str):
        with suppress(ValueError, RecursionError):
            classes = json.loads(classes)
    return replace(
        known,
        task=task if task in semconv.TASKS else known.task,
        classes=tuple(classes) if isinstance(classes, list) else known.classes,
        positive=told.get(semconv.OUTPUT_POSITIVE_CLASS, known.positive),
        threshold=threshold if isinstance(threshold, float) else known.threshold,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A model of a server."""

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledBack:
    """How a method answers that returns before it has an answer: by calling a function."""

    name: str
    """The parameter that takes the function."""
    position: int
    """Where it stands, from 0."""
    answered: Callable[..., tuple[object, BaseException | None]]
    """What the function is called with → the answer, or what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAlong:
    """How a client's method takes what goes along with a request."""

    position: int
    """Where `headers` stand, from 0."""
    pairs: bool
    """Whether they are pairs, as gRPC's metadata; else a mapping."""
    request_id: int | None = None
    """Where `request_id` stands, of a method that has it: where the caller gives none, it is the
    prediction's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the answers of one method are read. None of these functions may hold the model."""

    output: Callable[[Any], object] | None = None
    """Maps the answer, as the option of that name."""
    answer: Callable[[Arguments, Keywords, Any], object] | None = None
    """Maps the answer of a call to its arguments, where they say what was asked for."""
    inputs: Callable[[Arguments, Keywords], Mapping[str, object]] | None = None
    """The call's arguments → what the model is given, by name; absent = the arguments."""
    called_back: CalledBack | None = None
    operation: str | None = None
    """What a call is, where the method's name alone does not say it."""
    task: str | None = None
    """What the method always does, whatever else its model is for."""
    streamer: str | None = None
    """The keyword that takes what is given the answer piece by piece: an object with `put`, which
    is given the prompt first, and `end`."""
    postponed: Callable[[Arguments, Keywords], bool] | None = None
    """Whether a call answers what only begins to run as it is read, and that nobody can follow: it
    is left as it is, and that is said once."""
    asked: Callable[[Arguments, Keywords], Asked] | None = None
    """Of a client of remote models: the call's arguments → which of them it asks. Its span is one
    of kind CLIENT, for the server may record the same prediction."""
    sent: SentAlong | None = None
    """With `asked`: how trace and id go along to the server."""
    carried: Callable[[Arguments, Keywords], Iterable[tuple[str, str]]] | None = None
    """Of a server's model, whose method is a coroutine function: the call's arguments → headers of
    who asked. They count where no middleware took them, as in another process."""
    returned: Callable[[Any, str], None] | None = None
    """With `carried`: puts the prediction's id among the headers that go back with an answer."""
    floats_are_classes: bool = False
    """Whether a float in the answer is a class."""

    @property
    def takes_more(self) -> bool:
        """Whether a call takes more than a span around it."""
        others = (self.called_back, self.streamer, self.postponed, self.carried)
        return any(one is not None for one in others)


_POSITIVE_BY_DEFAULT: Final = ([0, 1], [-1, 1])


def positive_by_default(classes: Sequence[object]) -> object:
    """The class 1 of 0 and 1, or of -1 and 1: scikit-learn's metrics take it for positive, whatever
    type the classes have. None of other classes.
    """
    return classes[1] if list(classes) in _POSITIVE_BY_DEFAULT else None


def no_parts(model: Any) -> Iterable[tuple[str, object]]:
    """The parts of a model that has none."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Of a library whose models are made of models, each called as the whole is: what is called
    within one of them is part of it, and no stage.
    """

    compiling: Callable[[], Callable[[], bool]]
    """Gives what tells whether a call is being written down as a graph, in which nothing of ours
    may be. Is asked once the library is imported, and then at each call."""
    learns: Callable[[Any], bool]
    """Whether a model is in training: nothing in its calls is a prediction."""
    body: str
    """The method of a model that calls its parts. It may be called without the model's own call,
    and what it calls is still no prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Of a server that answers several requests by one call of a model.

    Each request is a prediction while it waits, and the call is a batch that is linked to all.
    Classes are asked for once the library is imported.
    """

    queues: Callable[[], tuple[type, ...]]
    """Classes of what requests wait in."""
    waits: str
    """Their coroutine function that takes a request, and answers it."""
    model: Callable[[Any], Any]
    """What requests wait in → the model that is called."""
    called: str
    """The model's method that takes one request where none are gathered."""
    method: str
    """The name, among the integration's methods, under which a call that waits is read."""
    batches: Callable[[], tuple[type, ...]]
    """Classes of objects that each stand for one call of the model, and are made before it."""
    together: Callable[[Any], tuple[object, Sequence[object]]]
    """Such an object, once made → what the model is called with, and the requests in their order,
    each the same object that waits."""
    send: Callable[[Any, Mapping[str, str]], None]
    """Puts headers into what the model is called with, which may be answered in another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """A model library. Everything here is declared or pure; nothing of it keeps a state."""

    library: str
    """What it is imported as."""
    supported: Supported
    classes: Callable[[], tuple[type, ...]]
    """Classes whose methods, and whose subclasses' methods, are traced. Imports the library."""
    modules: tuple[str, ...] = ()
    """Modules that the classes are in, where not everybody imports, or has what they need, all of
    them; `classes` is asked after each is imported. Absent = the library as a whole."""
    methods: Mapping[str, str]
    """Traced method → operation."""
    quiet: tuple[str, ...] = ()
    """Methods that learn or judge: nothing that runs in them is a prediction."""
    plain: Mapping[str, object] = field(default_factory=dict)
    """Arguments by which a method is asked for something else (margins, leaves, contributions), and
    what each is in a prediction. A call with another value is none."""
    internal: frozenset[str]
    """Packages whose own calls are no predictions: one is what somebody else asks for."""
    describe: Callable[[Any], Description]
    """The first extractor."""
    read: Callable[[Description, str], Reading | None]
    """The second extractor: of a description and a method's name; None: its calls are none."""
    composed: Composed | None = None
    gathering: Gathering | None = None
    parts: Callable[[Any], Iterable[tuple[str, object]]] = no_parts
    """Models within a model whose calls are stages of its predictions, by their names; the name ''
    stands for a part whose own parts are meant."""
