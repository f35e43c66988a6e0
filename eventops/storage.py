"""The forms in which a random graph is kept."""

STORAGES = ("sparse",)


def check_storage(call: str, storage: str) -> None:
    """Raise if there is no such form."""
    if storage not in STORAGES:
        raise ValueError(
            f"{call}: storage={storage!r} is not one of {', '.join(map(repr, STORAGES))}"
        )
