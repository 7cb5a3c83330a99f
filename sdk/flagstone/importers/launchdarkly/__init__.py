"""LaunchDarkly: the payload that its SDKs receive, ``{"flags": {…}, "segments": {…}}``.

How a context of LaunchDarkly is written for us: a user's ``key`` is ``targetingKey``, and its other
attributes stand at the top level; a further kind is an object of its name (``["org", "key"]``);
``kind`` is the name of the kind, or the list of them. Without it a targeting key is a user's.
"""

from flagstone.importers.launchdarkly.convert import convert

__all__ = ["convert"]
