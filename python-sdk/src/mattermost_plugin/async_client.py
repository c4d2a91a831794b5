"""Where the published SDK keeps what is in `mattermost_plugin.client` here."""

from .client import AsyncPluginAPIClient

__all__ = ["AsyncPluginAPIClient"]
