"""Where the published SDK keeps the types of the contract; they are `mattermost_plugin.types` here."""

from ..types import *  # noqa: F403
