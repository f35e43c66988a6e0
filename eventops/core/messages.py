"""What messages have in common: values shown in short, and functions of the user's that could not be called."""

import inspect

import jax

_LONGEST = 100
_FEW = 8


def shown(value) -> str:
    """A value as an error shows it, in one short line; of an array of more than a few numbers shape and dtype."""
    if hasattr(value, "dtype") and getattr(value, "size", 0) > _FEW:
        return f"<array of shape {value.shape}, dtype {value.dtype}>"
    if inspect.isfunction(value):  # without its address
        return f"<function {value.__qualname__.replace('<locals>.', '')}>"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def weights_shown(weight, kind: str | None = None) -> str:
    """Weights as a repr shows them: dtype, and shape or ``kind``; or what stands where they were.

    Transformations put all kinds of things in the place of arrays: None, placeholders, empty gradients of whole numbers.
    """
    shape, dtype = getattr(weight, "shape", None), getattr(weight, "dtype", None)
    if shape is None or dtype is None:
        return shown(weight)
    kind = kind or ("x".join(map(str, shape)) if len(shape) else "homogeneous")
    return f"{'float0' if dtype == jax.dtypes.float0 else dtype}[{kind}]"


def applied(call: str, name: str, function, wanted: str, apply):
    """``apply()``, which calls a function of the user's; where that raises, an error that says what it must be.

    Parameters
    ----------
    call, name : str
        Of the user's call, and of the parameter that the function was passed as.
    function : callable
        The user's. A class is refused: to call it makes one of its objects.
    wanted : str
        What the parameter must be.
    apply : callable
    """
    if isinstance(function, type):
        raise TypeError(
            f"{call}: {name}={shown(function)} must be {wanted}, not a class; pass one of its objects, "
            f"{function.__name__}(...)"
        )
    try:
        return apply()
    except jax.errors.JAXTypeError:  # of what cannot be traced, which says so
        raise
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{call}: {name}={shown(function)} must be {wanted}; called so it raised {type(error).__name__}: {error}"
        ) from error
