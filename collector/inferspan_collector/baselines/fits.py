"""What estimates learnt from a reference ↔ its part of a document."""

from __future__ import annotations

import numpy as np

from inferspan_collector.baselines import document
from inferspan_collector.estimates.boosted_trees import BoostedTrees, Tree
from inferspan_collector.estimates.calibration import Calibration
from inferspan_collector.estimates.confidence_based import Binary, Multiclass, TopScore
from inferspan_collector.estimates.direct_loss import LOSSES, DirectLoss
from inferspan_collector.estimates.foresight import Foresight, Seen

Fitted = Binary | Multiclass | TopScore | DirectLoss


def fit_of(foresight: Foresight) -> document.Fit | None:
    """As the document holds it; None where nothing could be learnt."""
    fitted = foresight.fitted
    if isinstance(fitted, Binary):
        return document.BinaryFit(kind="binary", calibration=_line(fitted.calibration))
    if isinstance(fitted, Multiclass):
        return document.MulticlassFit(
            kind="multiclass",
            classes=fitted.classes,
            calibrations=tuple(_line(each) for each in fitted.calibrations),
        )
    if isinstance(fitted, TopScore):
        return document.TopScoreFit(
            kind="top_score",
            calibrations={name: _line(each) for name, each in fitted.calibrations.items()},
            other=_line(fitted.other),
        )
    if isinstance(fitted, DirectLoss):
        return document.DirectLossFit(
            kind="direct_loss",
            numbers=foresight.seen.numbers,
            texts=foresight.seen.texts,
            losses={name: _trees(model, spread) for name, (model, spread) in fitted.models.items()},
        )
    return None


def foresight_of(estimates: document.Estimates) -> Foresight:
    """What the document's estimates are made with: the same as before it was written."""
    fit = estimates.fit
    if fit is None:
        return Foresight(estimates.reason)
    fitted: Fitted
    seen, method = Seen((), ()), "cbpe"
    if isinstance(fit, document.BinaryFit):
        fitted = Binary(_calibration(fit.calibration))
    elif isinstance(fit, document.MulticlassFit):
        fitted = Multiclass(fit.classes, tuple(_calibration(each) for each in fit.calibrations))
    elif isinstance(fit, document.TopScoreFit):
        by_class = {name: _calibration(each) for name, each in fit.calibrations.items()}
        fitted = TopScore(by_class, _calibration(fit.other))
    else:
        seen, method = Seen(fit.numbers, fit.texts), "dle"
        fitted = DirectLoss(
            {
                name: (_model(trees), trees.spread)
                for name, trees in fit.losses.items()
                if name in LOSSES
            }
        )
    return Foresight(None, method, estimates.positive, fitted, estimates.labelled, seen)


def _line(calibration: Calibration) -> document.Line:
    return document.Line(
        scores=tuple(calibration.scores.tolist()),
        probabilities=tuple(calibration.probabilities.tolist()),
    )


def _calibration(line: document.Line) -> Calibration:
    return Calibration(np.array(line.scores, float), np.array(line.probabilities, float))


def _trees(model: BoostedTrees, spread: float) -> document.Trees:
    return document.Trees(
        cuts=tuple(tuple(cuts.tolist()) for cuts in model.cuts),
        mean=model.mean,
        spread=spread,
        trees=tuple(
            document.Tree(
                features=tuple(tree.features.tolist()),
                bins=tuple(tree.bins.tolist()),
                values=tuple(tree.values.tolist()),
            )
            for tree in model.trees
        ),
    )


def _model(trees: document.Trees) -> BoostedTrees:
    return BoostedTrees(
        tuple(np.array(cuts, float) for cuts in trees.cuts),
        trees.mean,
        tuple(
            Tree(
                np.array(tree.features, np.int64),
                np.array(tree.bins, np.int64),
                np.array(tree.values, float),
            )
            for tree in trees.trees
        ),
    )
