"""The types of the contract: what handlers are given and may return, and what the host API takes and answers.

All are dataclasses whose fields have defaults; see `mattermost_plugin.models`.
"""

from ._generated.models import *  # noqa: F403
from .models import Json as Json
