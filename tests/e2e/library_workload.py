"""What a user runs: it trains models, answers for rows of data frames, and knows nothing of us.

Standard output is what it answered, for the test to judge.
"""

from __future__ import annotations

import json

from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

answers = {}
for load, model, method in (
    (load_breast_cancer, make_pipeline(StandardScaler(), LogisticRegression()), "predict_proba"),
    (load_iris, RandomForestClassifier(20, random_state=0), "predict_proba"),
    (load_diabetes, GridSearchCV(LinearRegression(), {}, cv=2), "predict"),
):
    x, y = load(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    model.fit(x_train, y_train)
    model.score(x_test, y_test)
    answer = getattr(model, method)
    rows = len(x_test) - 3
    said = answer(x_test[:rows]).tolist()  # a batch
    said += [answer(x_test[at : at + 1]).tolist()[0] for at in range(rows, rows + 3)]  # and singly
    answers[load.__name__] = {
        "ids": [str(key) for key in x_test.index],
        "truth": y_test.tolist(),
        "said": said,
    }
print(json.dumps(answers))
