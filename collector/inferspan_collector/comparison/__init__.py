"""Is one version better than another, or was it chance?

A difference is always b - a, with its 95 % interval and the p-value of "no difference". `figures`
takes two figures with their intervals from different rows; `paired` rows that both answered, as
champion and shadow do; `areas` two ROC curves; `means` two mean errors; `corrections` what many
comparisons at once do to p-values. Which of them is right follows from the rows, and is decided in
`verdicts`.
"""
