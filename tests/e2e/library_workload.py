"""What a user runs: it trains models, answers for rows of data frames, and knows nothing of us.

Standard output is what it answered, for the test to judge.
"""

from __future__ import annotations

import json

from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

CANCER, IRIS, DIABETES = (
    load(return_X_y=True, as_frame=True) for load in (load_breast_cancer, load_iris, load_diabetes)
)
BOOSTED = {"iterations": 10, "thread_count": 1, "verbose": False, "allow_writing_files": False}
MODELS = {
    "LogisticRegression": (make_pipeline(StandardScaler(), LogisticRegression()), CANCER),
    "XGBClassifier": (XGBClassifier(n_estimators=10, n_jobs=1), CANCER),
    "RandomForestClassifier": (RandomForestClassifier(20, random_state=0), IRIS),
    "LinearRegression": (GridSearchCV(LinearRegression(), {}, cv=2), DIABETES),
    "LGBMRegressor": (LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1), DIABETES),
    "CatBoostClassifier": (CatBoostClassifier(**BOOSTED), IRIS),
    "CatBoostRegressor": (CatBoostRegressor(loss_function="Poisson", **BOOSTED), DIABETES),
}
answers = {}
for name, (model, (x, y)) in MODELS.items():
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    model.fit(x_train, y_train)
    model.score(x_test, y_test)
    answer = getattr(model, "predict_proba", model.predict)
    rows = len(x_test) - 3
    said = answer(x_test[:rows]).tolist()  # a batch
    said += [answer(x_test[at : at + 1]).tolist()[0] for at in range(rows, rows + 3)]  # and singly
    answers[name] = {
        "ids": [str(key) for key in x_test.index],
        "truth": y_test.tolist(),
        "said": said,
    }
print(json.dumps(answers))
