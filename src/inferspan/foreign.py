"""Values of libraries that are never imported here: recognised by their types, read within limits.

What a foreign object raises passes through; callers contain it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

_LIBRARIES: Final = frozenset(
    ("pandas", "polars", "pyarrow", "torch", "jax", "jaxlib", "tensorflow", "scipy", "PIL")
)
_TYPES_MAX: Final = 1024
"""Types that are remembered; further ones are looked at every time."""
LIST_METHODS: Final = ("to_pylist", "to_list", "tolist")
"""Methods that give the elements as Python objects, None for what is missing."""
_NESTED_BYTES_MAX: Final = 1 << 20
"""What the elements of a column may take to be turned into Python objects."""
_libraries: dict[type, str] = {}
_field_names: dict[type, tuple[str, ...] | None] = {}
_field_aliases: dict[type, dict[str, tuple[str, ...]]] = {}


def library_of(kind: type) -> str:
    """The library that a type or one of its bases is from; the empty text for all others."""
    found = _libraries.get(kind)
    if found is None:
        roots = (str(base.__module__).partition(".")[0] for base in kind.__mro__)
        found = next((root for root in roots if root in _LIBRARIES), "")
        if len(_libraries) < _TYPES_MAX:
            _libraries[kind] = found
    return found


def is_decimal(kind: type) -> bool:
    """Whether a type is `decimal.Decimal` or derives from it: who has one has imported it."""
    module = sys.modules.get("decimal")
    return module is not None and issubclass(kind, getattr(module, "Decimal", ()))


def shape_of(value: object) -> tuple[int, ...] | None:
    """The shape of what has one; None for anything else. Waits for no device.

    An image has the shape that `numpy.asarray(image)` would have.
    """
    kind = type(value)
    if not hasattr(kind, "shape"):
        return _image_shape(value) if library_of(kind) == "PIL" else None
    shape = value.shape  # type: ignore[attr-defined]
    if library_of(kind) == "tensorflow":
        shape = tuple(shape.as_list())  # raises where the rank is not known
    if not isinstance(shape, tuple) or not all(isinstance(length, int) for length in shape):
        return None
    return tuple(int(length) for length in shape)


def _image_shape(value: Any) -> tuple[int, ...] | None:
    if not hasattr(type(value), "getbands"):
        return None
    width, height = value.size
    bands = len(value.getbands())
    return (height, width, bands) if bands > 1 else (height, width)


def length_of(value: object) -> int | None:
    """The length of an Arrow array, which has no shape; None for anything else."""
    kind = type(value)
    if library_of(kind) == "pyarrow" and hasattr(kind, "to_pylist"):
        return len(value)  # type: ignore[arg-type]
    return None


def dtype_of(value: object) -> Any:
    """What a library calls the type of the elements; None where there is no such thing."""
    kind = type(value)
    if hasattr(kind, "dtype"):
        return value.dtype  # type: ignore[attr-defined]
    library = library_of(kind)
    if library == "PIL":
        return value.mode  # type: ignore[attr-defined]
    return value.type if library == "pyarrow" and hasattr(kind, "type") else None  # type: ignore[attr-defined]


def dtype_text(dtype: Any) -> str | None:
    """The name of an element type, `float32` whether numpy, torch or Arrow says it; else None."""
    if type(dtype) is str:
        return dtype
    name = getattr(dtype, "name", None)
    if isinstance(name, str):
        return name
    known = library_of(type(dtype)) != ""
    return str(dtype).removeprefix("torch.") if known else None


def field_names(kind: type) -> tuple[str, ...] | None:
    """The declared fields of a data class or pydantic model that its `repr` may show; else None."""
    if kind not in _field_names:
        found = _declared(kind)
        if len(_field_names) >= _TYPES_MAX:
            return found
        _field_names[kind] = found
    return _field_names[kind]


def _declared(kind: type) -> tuple[str, ...] | None:
    if type(getattr(kind, "__dataclass_fields__", None)) is dict:
        return tuple(field.name for field in dataclasses.fields(kind) if field.repr)
    fields = getattr(kind, "__pydantic_fields__", None)
    if type(fields) is not dict:
        return None
    return tuple(name for name, field in fields.items() if field.repr and not field.exclude)


def field_aliases(kind: type) -> dict[str, tuple[str, ...]]:
    """What else fields of a pydantic model are called: in what it is read from, and written as."""
    if kind not in _field_aliases:
        found = _aliases_of(kind)
        if len(_field_aliases) >= _TYPES_MAX:
            return found
        _field_aliases[kind] = found
    return _field_aliases[kind]


def _aliases_of(kind: type) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, field in (getattr(kind, "__pydantic_fields__", None) or {}).items():
        aliases = (field.alias, field.serialization_alias, field.validation_alias)
        if named := tuple(dict.fromkeys(part for alias in aliases for part in _alias_names(alias))):
            found[name] = named
    return found


def _alias_names(alias: Any) -> tuple[str, ...]:
    """The names in an alias: a text, one of several (AliasChoices), a way inwards (AliasPath)."""
    if isinstance(alias, str):
        return (alias,)
    parts = getattr(alias, "choices", None) or getattr(alias, "path", None) or ()
    return tuple(name for part in parts for name in _alias_names(part))


def on_accelerator(value: object) -> str | None:
    """The device that a tensor lies on, where reading it would wait for or copy from one."""
    library = library_of(type(value))
    if library == "torch" and hasattr(type(value), "device"):
        device = value.device  # type: ignore[attr-defined]
        return None if device.type == "cpu" else str(device)
    if library in ("jax", "jaxlib") and hasattr(type(value), "devices"):
        devices = value.devices()  # type: ignore[attr-defined]
        return next((str(d) for d in devices if d.platform != "cpu"), None)
    if library == "tensorflow" and hasattr(type(value), "device"):
        device = value.device  # type: ignore[attr-defined]
        return None if "CPU" in device else device or "a graph"
    return None


def plain_of(value: Any) -> object:
    """The elements of a small tensor, series or Arrow array as Python objects, nested as they are.

    Raises:
        TypeError: not of a known library, or too many bytes.
    """
    size = getattr(value, "nbytes", 0)
    if isinstance(size, int) and size > _NESTED_BYTES_MAX:
        raise TypeError(f"{size} bytes are more than {_NESTED_BYTES_MAX}")
    if not library_of(type(value)):
        raise TypeError(f"{type(value)} is of no library that is known")
    return elements_of(value)


def elements_of(value: Any) -> Any:
    """The elements of an array, tensor, series or Arrow array as Python objects, nested as they
    are, however many.

    Raises:
        TypeError: it has no list of them.
    """
    if library_of(type(value)) == "tensorflow":
        return value.numpy().tolist()
    for name in LIST_METHODS:
        if hasattr(type(value), name):
            return getattr(value, name)()
    raise TypeError(f"{type(value)} has no list of its elements")


def column_names(table: Any) -> Sequence[Any]:
    """What the columns of a data frame or Arrow table are called, in their order."""
    # An Arrow table's `columns` are the values themselves.
    named: Sequence[Any] = (
        table.schema.names if library_of(type(table)) == "pyarrow" else table.columns
    )
    return named


def column_of(table: Any, name: str) -> Any:
    """A column of a data frame or Arrow table as its library gives it; None where it has none.

    Of several that are called the same, a table of them all.
    """
    if library_of(type(table)) != "pyarrow":
        return table[name] if name in table.columns else None
    places = table.schema.get_all_field_indices(name)
    if len(places) > 1:
        return table.select(places)
    return table.column(places[0]) if places else None


def columns_of(table: Any) -> dict[str, Any]:
    """The columns of a data frame or Arrow table by name, unread; of equal names the last."""
    library = library_of(type(table))
    if library == "pyarrow":
        return dict(zip(table.schema.names, table.columns, strict=True))
    if library == "polars":
        return {column.name: column for column in table.get_columns()}
    return dict(table.items())


def name_of(value: object) -> object:
    """What a series or an index is called; None where it has no name, and of anything else."""
    kind = type(value)
    if library_of(kind) not in ("pandas", "polars") or not hasattr(kind, "to_list"):
        return None
    name = getattr(value, "name", None)
    return None if name is None or (type(name) is str and not name) else name


def as_array(value: Any) -> NDArray[Any] | None:
    """A tensor, series or Arrow array as a numpy array; None for anything else.

    A tensor on an accelerator is copied, and waited for: ask `on_accelerator` first.
    """
    kind = type(value)
    if kind is np.ndarray:
        return value  # type: ignore[no-any-return]
    library = library_of(kind)
    if library == "torch":
        return _torch_array(value)
    if library in ("jax", "jaxlib"):
        array = np.asarray(value)
    elif library == "tensorflow":
        array = value.numpy()
    elif library == "pyarrow" and hasattr(kind, "to_pylist"):
        array = value.to_numpy(zero_copy_only=False)
    elif hasattr(kind, "to_numpy"):
        array = value.to_numpy()
    else:
        return None
    # bfloat16 and its like are no types of numpy's own.
    return array.astype(np.float32) if array.dtype.kind == "V" and library != "" else array


def _torch_array(value: Any) -> NDArray[Any]:
    value = value.detach().cpu()
    if str(value.dtype) == "torch.bfloat16":
        value = value.float()
    found: NDArray[Any] = value.numpy()
    return found


def is_tensor(value: object) -> bool:
    """Whether it is a tensor, whose conversion touches no element."""
    kind = type(value)
    library = library_of(kind)
    return library in ("torch", "jax", "jaxlib", "tensorflow") and hasattr(kind, "shape")


def is_array(value: object) -> bool:
    """Whether `as_array` can read it: a tensor, a series, a frame, an Arrow array."""
    kind = type(value)
    # A time of pandas' has `to_numpy`, too, and is no array.
    given = hasattr(kind, "to_numpy") and hasattr(kind, "__len__")
    return kind is np.ndarray or given or is_tensor(value)


def is_table_type(kind: type) -> bool:
    """Whether a type is one of data frames, by what it offers."""
    return hasattr(kind, "columns") and hasattr(kind, "shape") and hasattr(kind, "__getitem__")


MISSING_TYPES: Final = frozenset(("NAType", "NaTType"))
"""What data frames put in place of a missing value, by name: no library is imported."""


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA."""
    kind = type(value)
    if kind is float or issubclass(kind, (float, np.floating)):
        return bool(value != value)
    if issubclass(kind, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))  # type: ignore[call-overload]
    return value is None or kind.__name__ in MISSING_TYPES
