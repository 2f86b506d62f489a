"""Values as other libraries have them, made the way that they make them: no library is needed for it."""

from __future__ import annotations

import enum
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any


class NumpyInteger:
    """As ``numpy.int64``: registered as an integer, and no subclass of ``int``."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value

    def __int__(self) -> int:
        return self._value

    def __repr__(self) -> str:
        return f"NumpyInteger({self._value})"

    def __eq__(self, other: object) -> bool:
        return self._value == other

    def __hash__(self) -> int:
        return hash(self._value)


class NumpyFloat32:
    """As ``numpy.float32``: registered as a real number, and no subclass of ``float``."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value

    def __int__(self) -> int:
        return int(self._value)

    def __abs__(self) -> float:
        return abs(self._value)

    def __repr__(self) -> str:
        return f"NumpyFloat32({self._value})"

    def __eq__(self, other: object) -> bool:
        return self._value == other

    def __hash__(self) -> int:
        return hash(self._value)


Integral.register(NumpyInteger)
Real.register(NumpyFloat32)


class NumpyFloat(float):
    """As ``numpy.float64``: a subclass of ``float`` with a text of its own."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"

    __str__ = __repr__


class NumpyText(str):
    """As ``numpy.str_``: a subclass of ``str`` with a text of its own."""

    def __repr__(self) -> str:
        return f"np.str_({str.__repr__(self)})"

    __str__ = __repr__


class Resolution(str, enum.Enum):  # noqa: UP042 (its own text is 'Resolution.LOW')
    """As people write their own choices."""

    LOW = "480p"
    HIGH = "1080p"


class Array:
    """As an array of one number or text: it is equal to what it holds, and converts to it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return bool(self._value == other)

    __hash__ = None  # type: ignore[assignment]

    def __index__(self) -> int:
        return int(self._value)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)


class NotAvailable:
    """As ``pandas.NA``: whoever asks it for yes or no gets an error."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def strip(self) -> Any:
        """Be like a text, as far as a name goes."""
        return self


#: Ways to write 5.
FIVES: list[Any] = [
    5,
    5.0,
    "5",
    " 5 ",
    "5.0",
    Decimal(5),
    Decimal("5.00"),
    Fraction(5),
    NumpyInteger(5),
    NumpyFloat(5.0),
    NumpyFloat32(5.0),
    NumpyText("5"),
]

#: What is no number, whatever it is equal to and converts to.
NO_NUMBERS: list[Any] = [
    True,
    Array(5),
    NotAvailable(),
    float("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("1E+999999"),
    [5],
    b"5",
    5j,
    "5e0",
    "five",
]
