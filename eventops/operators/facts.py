"""What an operator was made from: for its repr and its initialisers, and no part of its structure."""

import weakref


class Facts:
    """Named values beside a pytree, equal to any others, so that operators which differ in them share programs.

    JAX keeps the tree of the first operator and builds others by it. So the values are those of one array, which is
    the operator's own: they hold where the tree is rebuilt around that very array, and nowhere else.

    Parameters
    ----------
    values : dict
    array : object, optional
        By None they hold nowhere.
    """

    __slots__ = ("_array", "_values")

    def __init__(self, values=None, array=None):
        self._values = values or {}
        self._array = None if array is None else weakref.ref(array)

    def of(self, array) -> dict:
        """The values, if they are those of this array; else none."""
        own = None if self._array is None else self._array()
        return self._values if own is not None and own is array else {}

    def __eq__(self, other):
        return isinstance(other, Facts)

    def __hash__(self):
        return hash(Facts)

    def __repr__(self):
        return "Facts"

    def __reduce__(self):
        return Facts, ()
