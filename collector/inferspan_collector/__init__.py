"""inferspan's collector: joins predictions with the labels that arrive later.

Read the modules in the order the data flows: `receivers`, `decode`, `batches`, `pipeline`,
`store`, `join`, `quality`, `publish`. `docs/architecture.md` is the map.
"""

__version__ = "0.1.0"
