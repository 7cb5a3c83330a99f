"""The reference pages of ``docs/reference``, written from the code that they describe.

::

    python -m web.reference            writes them
    python -m web.reference --check    exits 1 and names those that are not what the code says

Nothing imports this package; a test holds the pages against it.
"""
