"""Words of a command as they may be shown: what addresses hold of passwords and keys is left out."""

from __future__ import annotations


def without_secrets(word: str) -> str:
    """A word without what an address in it holds of secrets.

    Example:
        >>> without_secrets("train"), "pw" in without_secrets("https://u:pw@host/a.svs?key=k")
        ('train', False)
    """
    if "://" not in word:
        return word
    from histonic.core.places import urls  # loads settings, which help needs not

    return urls.without_secrets(word)
